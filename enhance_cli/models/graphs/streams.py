"""Run networks with memory on ONNX Runtime: consecutive frames and a state in, results and the next state out.

models.spectral_stream and models.deep_filter_stream feed them with frames.
"""

import numpy as np

from enhance_cli.models.graphs.graph import Graph

State = dict[str, np.ndarray]  # the tensors of a state by the names of the graph's inputs
STATE = ("erb", "spec", "c0", "encoder_gru", "erb_gru", "df_gru")  # of networks.deepfilternet


class GraphSpectra:
    """Run a network that maps spectra to clean spectra (models.spectral_stream)."""

    def __init__(self, graph: Graph):
        """Take the graph, whose facts describe the transform. Raises ModelError for the graph of another kind of network."""
        facts = graph.facts
        graph.require(["spectra", *(f"state.{name}" for name in facts["state"])], ["clean"])
        self.n_fft, self.hop, self.window = facts["n_fft"], facts["hop"], facts["window"]
        self.end, self.delay, self._graph = facts["end"], facts["delay"], graph
        self._names = [f"state.{name}" for name in facts["state"]]

    def initial_state(self, batch: int) -> State:
        """Return the state before the first frame."""
        state = {}
        for name, (shape, axis, values) in self._graph.facts["state"].items():
            one = np.zeros(shape, np.float32) if values is None else np.array(values, np.float32).reshape(shape)
            state[f"state.{name}"] = np.concatenate([one] * batch, axis=axis)
        return state

    def infer(self, spectra: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Return the clean spectra (B, T, F), complex64, and the new state for the next T frames."""
        parts = np.ascontiguousarray(spectra, np.complex64)[..., None].view(np.float32)
        clean, *new = self._graph.run(["clean", *(f"new_{name}" for name in self._names)], {"spectra": parts, **state})
        return np.ascontiguousarray(clean).view(np.complex64)[..., 0], dict(zip(self._names, new))


class GraphFrames:
    """Run DeepFilterNet (networks.deepfilternet)."""

    def __init__(self, graph: Graph):
        graph.require(["erb", "spec", *(f"state.{name}" for name in STATE)], ["gains", "taps"])
        self._graph = graph
        self._names: list[str] = [name for name in graph.inputs if name.startswith("state.")]

    def initial_state(self, batch: int) -> State:
        """Return the state before the first frame: silence."""
        shapes = {name: self._graph.inputs[name] for name in self._names}
        return {
            name: np.zeros([size if isinstance(size, int) else batch for size in shape], np.float32)
            for name, shape in shapes.items()
        }

    def infer(self, erb: np.ndarray, spec: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """Return gains (B, T, 32), taps (B, T, 96, 5, 2) and the new state for the next T frames."""
        outputs = ["gains", "taps", *(f"new_{name}" for name in self._names)]
        gains, taps, *new = self._graph.run(outputs, {"erb": erb, "spec": spec, **state})
        return gains, taps, dict(zip(self._names, new))
