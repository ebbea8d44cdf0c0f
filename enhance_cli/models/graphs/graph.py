"""Open a network as an ONNX graph in ONNX Runtime: NumPy arrays in and out.

The graphs of shipped networks hold no weights. They are given those of a .safetensors file when they are opened, so
graph and file cannot disagree. Sessions compute with the given number of threads. With one thread they compute in
the thread that calls them, and several may call at once.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from safetensors import SafetensorError, safe_open

from enhance_cli.errors import ModelError, one_line

FACTS_KEY = "enhance.graph"  # JSON of Graph.facts in the metadata of a graph
OLDEST = 1, 20  # version of ONNX Runtime. Earlier ones let a graph read weights from any path
NO_FOLDER = os.devnull  # folder from which a graph may read weights: none
POOL = {
    "arena_extend_strategy": 0,  # each piece twice as large as the one before, which leaves fewer gaps than exact ones
    "initial_chunk_size_bytes": 1 << 20,
    "max_dead_bytes_per_chunk": 1 << 16,  # of a free piece that is larger, the rest is for others
    "max_mem": 0,
}
REMEDY = "update onnxruntime and enhance-cli, or export the model again"


class Graph:
    """Hold a graph that is ready to run, from several threads at once.

    `facts`: properties of the network beyond the model's header, such as "receptive_field" and "parameters".
    `metadata`: all of the file's.
    """

    def __init__(self, graph: bytes, name: str, *, weights: Mapping[str, np.ndarray] | None = None, threads: int = 1):
        """Open a graph.

        Args:
            graph: the bytes of an .onnx file.
            name: path of the model for messages.
            weights: arrays for the graph's initializers that hold none.
            threads: number of CPU threads that compute one call.

        Raises ModelError if it is damaged, needs operators or files that are not there, or does not fit the weights.
        """
        self.name = name
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # errors come as exceptions
        # Frees maps early: the parts of them that a state keeps are taken at once
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
        options.enable_mem_pattern = False  # a plan for each length of window takes twice the memory and saves no time
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
        options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            if weights:
                options.add_external_initializers(
                    list(weights), [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
                )
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
            self.facts: dict = json.loads(self.metadata.get(FACTS_KEY, "{}"))
        except Exception as error:  # a stranger's file can be anything
            raise ModelError(f"{name}: ONNX Runtime cannot open its graph ({one_line(error)[:300]})", REMEDY) from error
        self.inputs: dict[str, list] = {item.name: item.shape for item in self._session.get_inputs()}
        self.outputs = [item.name for item in self._session.get_outputs()]

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the arrays of the named outputs.

        A file with two networks has the inputs of both. Inputs that are not given receive a single frame of zeros. Raises
        ModelError if the graph cannot be computed.
        """
        others = {name: _one_frame(shape) for name, shape in self.inputs.items() if name not in inputs}
        try:
            return self._session.run(outputs, {**others, **inputs})
        except Exception as error:  # of a class of ONNX Runtime's own
            raise ModelError(
                f"{self.name}: ONNX Runtime cannot run its graph ({one_line(error)[:300]})", REMEDY
            ) from error

    def require(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Raise ModelError unless the graph has these inputs and outputs."""
        if missing := (set(inputs) - set(self.inputs)) | (set(outputs) - set(self.outputs)):
            reason = f"no {', '.join(sorted(missing))}"
            raise ModelError(f"{self.name}: the graph is not the one that its header describes ({reason})", REMEDY)


def import_onnxruntime() -> ModuleType:
    """Return ONNX Runtime. Raises ModelError if it cannot be imported."""
    try:
        import onnxruntime
    except ImportError as error:
        reason = one_line(error)
        hint = "install onnxruntime, or use --runtime torch"
        raise ModelError(f"ONNX Runtime cannot be imported ({reason})", hint) from error
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        hint = "pip install --upgrade onnxruntime, or use --runtime torch"
        raise ModelError(f"ONNX Runtime {onnxruntime.__version__} is older than {oldest}", hint)
    _share_memory(onnxruntime)
    return onnxruntime


@cache
def _share_memory(onnxruntime: ModuleType) -> None:
    """Let all sessions of this process take their memory from one pool, which grows little by little.

    The pool that a session makes of its own accord leaves a third of it unused. In this one the memory that a network was
    opened with serves the next one, and all windows. It stays with the process.
    """
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    with contextlib.suppress(Exception):  # another library in this process has made the pool already
        onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg(POOL))


def _one_frame(shape: Sequence[int | str]) -> np.ndarray:
    """Return zeros for an input of this shape, where a name stands for a size that varies."""
    return np.zeros([size if isinstance(size, int) else 1 for size in shape], np.float32)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the weights of a .safetensors file by name, float32. Raises ModelError."""
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118 - it is no mapping
            return {name: array.astype(np.float32) for name, array in tensors if array.dtype.kind == "f"}  # no counters
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error})", "see `enhance models list`") from error
