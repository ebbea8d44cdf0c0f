"""Scale recordings to the level that a model was trained at."""

from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.levels.level_track import LevelTrack


@dataclass(frozen=True)
class Scale:
    """Hold the factors that scale a file for a model: `level` / `track`, or `level` itself without a track."""

    level: float
    track: LevelTrack | None = None

    def at(self, start: int, samples: int, rate: int) -> np.ndarray:
        """Return the factors from the sample `start` on at `rate`.

        (C, samples) or (C, 1), where C is 1 if all channels share them.
        """
        if self.track is None:
            return np.array([[self.level]])
        return self.level / self.track.at(start, samples, rate)

    @property
    def overall(self) -> np.ndarray:
        """Return the factors (C or 1, 1) that bring the overall level of the file to that of a model."""
        return np.array([[self.level]]) if self.track is None else self.level / self.track.overall[:, None]
