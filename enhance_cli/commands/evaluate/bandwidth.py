"""Run `enhance evaluate --task extend-bandwidth`: cut clean recordings at some frequencies, extend them, and compare.

A recording cut at F Hz is one at the rate 2 F, as telephones and codecs make it. Everything is compared in mono at
48 kHz. The first row is the recording that was cut, brought back to that rate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enhance_cli.commands.evaluate.inputs import numbers, read_whole
from enhance_cli.commands.evaluate.scoring import System, noise, score_made
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

RATE = 48000
TASK: Final = "extend-bandwidth"
CUTOFFS = "4000,8000,12000"
LOWEST, HIGHEST = 2000, 16000  # Hz
TITLES = {
    "lsd": "LSD",
    "lsd_high": "made band",
    "lsd_matched": "level-matched",
    "level_error": "level dB",
    "added": "pauses dB",
}
DIGITS = {"level_error": 1, "added": 2}


@dataclass(frozen=True)
class Clean:
    """Hold a recording in mono at 48 kHz (N,), and the same cut: (1, M) at its low rate, and (N,) at 48 kHz again."""

    whole: "np.ndarray"
    cut: "np.ndarray"
    low: "np.ndarray"
    cutoff: int

    @property
    def seconds(self) -> float:
        return len(self.whole) / RATE


def evaluate_bandwidth(folder: Path, cutoffs: str | None, *, models: list[str], device: str, as_json: bool) -> bool:
    """Print the table or JSON lines. Returns whether some file could not be scored. Raises UsageError before any work."""
    from enhance_cli.metrics.made_band import score
    from enhance_cli.models import registry

    frequencies = numbers(cutoffs or CUTOFFS, "--cutoff", int, LOWEST, HIGHEST, CUTOFFS)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name one with clean recordings at 44.1 kHz or more")
    runs = {name: _extend(name, device) for name in models or [registry.find(None, TASK).name]}

    def systems_for(cutoff: int) -> list[System]:
        cut = System(f"cut at {cutoff / 1000:g} kHz", lambda clean: clean.low)
        return [cut, *(System(name, lambda clean: clean, run) for name, run in runs.items())]

    measure = lambda clean, made: score(clean.whole, made, clean.low, clean.cutoff)
    return score_made(
        folder, frequencies, named="cutoff", systems_for=systems_for, read=read, measure=measure, titles=TITLES,
        digits=DIGITS, as_json=as_json,
    )  # fmt: skip


def read(path: Path, cutoff: int) -> Clean:
    """Return a recording, and the same cut. Raises AudioError for one that has nothing above the cutoff."""
    from enhance_cli.audio.channels import to_mono
    from enhance_cli.audio.resample import resample
    from enhance_cli.audio.spectra.band_edge import BandMeter

    audio, rate = read_whole(path)
    whole = resample(to_mono([audio])[None], rate, RATE)
    meter = BandMeter(RATE)
    meter.push(whole)
    if meter.edge is not None:
        raise AudioError(f"holds nothing above {meter.edge:.0f} Hz", "name recordings with a full band")
    cut = resample(whole, RATE, 2 * cutoff)
    low = resample(cut, 2 * cutoff, RATE)
    length = min(whole.shape[1], low.shape[1])
    return Clean(whole[0, :length], cut, low[0, :length], cutoff)


def _extend(name: str, device: str) -> "Callable[[Clean], np.ndarray]":
    """Return the function that extends a Clean to (N,) by the model called `name`, which is loaded."""
    import numpy as np

    from enhance_cli import load_model
    from enhance_cli.tasks.extend_bandwidth import BandwidthExtender

    extender = BandwidthExtender(load_model(name, task=TASK, device=device))
    extender.run(noise(16000), 16000)  # keeps the costs of a first call out of the speed

    def extend(clean: Clean) -> "np.ndarray":
        made, rate = extender.run(clean.cut, 2 * clean.cutoff)
        if rate != RATE:
            raise AudioError("seems to have a full band", "name other recordings")
        return np.pad(made[0], (0, max(0, len(clean.whole) - made.shape[1])))[: len(clean.whole)]

    return extend
