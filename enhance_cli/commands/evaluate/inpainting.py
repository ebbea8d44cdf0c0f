"""Run `enhance evaluate --task inpaint`: make gaps in clean recordings, fill them, and compare.

Gaps lie where there is sound, one every two seconds, with the same centers for all lengths. Everything is compared in mono
at the rate of the recording, PESQ at 16 kHz. The first row leaves the gaps silent.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enhance_cli.commands.evaluate.inputs import numbers, read_whole
from enhance_cli.commands.evaluate.scoring import System, score_made
from enhance_cli.console import count_of
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.tasks.inpaint import Inpainter

PESQ_RATE = 16000
LENGTHS = "5,20,50,100,300"
LONGEST = 500  # ms
SLOT, EDGE = 2.0, 0.5  # seconds: one gap in each, this far from its ends
AROUND = 0.05  # seconds around the center, in which there is sound
TRIES = 20  # places in a slot
TITLES = {"sdr": "SDR dB", "lsd": "LSD", "level": "level dB", "pesq": "PESQ"}


@dataclass(frozen=True)
class Broken:
    """Hold a recording in mono (N,) at `rate` Hz, and its gaps in samples."""

    whole: "np.ndarray"
    rate: int
    gaps: list[tuple[int, int]]

    @property
    def seconds(self) -> float:
        return len(self.whole) / self.rate

    @property
    def silenced(self) -> "np.ndarray":
        """Return the recording with silence in its gaps."""
        broken = self.whole.copy()
        for start, end in self.gaps:
            broken[start:end] = 0
        return broken


def evaluate_inpainting(
    folder: Path, lengths: str | None, *, models: list[str], counts: list[int] | None, device: str, as_json: bool
) -> bool:
    """Print the table or JSON lines. Returns whether some file could not be scored. Raises UsageError before any work."""
    milliseconds = numbers(lengths or LENGTHS, "--gaps-ms", float, 1, LONGEST, LENGTHS)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name one with clean recordings")
    runs = {"linear prediction": _predict()}
    for name in models:
        chosen: list[int | None] = [*counts] if counts else [None]
        for steps in chosen:
            label = name if steps is None else f"{name}, {count_of(steps, 'step')}"
            runs[label] = _made(name, steps, device)

    def systems_for(length: float) -> list[System]:
        silence = System(f"{length:g} ms, silence", lambda broken: broken.silenced)
        return [silence, *(System(f"{length:g} ms, {name}", lambda broken: broken, run) for name, run in runs.items())]

    return score_made(
        folder, milliseconds, named="gap", systems_for=systems_for, read=read, measure=measure, titles=TITLES,
        digits={"level": 1}, as_json=as_json,
    )  # fmt: skip


def read(path: Path, milliseconds: float) -> Broken:
    """Return a recording with gaps of this length. Raises AudioError for one that is shorter than two seconds, or silent."""
    import numpy as np

    from enhance_cli.audio.channels import to_mono

    audio, rate = read_whole(path)
    whole, length = to_mono([audio]), max(round(milliseconds * rate / 1000), 1)
    rng, around = np.random.default_rng(0), int(AROUND * rate)
    level = 0.5 * float(np.sqrt(np.mean(np.square(whole))))
    gaps = []
    for slot in range(int(len(whole) / rate / SLOT)):
        places = ((slot * SLOT + rng.uniform(EDGE, SLOT - EDGE, TRIES)) * rate).astype(int)
        heard = [n for n in places if np.square(whole[n - around : n + around]).mean() > level**2 > 0]
        if heard:
            start = int(heard[0]) - length // 2
            gaps.append((start, start + length))
    if not gaps:
        raise AudioError("has no two seconds with sound", "name other recordings")
    return Broken(whole, rate, gaps)


def measure(broken: Broken, estimate: "np.ndarray") -> dict[str, float]:
    """Return the scores of a filled recording, PESQ among them if it finds speech."""
    from enhance_cli.audio.resample import resample
    from enhance_cli.metrics import pesq
    from enhance_cli.metrics.filled_gaps import score

    scores = score(broken.whole, estimate, broken.rate, broken.gaps)
    clean, filled = (resample(audio[None], broken.rate, PESQ_RATE)[0] for audio in (broken.whole, estimate))
    with suppress(AudioError):  # it finds no speech in music
        scores["pesq"] = pesq.score(clean, filled, PESQ_RATE)
    return scores


def _predict() -> Callable:
    from enhance_cli.tasks.inpaint import Inpainter
    from enhance_cli.tasks.options import InpaintOptions

    return _filled(Inpainter(InpaintOptions()))


def _made(name: str, steps: int | None, device: str) -> Callable:
    """Return the function that fills gaps of all lengths by the model called `name`, which is loaded."""
    from enhance_cli import load_model
    from enhance_cli.tasks.gap_model import GapModel
    from enhance_cli.tasks.inpaint import Inpainter
    from enhance_cli.tasks.options import InpaintOptions

    options = InpaintOptions(predicted=0.0, steps=steps)
    model = load_model(name, "inpaint", device)
    return _filled(Inpainter(options, GapModel.of(model, options)))


def _filled(inpainter: "Inpainter") -> "Callable[[Broken], np.ndarray]":
    """Return a function that fills a Broken to (N,)."""

    def fill(broken: Broken) -> "np.ndarray":
        spans = [(start / broken.rate, end / broken.rate) for start, end in broken.gaps]
        return inpainter.run(broken.silenced[None], broken.rate, spans)[0]

    return fill
