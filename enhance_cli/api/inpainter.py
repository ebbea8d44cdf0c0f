"""Fill gaps in recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


class Inpainter:
    """Fill gaps in recordings. Several threads may call it at the same time."""

    def __init__(self) -> None:
        from enhance_cli.tasks.inpaint import Inpainter

        self._inpainter = Inpainter()

    def __call__(self, audio: np.ndarray, rate: int, gaps: Sequence[tuple[float, float]] | None = None) -> np.ndarray:
        """Return `audio` (C, N) or (N,), full scale 1, at `rate` Hz, with its gaps filled. All other samples are the same.

        gaps: beginnings and ends in seconds, None to find dropouts. Raises UsageError for gaps that overlap, that lie
        outside, and for one that is all of the recording.
        """
        import numpy as np

        from enhance_cli.tasks.inpaint import run

        audio = np.asarray(audio)
        return run(np.atleast_2d(audio), rate, gaps or (), self._inpainter).reshape(audio.shape)


def inpaint(audio: np.ndarray, rate: int, gaps: Sequence[tuple[float, float]] | None = None) -> np.ndarray:
    """Return `audio` (C, N) or (N,), full scale 1, at `rate` Hz, with its gaps filled. Arguments as in Inpainter."""
    return Inpainter()(audio, rate, gaps)
