"""Run denoising models by ONNX Runtime and NumPy, as models.load, models.windowed_denoiser and DeepFilterNet do in torch.

Only the deterministic sampler of bridges is here, since the noise that others draw comes from torch's generators.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from enhance_cli.audio.spectra.stft_numpy import NumpyFrontend
from enhance_cli.models.graphs.graph import Graph
from enhance_cli.models.graphs.inpainter import GraphInpainter
from enhance_cli.models.graphs.model import OnnxModel
from enhance_cli.models.sampling import prepare
from enhance_cli.models.spec import Spec
from enhance_cli.processes import PROCESSES

State = dict[str, np.ndarray]
STATE = ("erb", "spec", "c0", "encoder_gru", "erb_gru", "df_gru")  # of networks.deepfilternet


class GraphDenoiserModel(OnnxModel):
    """Hold a denoising model ready to run, as models.load.Model. `stream_network` runs as a stream, or is None."""

    def __init__(self, spec: Spec, windows: Graph | None, stream: Graph | None):
        """Take the graphs of the network that runs in windows, and of the one that runs as a stream.

        Raises ModelError if they are graphs of other networks.
        """
        self.spec, self.graph = spec, windows
        if windows:
            windows.require(["x", "y", "t"], ["estimate"])
        self.process = PROCESSES[spec.process](**spec.process_args) if spec.process else None
        self.frontend = None if spec.frontend is None else NumpyFrontend(**spec.frontend)
        self.stream_network: GraphFrames | GraphSpectra | None = None
        if stream is not None:
            self.stream_network = GraphSpectra(stream) if "n_fft" in stream.facts else GraphFrames(stream)

    def windowed(self, **settings: Any) -> "GraphDenoiser":
        """Return the model over windows of waveforms, with the settings of GraphDenoiser."""
        assert self.graph is not None and self.frontend is not None  # networks that run in windows have both
        return GraphDenoiser(self.spec, self.graph, self.process, self.frontend, **settings)

    def inpainter(self, **settings: Any) -> GraphInpainter:
        """Return the model over windows with gaps, with the settings of GraphInpainter."""
        assert self.graph is not None and self.frontend is not None
        return GraphInpainter(self.spec, self.graph, self.process, self.frontend, **settings)


class GraphSpectra:
    """Run a network that maps spectra to spectra with a state, over consecutive frames (models.spectral_stream)."""

    def __init__(self, graph: Graph):
        """Take the graph, whose facts say how its spectra are made. Raises ModelError if it is another one."""
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
    """Run DeepFilterNet over consecutive frames (networks.deepfilternet)."""

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


class GraphDenoiser:
    """Compute the change that a model makes to windows, as models.windowed_denoiser.WindowedDenoiser."""

    guide_reach = 0

    def __init__(
        self,
        spec: Spec,
        graph: Graph,
        process: Any,
        frontend: NumpyFrontend,
        *,
        steps: int | None,
        sampler: str | None,
        sampler_args: dict,
        guide: str | None,
        seed: int,
    ):
        """Prepare the sampler. `guide` and `seed` are not used: the sampler is deterministic.

        Raises UsageError for steps, sampler or settings that the model does not allow.
        """
        self.spec, self.graph, self.process, self.frontend = spec, graph, process, frontend
        self.rate, self.hop, self.grid = spec.sample_rate, frontend.hop, frontend.hop
        self.fills_up = frontend.pad_mode == "constant"
        self.steps, self.sample = prepare(spec, process, steps=steps, sampler=sampler, given=sampler_args)
        receptive_field = graph.facts["receptive_field"]
        self.reach = None if receptive_field is None else (receptive_field * self.steps + 2) * self.hop

    def changes(self, windows: Sequence[np.ndarray], starts: Sequence[int], scales: Sequence) -> list[np.ndarray]:
        """Denoise windows of one shape. Arguments and result as in WindowedDenoiser."""
        made = []
        for window, scale in zip(windows, scales):
            audio = window.astype(np.float32)
            factors = np.broadcast_to(scale.astype(np.float32), (len(audio), scale.shape[1]))
            made.append(np.concatenate([*map(self._change, audio[:, None], factors[:, None]), audio]))
        return made

    def _change(self, audio: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Return the change to one channel (1, n). A channel by itself takes less memory, and no more time."""
        y = self.frontend.analyze(self._padded(audio * factor))
        estimate, samples = self._estimate(y, y), audio.shape[1]
        return (self.frontend.synthesize(estimate, samples) - self.frontend.synthesize(y, samples)) / factor

    def refinements(self, windows: Sequence[np.ndarray], starts: Sequence[int]) -> list[np.ndarray]:
        """Refine the estimates of a first stage. Arguments and result as in WindowedDenoiser."""
        sides = (np.split(window.astype(np.float32), 2) for window in windows)
        return [np.concatenate([*map(self._refinement, noisy[:, None], first[:, None])]) for noisy, first in sides]

    def _refinement(self, noisy_wave: np.ndarray, first_wave: np.ndarray) -> np.ndarray:
        """Return the change to the estimate `first_wave` of one channel, (1, n)."""
        samples = noisy_wave.shape[1]
        noisy, first = (self.frontend.analyze(self._padded(wave)) for wave in (noisy_wave, first_wave))
        estimate = self._estimate(noisy, first)[:, :, : first.shape[2]]
        silent = (noisy == 0).all(axis=3, keepdims=True).all(axis=1, keepdims=True)
        estimate = np.where(silent, first, estimate)  # digital silence stays digital silence
        change = self.frontend.synthesize(estimate, samples) - self.frontend.synthesize(first, samples)
        return np.float32(self.spec.refinement) * change

    def _padded(self, audio: np.ndarray) -> np.ndarray:
        return np.pad(audio, ((0, 0), (0, -audio.shape[1] % self.hop if self.fills_up else 0)))

    def _estimate(self, noisy: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the clean estimate (1, 2, T, F) of a spectrogram, sampled from `start`, with the frames of its padding."""
        y, x = self._pad_frames(noisy), self._pad_frames(start)

        def estimate(x: np.ndarray, t: float) -> np.ndarray:
            inputs = {"x": x.astype(np.float32, copy=False), "y": y, "t": np.full(1, t, np.float32)}
            return self.graph.run(["estimate"], inputs)[0]

        return self.sample(estimate, self.process, x, self.steps, None)

    def _pad_frames(self, y: np.ndarray) -> np.ndarray:
        """Pad the frame axis of y (1, 2, T, F) to a multiple of `spec.frames_multiple` (see models.load.Model)."""
        missing = -y.shape[2] % self.spec.frames_multiple
        if not missing:
            return y
        reflect = self.spec.frame_padding == "reflect" and missing < y.shape[2]
        return np.pad(y, ((0, 0), (0, 0), (0, missing), (0, 0)), mode="reflect" if reflect else "constant")
