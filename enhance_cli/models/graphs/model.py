"""Define the bases of models that run on ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np

from enhance_cli.audio.spectra.stft_numpy import NumpyFrontend
from enhance_cli.errors import ModelError, one_line
from enhance_cli.models.device import MAX_PARAMETERS_FOR_PARALLEL_WINDOWS, cpu_threads
from enhance_cli.models.graphs.graph import REMEDY, Graph
from enhance_cli.models.spec import Spec
from enhance_cli.processes import PROCESSES

Estimate = Callable[[np.ndarray, float], np.ndarray]  # contracts.Estimate with NumPy arrays


class CPU:
    """Stand for torch.device("cpu")."""

    type = "cpu"

    def __str__(self) -> str:
        return self.type


class OnnxModel:
    """Hold a graph and the header of its model. `INPUTS` and `OUTPUTS`: names of those that the graph must have."""

    runtime, precision = "onnx", "fp32"
    device = CPU()
    INPUTS: tuple[str, ...]
    OUTPUTS: tuple[str, ...]

    def __init__(self, spec: Spec, graph: Graph | None, threads: int | None = None):
        """Take the graph, or None if no network runs in windows. Raises ModelError for the graph of another kind of network.

        `threads`: of the CPU, None for all.
        """
        if graph:
            graph.require(self.INPUTS, self.OUTPUTS)
        self.spec, self.graph, self.threads = spec, graph, threads

    def windows_at_once(self, threads: int | None) -> int:
        """Return how many windows are computed side by side: one for a large network, which takes all threads itself."""
        light = self.graph is None or self.graph.facts["parameters"] <= MAX_PARAMETERS_FOR_PARALLEL_WINDOWS
        return cpu_threads(threads) if light else 1


class SpectrogramModel(OnnxModel):
    """Hold a network that samples spectrograms, with its process and front end, as models.load.Model does in torch."""

    INPUTS, OUTPUTS = ("x", "y", "t"), ("estimate",)

    def __init__(self, spec: Spec, graph: Graph | None):
        super().__init__(spec, graph)
        try:
            self.process: Any = PROCESSES[spec.process](**spec.process_args) if spec.process else None
        except (TypeError, ValueError) as error:  # a header can ask for anything
            raise ModelError(f"{spec.name}: no such process ({one_line(error)})", "use another model") from error
        self.frontend: Any = None if spec.frontend is None else NumpyFrontend(**spec.frontend)

    def bind(
        self, noisy: np.ndarray, *, guide: np.ndarray | None = None, first: np.ndarray | None = None
    ) -> tuple[np.ndarray, Estimate]:
        """Return where sampling starts, and `estimate(x, t)` for this observation.

        Args:
            noisy: compressed spectrogram (1, 2, T, F).
            guide: (1, 1, T), for networks that take one.
            first: the estimate of the first stage, where sampling starts for models that have one.
        """
        conditions = {"y": noisy} if guide is None else {"y": noisy, "guide": guide}

        def estimate(x: np.ndarray, t: float) -> np.ndarray:
            assert self.graph is not None  # only models with a network for windows are sampled
            inputs = {"x": x.astype(np.float32, copy=False), "t": np.full(1, t, np.float32), **conditions}
            made = self.graph.run(["estimate"], inputs)[0]
            if made.shape != x.shape:
                raise ModelError(f"{self.graph.name}: its estimate has the shape {made.shape}, not {x.shape}", REMEDY)
            return made

        return noisy if first is None else first, estimate

    def pad_frames(self, y: np.ndarray) -> np.ndarray:
        """Pad the frame axis of y (1, 2, T, F) to a multiple of `spec.frames_multiple`, as models.load.Model does."""
        missing = -y.shape[2] % self.spec.frames_multiple
        if not missing:
            return y
        reflect = self.spec.frame_padding == "reflect" and missing < y.shape[2]
        return np.pad(y, ((0, 0), (0, 0), (0, missing), (0, 0)), mode="reflect" if reflect else "constant")
