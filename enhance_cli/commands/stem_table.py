"""`enhance evaluate --task stems`: scores separated stems, or a model at some step counts, against the true ones.

A recording is a folder with a file for the mix ("mixture" or "mix") and one for each stem, extensions aside. Every row of the
table is over the same recordings and stems.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from enhance_cli.console import result, say, talk
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

MIXES = ("mixture", "mix")
QUIET = 1e-4  # RMS below which a stem counts as silent in the whole recording


@dataclass(frozen=True)
class Recording:
    """The true stems (K, N), their names, and the mix (C, N): mono stems are compared with the mean of the channels."""

    name: str
    mix: "np.ndarray"
    stems: dict[str, "np.ndarray"]
    rate: int


@dataclass
class System:
    """One row: `produce(recording)` gives its stems by name and the seconds that took; what was measured of each stem."""

    name: str
    produce: Callable[[Recording], "tuple[dict[str, np.ndarray], float]"]
    scores: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    work: float = 0.0

    def add(self, stem: str, values: dict[str, list[float]]) -> None:
        kept = self.scores.setdefault(stem, {name: [] for name in values})
        for name, some in values.items():
            kept[name] += some

    def row(self, seconds: float) -> dict:
        """Means over windows (recordings for "whole" and "sdr") per stem, and the means of these."""
        mean = lambda some: sum(some) / len(some) if some else math.nan
        stems = {stem: {name: mean(some) for name, some in scores.items()} for stem, scores in self.scores.items()}
        names = next(iter(stems.values()))
        known = {name: [s[name] for s in stems.values() if not math.isnan(s[name])] for name in names}
        speed = {"times_real_time": seconds / self.work} if self.work else {}
        return {"system": self.name, "mean": {name: mean(some) for name, some in known.items()}, "stems": stems} | speed


def evaluate_stems(
    truth: Path, folders: list[Path], model: str | None, steps: str | None, as_json: bool, device: str = "auto"
) -> bool:
    """Print the table or JSON lines. Returns whether some recording could not be scored."""
    from rich.progress import track

    places = recordings(truth)
    systems = [System(str(folder), _reader(folder)) for folder in folders]
    if model:
        counts = _numbers(steps) if steps else [None]
        systems += [_extractor(model, count, device) for count in counts]
    elif steps:
        raise UsageError("--steps needs a model to run", "add --model NAME")
    if not systems:
        raise UsageError("there is nothing to score", "name a folder of estimates, or use --model")
    failed, seconds, scored = False, 0.0, 0
    for place in track(places, "Scoring", console=talk(), transient=True, disable=not talk().is_terminal):
        try:
            recording = read(place)
            found = [(system, *system.produce(recording)) for system in systems]
            values = [(system, work, measure(recording, stems)) for system, stems, work in found]
        except AudioError as error:
            say(f"error: {place.name}: {error}")
            failed = True
            continue
        scored += 1
        seconds += recording.mix.shape[1] / recording.rate
        for system, work, by_stem in values:
            system.work += work
            for stem, scores in by_stem.items():
                system.add(stem, scores)
            if as_json:
                result(_json({"system": system.name, "recording": recording.name, "stems": by_stem}))
    if scored:
        rows = [system.row(seconds) for system in systems]
        if as_json:
            for row in rows:
                result(_json(row))
        else:
            _print_table(rows, scored, seconds)
    return failed


def recordings(truth: Path) -> list[Path]:
    """The folders at or below `truth` that hold a mix, sorted. Raises UsageError if there are none."""
    if not truth.is_dir():
        raise UsageError(f"{truth} is not a folder", "give a folder with a folder of stems for every recording")
    found = sorted({path.parent for name in MIXES for path in truth.rglob(f"{name}.*")})
    if not found:
        raise UsageError(f"{truth}: no recording in it", "each needs mixture.wav and a file per stem in a folder")
    return found


def _stem_files(folder: Path) -> dict[str, Path]:
    from enhance_cli.batch.inputs import expand

    return {item.path.stem: item.path for item in expand([str(folder)], recursive=False)}


def read(folder: Path) -> Recording:
    """Raises AudioError for files that cannot be read, differ in rate or length, or if there is no stem."""
    import numpy as np

    files = _stem_files(folder)
    mix, rate = _audio(next(files[name] for name in MIXES if name in files))
    stems = {}
    for name, path in files.items():
        if name in (*MIXES, "residual"):
            continue
        audio, other_rate = _audio(path)
        if other_rate != rate or abs(audio.shape[1] - mix.shape[1]) > rate // 1000:
            raise AudioError(f"{path.name} and the mix differ in rate or length", "export the stems together")
        length = min(audio.shape[1], mix.shape[1])
        stems[name] = np.pad(audio.mean(axis=0)[:length], (0, mix.shape[1] - length))
    if len(stems) < 2:
        raise AudioError("fewer than two stems beside the mix", "name the files bass.wav, drums.wav and so on")
    return Recording(folder.name, mix, stems, rate)


def measure(recording: Recording, estimates: dict[str, "np.ndarray"]) -> dict[str, dict[str, list[float]]]:
    """For each stem that is both there and estimated: "active" and "msdm" (metrics.si_sdri), "whole" (SI-SDR improvement
    over the whole recording, if the stem plays) and "sdr" (metrics.frame_sdr). Raises AudioError if lengths differ."""
    import numpy as np

    from enhance_cli.metrics import frame_sdr, si_sdri

    names = [name for name in recording.stems if name in estimates]
    if not names:
        raise AudioError(f"no estimate of {', '.join(recording.stems)}", "name the files as the true stems")
    mix = recording.mix.mean(axis=0)
    stems = np.stack(list(recording.stems.values()))
    for name in names:
        if abs(estimates[name].size - mix.size) > recording.rate // 1000:
            raise AudioError(f"the estimate of {name} is of another length than the mix", "score files of one length")
    filled = {name: np.resize(np.pad(estimates[name], (0, mix.size)), mix.size) for name in names}
    by_place = np.stack([filled.get(name, np.zeros_like(mix)) for name in recording.stems])
    windows = si_sdri.score(mix, stems, by_place, recording.rate)
    scores = {}
    for number, name in enumerate(recording.stems):
        if name not in filled:
            continue
        stem, estimate = stems[number], filled[name]
        plays = bool(np.sqrt(np.mean(stem**2)) > QUIET)
        frames = frame_sdr.score(stem, estimate, recording.rate)
        scores[name] = {kind: windows[kind][number] for kind in ("active", "msdm")} | {
            "whole": [si_sdri.si_sdr(estimate, stem) - si_sdri.si_sdr(mix, stem)] if plays else [],
            "sdr": [] if math.isnan(frames) else [frames],
        }
    return scores


def _audio(path: Path) -> "tuple[np.ndarray, int]":
    import numpy as np

    from enhance_cli.audio.read import open_audio

    with open_audio(path) as file:
        return np.concatenate(list(file.blocks()), axis=1).astype(np.float32), file.info.rate


def _reader(folder: Path) -> Callable:
    """Estimates lie in FOLDER/RECORDING/STEM.*; a name may begin with that of the mix (mixture_bass.wav)."""
    from enhance_cli.audio.resample import resample

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "give a folder with a folder of estimates for every recording")

    def produce(recording: Recording) -> "tuple[dict[str, np.ndarray], float]":
        place = folder / recording.name
        if not place.is_dir():
            raise AudioError(f"no estimates in {folder}", "name their folder as that of the recording")
        found = {}
        for name, path in _stem_files(place).items():
            for mix in MIXES:
                name = name.removeprefix(f"{mix}_")
            if name in recording.stems:
                audio, rate = _audio(path)
                found[name] = resample(audio.mean(axis=0, keepdims=True), rate, recording.rate)[0]
        return found, 0.0

    return produce


def _extractor(name: str, steps: int | None, device: str) -> System:
    from enhance_cli.models import registry
    from enhance_cli.models.device import pick_device
    from enhance_cli.models.stems import TASK, load_stems
    from enhance_cli.tasks.extract_stem import StemOptions, run

    entry = registry.find(name, TASK)
    model = load_stems(entry, pick_device(device))
    count = model.spec.choose(steps, None)[0]

    def produce(recording: Recording) -> "tuple[dict[str, np.ndarray], float]":
        begin = time.perf_counter()
        found = run(recording.mix, recording.rate, model, StemOptions(steps=count))
        return {stem: audio.mean(axis=0) for stem, audio in found.items()}, time.perf_counter() - begin

    return System(f"{name}, {count} {'step' if count == 1 else 'steps'}", produce)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--steps {text} is not a list of whole numbers", "write it like 0,1,4") from error


def _json(value: dict) -> str:
    def finite(x):
        if isinstance(x, dict):
            return {key: finite(item) for key, item in x.items()}
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(finite(value))


def _print_table(rows: list[dict], recordings_: int, seconds: float) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    stems = list(rows[0]["stems"])
    title = f"{recordings_} recordings, {seconds:.0f} s: SI-SDR improvement in dB where the stem plays"
    table = Table(title=title, box=SIMPLE, padding=(0, 0, 0, 1))
    table.add_column("", overflow="fold")
    for column in [
        *stems,
        "mean",
        "msdm",
        "whole",
        "SDR",
        *(["speed"] if any("times_real_time" in r for r in rows) else []),
    ]:
        table.add_column(column, justify="right")
    names = [row["system"] for row in rows]
    if len(set(labels := [Path(name).name for name in names])) == len(names):
        names = labels  # folders are told apart by their last part
    for name, row in zip(names, rows, strict=True):
        cells = [f"{row['stems'][stem]['active']:.2f}" if stem in row["stems"] else "" for stem in stems]
        cells += [f"{row['mean'][name]:.2f}" for name in ("active", "msdm", "whole", "sdr")]
        if "times_real_time" in row:
            cells.append(f"{row['times_real_time']:.1f}x")
        table.add_row(escape(name), *cells)
    Console().print(table)
