"""Fill gaps by ONNX Runtime and NumPy, as models.windowed_inpainter and models.masked do in torch.

The noise that hints are drawn with is that of torch's generator (models.frame_noise_numpy), so both runtimes fill alike.
"""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

import numpy as np

from enhance_cli.audio.spectra.stft_numpy import NumpyFrontend
from enhance_cli.models.frame_noise_numpy import FrameNoise
from enhance_cli.models.graphs.graph import Graph
from enhance_cli.models.sampling import prepare
from enhance_cli.models.spec import Spec
from enhance_cli.processes.process import Bridge

GUIDE = "guide"  # input of the graph: the share of missing samples around every frame


class GraphInpainter:
    """Fill gaps in windows, as models.windowed_inpainter.WindowedInpainter."""

    def __init__(
        self,
        spec: Spec,
        graph: Graph,
        process: Any,
        frontend: NumpyFrontend,
        *,
        steps: int | None,
        sampler: str | None,
        rounds: int = 1,
        seed: int = 0,
    ):
        """Take the settings of WindowedInpainter. Raises UsageError for steps and a sampler that the model does not allow."""
        self.spec, self.graph, self.process, self.frontend = spec, graph, process, frontend
        self.seed, self.rounds = seed, rounds
        self.rate, self.grid = spec.sample_rate, frontend.hop
        self.steps, self.sample = prepare(spec, process, steps=steps, sampler=sampler, given={})
        self.guided = GUIDE in graph.inputs

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
        """Return the filled spectrogram (1, 2, T, F) of a wave (n,) at the level that the model knows."""
        samples = len(wave)
        known = self.frontend.analyze(wave[None])
        hidden = np.abs(self.frontend.analyze(gaps[None].astype(np.float32)))
        untouched = hidden.max(axis=(1, 3), keepdims=True) == 0  # frames (1, 1, T, 1)
        noise = FrameNoise(self.seed, first_frame, known.shape[1:], self.process.noise_scale)
        guide = {GUIDE: missing_share(gaps, self.grid)[None, None]} if self.guided else {}

        def project(x0: np.ndarray) -> np.ndarray:
            filled = np.where(gaps, self.frontend.synthesize(x0, samples), wave)
            return self.frontend.analyze(filled.astype(np.float32))

        def estimate(x: np.ndarray, t: float) -> np.ndarray:
            inputs = {"x": x.astype(np.float32, copy=False), "y": known, "t": np.full(1, t, np.float32), **guide}
            return self.graph.run(["estimate"], inputs)[0]

        hinted = masked(estimate, self.process, known, untouched, noise, rounds=self.rounds, project=project)
        return self.sample(hinted, self.process, known, self.steps, noise)


def masked(
    estimate: Callable[[np.ndarray, float], np.ndarray],
    process: Bridge,
    known: np.ndarray,
    mask: np.ndarray,
    noise: Callable[[], np.ndarray],
    *,
    rounds: int,
    project: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, float], np.ndarray]:
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
