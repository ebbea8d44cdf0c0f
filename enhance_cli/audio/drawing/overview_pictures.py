"""Draw the overview of a recording for a page: its spectrogram (WebP) and its waveform (PNG, transparent around it)."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from enhance_cli.audio.drawing.overview import Overview

RANGE = 80.0  # dB below the loudest point that are shown
COLORS = ("#b45f06", "#0b7a9e")  # of the waveform before and after: readable on white and on black
_HEIGHT = 96  # pixels of a waveform
_QUALITY = 80


def silence_matplotlib() -> None:
    """Keep Matplotlib from telling about its font cache, or a home folder that cannot be written, also to --quiet jobs.

    It does so while it is imported.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def draw_spectrogram(overview: Overview, top: float, picture: Path) -> None:
    """Write the spectrogram, low frequencies below. `top`: power that has the brightest color.

    The colors are those of matplotlib's magma.
    """
    silence_matplotlib()
    from matplotlib import colormaps
    from PIL import Image

    decibels = 10 * np.log10(np.maximum(overview.spectrum / max(top, 1e-30), 1e-30))
    index = np.clip((decibels / RANGE + 1) * 255, 0, 255).astype(np.uint8)
    colors = (colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    Image.fromarray(colors[index[::-1]]).save(picture, "WEBP", quality=_QUALITY, method=2)


def draw_waveform(overview: Overview, top: float, color: str, picture: Path) -> None:
    """Write the waveform. `top`: sample value at the upper and the lower edge."""
    from PIL import Image

    middle = (_HEIGHT - 1) / 2
    low, high = middle - overview.extremes[::-1] / (max(top, 1e-9) * 1.02) * middle  # rows count downwards
    rows = np.arange(_HEIGHT)[:, None]
    inside = (rows >= np.floor(low)) & (rows <= np.ceil(high))
    image = Image.fromarray(inside.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, *bytes.fromhex(color.lstrip("#"))])
    image.save(picture, "PNG", transparency=0, bits=1, optimize=True)
