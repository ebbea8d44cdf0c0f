"""Fill a gap by a model that samples, from the sound on either side of it (models.windowed_inpainter)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.audio.gaps.level import raised
from enhance_cli.audio.resample import resample
from enhance_cli.models.sampling import Sampling
from enhance_cli.tasks.options import InpaintOptions

if TYPE_CHECKING:
    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.graphs.inpainter import GraphInpainter
    from enhance_cli.models.load import Model
    from enhance_cli.models.windowed_inpainter import WindowedInpainter

CONTEXT_SECONDS = 1.5  # on either side
EDGE_SECONDS = 0.01  # of the filling, at either end, in which it fades into the first one


class GapModel:
    """Fill gaps with a WindowedInpainter or a GraphInpainter.

    `name`: name of the model. `strength` 0 to 1: share of the sampling path that is used.
    """

    def __init__(self, windowed: WindowedInpainter | GraphInpainter, strength: float = 1.0):
        self.windowed, self.name, self.strength = windowed, windowed.spec.name, strength

    @classmethod
    def of(cls, model: Model | GraphDenoiserModel, options: InpaintOptions) -> GapModel:
        """Return the GapModel of a loaded model. Raises ModelError for one that cannot, UsageError for options."""
        strength = 1.0 if model.runtime == "onnx" else options.strength  # a graph always samples the whole path
        settings = {} if strength == 1 else {"strength": strength}
        sampling = Sampling(options.steps, options.sampler, settings, options.seed)
        return cls(model.inpainter(sampling, rounds=options.rounds), strength)

    def scale(self, active: float, peak: float) -> float:
        """Return the factor for the model of a recording with this active level and peak, both linear."""
        spec = self.windowed.spec
        known = {"level": active, "peak": peak}.get(spec.normalise)
        return (spec.level if spec.normalise == "level" else 1.0) / known if known else 1.0

    def fill(
        self, before: np.ndarray, first: np.ndarray, behind: np.ndarray, *, rate: int, start: int, scale: float
    ) -> np.ndarray:
        """Return the samples (C, n) of a gap at `rate`, or `first` if the model takes no steps.

        Args:
            before, behind: known samples (C, m) on either side.
            first: first filling (C, n), which continues the sound at both ends.
            rate: in Hz. Above half the rate of the model a filling is silent.
            start: position of `before` in the recording, in samples, which decides the noise.
            scale: see `scale`.
        """
        if not self.windowed.steps:
            return first
        begin, end = before.shape[1], before.shape[1] + first.shape[1]
        window = np.concatenate([before, first, behind], axis=1)
        filled = self._filled(window, begin, end, rate=rate, start=start, scale=scale)[:, begin:end]
        made = np.zeros(first.shape)
        made[:, : filled.shape[1]] = filled  # resampling there and back may end a sample or two early
        weight = _fading_in_and_out(first.shape[1], int(EDGE_SECONDS * rate))
        return weight * made + (1 - weight) * first

    def _filled(self, window: np.ndarray, begin: int, end: int, *, rate: int, start: int, scale: float) -> np.ndarray:
        """Return the window (C, n) at `rate` with the samples [begin, end) filled by the model, at the model's rate."""
        own_rate, grid = self.windowed.rate, self.windowed.grid
        wave = resample(window.astype(np.float32), rate, own_rate)
        first, last = max(int(begin * own_rate / rate) - 1, 0), int(np.ceil(end * own_rate / rate)) + 1
        missing = np.zeros(wave.shape[1], bool)
        missing[first:last] = True
        position = int(start * own_rate / rate) // grid * grid
        filled = self.windowed.filled([wave], [missing], [position], [scale])[0]
        filled = raised(filled, first, min(last, wave.shape[1]), own_rate, strength=self.strength)
        return resample(filled, own_rate, rate)


def _fading_in_and_out(samples: int, edge: int) -> np.ndarray:
    """Return weights (samples,) that rise from 0 to 1 over `edge` samples, at most half of all, and fall in the same way."""
    weight = np.ones(samples)
    edge = min(edge, samples // 2)
    rise = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / max(edge, 1)) ** 2
    weight[:edge], weight[samples - edge :] = rise, rise[::-1]
    return weight
