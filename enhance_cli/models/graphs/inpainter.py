"""Fill gaps with ONNX Runtime and NumPy, as models.windowed_inpainter and models.masked do in torch.

The known samples get the noise of torch's generator (models.frame_noise_numpy), so both runtimes give the same filling up to
rounding.
"""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np

from enhance_cli.models.frame_noise_numpy import FrameNoise
from enhance_cli.models.graphs.model import Estimate, SpectrogramModel
from enhance_cli.models.sampling import Sampling, prepare
from enhance_cli.processes.process import Bridge


class GraphInpainter:
    """Fill gaps in windows, as models.windowed_inpainter.WindowedInpainter."""

    def __init__(self, model: SpectrogramModel, sampling: Sampling, *, rounds: int = 1):
        """Prepare the sampler. `rounds`: network calls per step (models.masked).

        Raises UsageError for steps and a sampler that the model does not allow.
        """
        self.model, self.spec, self.frontend = model, model.spec, model.frontend
        self.seed, self.rounds = sampling.seed, rounds
        self.rate, self.grid = model.spec.sample_rate, self.frontend.hop
        self.steps, self.sample = prepare(model.spec, model.process, sampling)
        self.guided = model.graph is not None and "guide" in model.graph.inputs

    def filled(
        self,
        windows: Sequence[np.ndarray],
        missing: Sequence[np.ndarray],
        starts: Sequence[int],
        scales: Sequence[float],
    ) -> list[np.ndarray]:
        """Return windows (C, n) with their gaps filled. Arguments and result as in WindowedInpainter."""
        if not self.steps:
            return [np.asarray(window, np.float32) for window in windows]
        found = []
        for window, gaps, start, scale in zip(windows, missing, starts, scales):
            rows = zip(window.astype(np.float32), np.broadcast_to(gaps, window.shape))
            found.append(np.stack([self._channel(row, gap, start, np.float32(scale)) for row, gap in rows]))
        return found

    def _channel(self, audio: np.ndarray, gaps: np.ndarray, start: int, scale: np.float32) -> np.ndarray:
        """Return one channel (n,) with its gaps, of bool, filled."""
        wave = audio * scale
        if self.guided:
            wave = np.where(gaps, np.float32(0), wave)
        spectrum = self._estimate(wave, gaps, start // self.grid)
        return np.where(gaps, self.frontend.synthesize(spectrum, len(audio))[0] / scale, audio)

    def _estimate(self, wave: np.ndarray, gaps: np.ndarray, first_frame: int) -> np.ndarray:
        """Return the filled spectrogram (1, 2, T, F) of a wave (n,) at the level of the model."""
        samples = len(wave)
        known = self.frontend.analyze(wave[None])
        hidden = np.abs(self.frontend.analyze(gaps[None].astype(np.float32)))
        untouched = hidden.max(axis=(1, 3), keepdims=True) == 0  # frames (1, 1, T, 1)
        process = self.model.process
        noise = FrameNoise(self.seed, first_frame, known.shape[1:], process.noise_scale)
        guide = missing_share(gaps, self.grid)[None, None] if self.guided else None

        def project(x0: np.ndarray) -> np.ndarray:
            filled = np.where(gaps, self.frontend.synthesize(x0, samples), wave)
            return self.frontend.analyze(filled.astype(np.float32))

        start, estimate = self.model.bind(known, guide=guide)
        hinted = masked(estimate, process, known, untouched, noise, rounds=self.rounds, project=project)
        return self.sample(hinted, process, start, self.steps, noise)


def masked(
    estimate: Estimate,
    process: Bridge,
    known: np.ndarray,
    mask: np.ndarray,
    noise: Callable[[], np.ndarray],
    *,
    rounds: int,
    project: Callable[[np.ndarray], np.ndarray],
) -> Estimate:
    """Return an `estimate(x, t)` that leaves the known part alone, as models.masked.masked for sampling from `known`."""

    def hinted(x: np.ndarray, t: float) -> np.ndarray:
        for left in reversed(range(rounds)):
            x0 = project(estimate(np.where(mask, drawn(process, known, known, t, noise()), x), t))
            if left:
                x = drawn(process, x0, known, t, noise())
        return x0

    return hinted


def drawn(process: Bridge, x0: np.ndarray, y: np.ndarray, t: float, noise: np.ndarray) -> np.ndarray:
    """Return the state at time t between x0 and y, float32, as Bridge.sample."""
    share, alpha = process.variance(t), process.alpha(t)
    mean = np.float32(alpha * (1 - share)) * x0 + np.float32(alpha / process.alpha(1.0) * share) * y
    return mean + np.float32(alpha * process.scale * sqrt(max(share * (1 - share), 0))) * noise


def missing_share(missing: np.ndarray, hop: int) -> np.ndarray:
    """Return the share of missing samples in the 2 `hop` around every multiple of `hop`, (n // hop + 1,) of (n,)."""
    padded = np.pad(missing.astype(np.float32), hop)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop].mean(axis=1)
