"""Draw a recording before and after: two spectrograms, one above the other, on one color scale, in one PNG."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from enhance_cli.audio.drawing.overview import Overview, overview
from enhance_cli.audio.drawing.overview_pictures import RANGE, silence_matplotlib
from enhance_cli.audio.one_channel import only_channels
from enhance_cli.audio.read import open_audio


def spectrograms(
    before: Path,
    after: Path,
    picture: Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    channels: str | None = None,
    tracks: tuple[str | None, str | None] = (None, None),
    name: str = "",
) -> None:
    """Write `picture` (PNG), the spectrograms of both files, in dB below the maximum of the louder one.

    Power is the mean of all channels. Raises AudioError if a file cannot be read.

    Args:
        before, after: the two files.
        picture: the file to write.
        start, duration: part of the first file that became the second, in seconds.
        channels: the channel of the first file, as in only_channels, None for all.
        tracks: number or language of the sound track of each file, None for the default track.
        name: name of the first file in the title, if it is not that of its path.
    """
    silence_matplotlib()
    # Files are drawn in several threads, in which pyplot must not be used.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    surveys = (_survey(before, tracks[0], start, duration, channels), _survey(after, tracks[1]))
    top = max(max(survey.spectrum.max() for survey in surveys), 1e-20)  # silence is black too
    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 1, sharex=True, sharey=True)
    titles = (f"before: {name or before.name}", f"after: {after.name}")
    for axis, title, survey in zip(axes, titles, surveys, strict=True):
        decibels = 10 * np.log10(np.maximum(survey.spectrum / top, 1e-30))
        image = axis.imshow(
            decibels, origin="lower", aspect="auto", cmap="magma", vmin=-RANGE, vmax=0, interpolation="nearest",
            extent=(0, survey.hop * decibels.shape[1], 0, survey.rate / 2000),
        )  # fmt: skip
        mean = f" (mean of {survey.channels} channels)" if survey.channels > 1 else ""
        axis.set_title(title.encode("utf-8", "backslashreplace").decode() + mean, parse_math=False)
        axis.set_ylabel("frequency in kHz")
        axis.set_facecolor("black")
    axes[0].set_xlim(0, max(survey.seconds for survey in surveys))
    axes[0].set_ylim(0, max(survey.rate for survey in surveys) / 2000)
    axes[1].set_xlabel("time in s")
    figure.colorbar(image, ax=axes, label="dB below the loudest")
    warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # letters of a name that the font lacks
    figure.savefig(picture, dpi=110, format="png")


def _survey(
    path: Path, track: str | None, start: float = 0.0, duration: float | None = None, channels: str | None = None
) -> Overview:
    with open_audio(path, track) as audio:
        audio = audio if channels is None else only_channels(audio, channels)
        return overview(audio, start=start, duration=duration)
