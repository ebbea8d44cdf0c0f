"""Draw a recording before and after: two spectrograms, one above the other, on one color scale, in one PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from enhance_cli.audio.channels import to_mono
from enhance_cli.audio.read import open_audio

_RANGE = 80.0  # dB below the louder file's maximum that are shown
_WINDOW = 0.032  # seconds
_COLUMNS = 1600  # no picture shows more


def spectrograms(
    before: Path, after: Path, picture: Path, seconds: float = 30, *, tracks: tuple[int | None, ...] = (None, None)
) -> None:
    """Write `picture` (PNG): spectrograms of the first `seconds` of both files, time in s, frequency in kHz, level in
    dB.

    `tracks`: number of the sound track of each, None for the one that a player would take. Raises AudioError if a file
    cannot be read.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    levels = [
        (Path(path), *_levels(Path(path), seconds, track)) for path, track in zip((before, after), tracks, strict=True)
    ]
    top = max(decibels.max() for _, decibels, _, _ in levels)
    figure, axes = pyplot.subplots(2, 1, figsize=(11, 7), sharex=True, layout="constrained")
    for axis, when, (path, decibels, length, rate) in zip(axes, ("before", "after"), levels, strict=True):
        image = axis.imshow(
            decibels - top, origin="lower", aspect="auto", cmap="magma", vmin=-_RANGE, vmax=0,
            extent=(0, length, 0, rate / 2000), interpolation="nearest",
        )  # fmt: skip
        axis.set_title(f"{when}: {path.name}".encode("utf-8", "backslashreplace").decode())
        axis.set_ylabel("frequency in kHz")
    axes[1].set_xlabel("time in s")
    figure.colorbar(image, ax=axes, label="dB below the loudest")
    figure.savefig(picture, dpi=110, format="png")
    pyplot.close(figure)


def _levels(path: Path, seconds: float, track: int | None) -> tuple[np.ndarray, float, int]:
    """Return magnitudes (F, T) in dB of the mean of all channels, their length in s, and the rate in Hz."""
    with open_audio(path, None if track is None else str(track)) as audio:
        rate = audio.info.rate
        signal = to_mono(audio.blocks(duration=seconds))
    size = max(2 * round(_WINDOW * rate / 2), 16)
    length = len(signal) / rate
    signal = np.pad(signal, (size // 2, size // 2))
    step = max(size // 4, -(-len(signal) // _COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[::step]
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32))).T
    return 20 * np.log10(np.maximum(magnitudes, 1e-10)), length, rate
