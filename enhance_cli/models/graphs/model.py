"""Define the base of models that run by ONNX Runtime: device, precision, and the number of windows computed at once."""

from enhance_cli.models.device import MAX_PARAMETERS_FOR_PARALLEL_WINDOWS, cpu_threads
from enhance_cli.models.graphs.graph import Graph


class CPU:
    """Stand for torch.device("cpu")."""

    type = "cpu"

    def __str__(self) -> str:
        return self.type


class OnnxModel:
    """Be the base of models whose networks are graphs. `graph`: None if no network runs in windows."""

    runtime, precision = "onnx", "fp32"
    device = CPU()
    graph: Graph | None

    def windows_at_once(self, threads: int | None) -> int:
        """Return how many windows are computed side by side: of a large network one, by all threads."""
        light = self.graph is None or self.graph.facts["parameters"] <= MAX_PARAMETERS_FOR_PARALLEL_WINDOWS
        return cpu_threads(threads) if light else 1
