"""Run denoising models with ONNX Runtime and NumPy, as models.windowed_denoiser does in torch.

Only the sampler bridge_ode is supported. It is deterministic. The others draw noise from torch's generators.
"""

from collections.abc import Sequence

import numpy as np

from enhance_cli.models.graphs.denoiser_stream import StreamingDenoiser
from enhance_cli.models.graphs.graph import Graph
from enhance_cli.models.graphs.inpainter import GraphInpainter
from enhance_cli.models.graphs.model import SpectrogramModel
from enhance_cli.models.graphs.streams import GraphFrames, GraphSpectra
from enhance_cli.models.sampling import Sampling, prepare
from enhance_cli.models.spec import Spec


class GraphDenoiserModel(SpectrogramModel):
    """Hold a denoising model ready to run. `stream_network`: network that runs as a stream, or None."""

    def __init__(self, spec: Spec, windows: Graph | None, stream: Graph | None):
        """Take the graphs of the network that runs in windows, and of the one that runs as a stream.

        Raises ModelError for the graphs of other kinds of networks.
        """
        super().__init__(spec, windows)
        self.stream_network: GraphFrames | GraphSpectra | None = None
        if stream is not None:
            self.stream_network = GraphSpectra(stream) if "n_fft" in stream.facts else GraphFrames(stream)

    def windowed(self, sampling: Sampling, *, guide: str | None = None) -> "GraphDenoiser | StreamingDenoiser":
        """Return the model over streams of waveforms if its graph carries a state, or over windows.

        `guide` is not used: models with a guide run on torch.
        """
        carries = self.graph is not None and "behind" in self.graph.facts
        return StreamingDenoiser(self, sampling) if carries else GraphDenoiser(self, sampling)

    def inpainter(self, sampling: Sampling, *, rounds: int = 1) -> GraphInpainter:
        """Return the model over windows with gaps. Arguments as in GraphInpainter."""
        return GraphInpainter(self, sampling, rounds=rounds)


class GraphDenoiser:
    """Compute the change that a model makes to windows, as models.windowed_denoiser.WindowedDenoiser."""

    guide_reach = 0

    def __init__(self, model: SpectrogramModel, sampling: Sampling):
        """Prepare the sampler. Raises UsageError for steps, a sampler or settings that the model does not allow."""
        assert model.graph is not None  # `model` has a network for windows
        self.model, self.frontend = model, model.frontend
        self.rate, self.hop, self.grid = model.spec.sample_rate, self.frontend.hop, self.frontend.hop
        self.fills_up = self.frontend.pad_mode == "constant"
        self.steps, self.sample = prepare(model.spec, model.process, sampling)
        receptive_field = model.graph.facts["receptive_field"]
        self.reach = None if receptive_field is None else (receptive_field * self.steps + 2) * self.hop

    def changes(self, windows: Sequence[np.ndarray], starts: Sequence[int], scales: Sequence) -> list[np.ndarray]:
        """Denoise windows of one shape. Arguments and result as in WindowedDenoiser."""
        made = []
        for window, scale in zip(windows, scales):
            audio = window.astype(np.float32, copy=False)
            factors = np.broadcast_to(scale.astype(np.float32), (len(audio), scale.shape[1]))
            made.append(np.concatenate([*map(self._change, audio[:, None], factors[:, None]), audio]))
        return made

    def _change(self, audio: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Return the change to one channel (1, n). One channel at a time takes less memory, and no more time."""
        y = self.frontend.analyze(self._padded(audio * factor))
        estimate, samples = self._estimate(y), audio.shape[1]
        return (self.frontend.synthesize(estimate, samples) - self.frontend.synthesize(y, samples)) / factor

    def refinements(self, windows: Sequence[np.ndarray], starts: Sequence[int]) -> list[np.ndarray]:
        """Refine the estimates of a first stage. Arguments and result as in WindowedDenoiser."""
        sides = (np.split(window.astype(np.float32, copy=False), 2) for window in windows)
        return [np.concatenate([*map(self._refinement, noisy[:, None], first[:, None])]) for noisy, first in sides]

    def _refinement(self, noisy_wave: np.ndarray, first_wave: np.ndarray) -> np.ndarray:
        """Return the change to the estimate `first_wave` of one channel, (1, n)."""
        samples = noisy_wave.shape[1]
        noisy, first = (self.frontend.analyze(self._padded(wave)) for wave in (noisy_wave, first_wave))
        estimate = self._estimate(noisy, first)[:, :, : first.shape[2]]
        silent = (noisy == 0).all(axis=3, keepdims=True).all(axis=1, keepdims=True)
        estimate = np.where(silent, first, estimate)  # digital silence stays digital silence
        change = self.frontend.synthesize(estimate, samples) - self.frontend.synthesize(first, samples)
        return np.float32(self.model.spec.refinement) * change

    def _padded(self, audio: np.ndarray) -> np.ndarray:
        return np.pad(audio, ((0, 0), (0, -audio.shape[1] % self.hop if self.fills_up else 0)))

    def _estimate(self, noisy: np.ndarray, first: np.ndarray | None = None) -> np.ndarray:
        """Return the clean estimate (1, 2, T, F) of a spectrogram, with the frames of its padding.

        `first`: the estimate of a first stage.
        """
        pad = self.model.pad_frames
        start, estimate = self.model.bind(pad(noisy), first=None if first is None else pad(first))
        return self.sample(estimate, self.model.process, start, self.steps, None)
