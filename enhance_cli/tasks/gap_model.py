"""Fill a gap by a model that samples, from the sound on either side of it (models.windowed_inpainter)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from enhance_cli.audio.gaps.level import raised
from enhance_cli.audio.resample import resample
from enhance_cli.tasks.options import InpaintOptions

if TYPE_CHECKING:
    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.graphs.inpainter import GraphInpainter
    from enhance_cli.models.load import Model
    from enhance_cli.models.windowed_inpainter import WindowedInpainter

CONTEXT_SECONDS = 1.5  # on either side
EDGE_SECONDS = 0.01  # of the filling, at either end, in which it fades into the first one


class GapModel:
    """Fill gaps with a WindowedInpainter, or its like for ONNX Runtime.

    `name` is that of its model. `strength` 0 to 1: how much of it is sampled.
    """

    def __init__(self, windowed: WindowedInpainter | GraphInpainter, strength: float = 1.0):
        self.windowed, self.name, self.strength = windowed, windowed.spec.name, strength

    @classmethod
    def of(cls, model: Model | GraphDenoiserModel, options: InpaintOptions) -> GapModel:
        """Return the GapModel of a loaded model. Raises UsageError for one that cannot, and for options it does not allow."""
        of_both: Any = {name: getattr(options, name) for name in ("steps", "sampler", "rounds", "seed")}
        loaded: Any = model  # of a class that need not be imported to tell
        if model.runtime == "onnx":
            return cls(loaded.inpainter(**of_both))
        from enhance_cli.models.windowed_inpainter import WindowedInpainter

        settings = {} if options.strength == 1 else {"strength": options.strength}
        return cls(WindowedInpainter(loaded, sampler_args=settings, **of_both), options.strength)

    def scale(self, active: float, peak: float) -> float:
        """Return the factor for the model of a recording with this active level and peak, both linear."""
        spec = self.windowed.spec
        known = {"level": active, "peak": peak}.get(spec.normalise)
        return (spec.level if spec.normalise == "level" else 1.0) / known if known else 1.0

    def fill(
        self, before: np.ndarray, first: np.ndarray, behind: np.ndarray, *, rate: int, start: int, scale: float
    ) -> np.ndarray:
        """Return the samples (C, n) of a gap at `rate`, those of `first` where it sampled nothing.

        Args:
            before, behind: known samples (C, m) on either side.
            first: first filling (C, n), which continues the sound at both ends.
            rate: in Hz. Above half the rate of the model a filling is silent.
            start: position of `before` in the recording, in samples, which the noise belongs to.
            scale: see `scale`.
        """
        if not self.windowed.steps:
            return first
        own_rate, grid = self.windowed.rate, self.windowed.grid
        window = np.concatenate([before, first, behind], axis=1)
        wave = resample(window.astype(np.float32), rate, own_rate)
        begin, end = (edge * own_rate / rate for edge in (before.shape[1], before.shape[1] + first.shape[1]))
        missing = np.zeros(wave.shape[1], bool)
        missing[max(int(begin) - 1, 0) : int(np.ceil(end)) + 1] = True
        position = int(start * own_rate / rate) // grid * grid
        filled = self.windowed.filled([wave], [missing], [position], [scale])[0]
        places = np.flatnonzero(missing)
        filled = raised(filled, int(places[0]), int(places[-1]) + 1, own_rate, strength=self.strength)
        filled = resample(filled, own_rate, rate)
        made = np.zeros(first.shape)
        found = filled[:, before.shape[1] : before.shape[1] + first.shape[1]]
        made[:, : found.shape[1]] = found
        weight = np.ones(first.shape[1])
        edge = min(int(EDGE_SECONDS * rate), len(weight) // 2)
        rise = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / max(edge, 1)) ** 2
        weight[:edge], weight[len(weight) - edge :] = rise, rise[::-1]
        return weight * made + (1 - weight) * first
