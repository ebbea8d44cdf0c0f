"""`enhance evaluate`: scores folders of cleaned files, or a model at some step counts, against the originals.

Files are paired by name, extension aside, mixed to mono and brought to 16 kHz. Every row of the table is
the mean over the same files: one that is missing or cannot be scored in any row is named and left out of
all, and the exit code is 1.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from enhance_cli.commands.stem_table import evaluate_stems
from enhance_cli.console import result, say, talk
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

RATE = 16000  # PESQ and DNSMOS are defined here
TITLES = {"pesq": "PESQ", "estoi": "ESTOI", "si_sdr": "SI-SDR dB", "pause_depth": "pauses dB"}
DIGITS = {"estoi": 3, "si_sdr": 1, "pause_depth": 1}

Files = dict[PurePath, Path]


@dataclass
class System:
    """One row: where its audio comes from and what was measured; `work` stays 0 for files that were there."""

    name: str
    produce: Callable[[PurePath], "tuple[np.ndarray, int, float]"]  # -> audio (C, N), rate, seconds of work
    scores: list[dict[str, float]] = field(default_factory=list)
    work: float = 0.0

    def mean(self) -> dict[str, float]:
        return {name: sum(one[name] for one in self.scores) / len(self.scores) for name in self.scores[0]}


def evaluate(
    clean: Annotated[Path, typer.Argument(help="Folder of clean originals.")],
    estimates: Annotated[
        list[Path] | None, typer.Argument(help="Folders to score, each with files named as the clean ones.")
    ] = None,
    noisy: Annotated[
        Path | None,
        typer.Option(help="Folder of the noisy inputs: a row of its own, and the difference to it."),
    ] = None,
    metrics: Annotated[str, typer.Option(help="Which measures, with commas between.")] = "pesq,estoi,si_sdr,dnsmos",
    model: Annotated[str | None, typer.Option(help="Denoise the --noisy files with this model and score that.")] = None,
    steps: Annotated[
        str | None, typer.Option(help="With --model: step counts, one row each.", show_default="1,2,5")
    ] = None,
    task: Annotated[
        str, typer.Option(help="speech, or stems: then CLEAN has a folder of stems for each mix.")
    ] = "speech",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: every file, then the means.")] = False,
) -> None:
    """Score cleaned speech, or separated stems, against the originals.

    PESQ, ESTOI and SI-SDR compare with the original; OVRL, SIG, BAK and P808 are the parts of DNSMOS, which
    predicts what listeners would say. Higher is better. With --model, speed is in multiples of real time.

    --task stems: CLEAN has a folder for every recording, with mixture.wav and bass.wav, drums.wav and so on; ESTIMATES the
    same with what was extracted. The table has the SI-SDR improvement per stem in windows of 4 s where it plays, their
    mean, the mean over silent stems too as published for Slakh2100 (msdm), that of whole recordings, and the SDR.
    """
    from rich.progress import track

    from enhance_cli.metrics import load

    if task == "stems":
        if evaluate_stems(clean, estimates or [], model, steps, as_json):
            raise typer.Exit(1)
        return
    if task != "speech":
        raise UsageError(f"--task {task} is not known", "choose speech or stems")

    measures = {name: load(name) for name in dict.fromkeys(_split(metrics, "--metrics"))}
    originals = _audio_files(clean)
    folders = [("noisy", _audio_files(noisy))] if noisy else []
    folders += [(str(folder), _audio_files(folder)) for folder in estimates or []]
    systems = [System(name, _reader(files)) for name, files in folders]
    if model:
        if not noisy:
            raise UsageError("--model has nothing to denoise", "give the noisy files with --noisy FOLDER")
        systems += _denoisers(model, _step_counts(steps or "1,2,5"), folders[0][1])
    elif steps:
        raise UsageError("--steps needs a model to run", "add --model NAME")
    if not systems:
        raise UsageError("there is nothing to score", "name a folder of estimates, or use --noisy")

    keys, failed = _common(originals, folders)
    seconds = 0.0
    for key in track(keys, "Scoring", console=talk(), transient=True, disable=not talk().is_terminal):
        try:
            reference = _mono(*_read(originals[key]))
            results = [_score(measures, reference, *system.produce(key)) for system in systems]
        except AudioError as error:
            say(f"error: {key}: {error}")
            failed = True
            continue
        seconds += len(reference) / RATE
        for system, (scores, work) in zip(systems, results, strict=True):
            system.scores.append(scores)
            system.work += work
            if as_json:
                result(_json({"system": system.name, "file": str(key), **scores}))

    if seconds:
        rows = _rows(systems, seconds, has_noisy=bool(noisy))
        if as_json:
            for row in rows:
                result(_json(row))
        else:
            _print_table(rows, seconds)
    if failed:
        raise typer.Exit(1)


def _split(text: str, flag: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"{flag} is empty", "give one name or number, or several with commas between")
    return parts


def _step_counts(text: str) -> list[int]:
    try:
        return [int(part) for part in _split(text, "--steps")]
    except ValueError as error:
        raise UsageError(f"--steps {text} is not a list of whole numbers", "write it like 1,2,5") from error


def _audio_files(folder: Path) -> Files:
    """The audio below `folder` by relative path without extension. Raises UsageError for none, or twins."""
    from enhance_cli.batch.inputs import expand

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "evaluate compares folders of files with the same names")
    files: Files = {}
    for item in expand([str(folder)], recursive=True):
        twin = files.setdefault(item.relative.with_suffix(""), item.path)
        if twin != item.path:
            raise UsageError(f"{twin} and {item.path} differ in their extension only", "keep one of them")
    return files


def _common(originals: Files, folders: list[tuple[str, Files]]) -> tuple[list[PurePath], bool]:
    """The names that all folders share, and whether clean files had to be left out (one line a folder)."""
    keys, missing_any = set(originals), False
    for name, files in folders:
        if not keys & set(files):
            raise UsageError(
                f"no file in {name} is named as one of the clean files", "names must match, extension aside"
            )
        missing, extra = sorted(set(originals) - set(files)), sorted(set(files) - set(originals))
        if missing:
            say(f"error: {name}: {len(missing)} clean files have no partner here: {_some(missing)}")
            missing_any = True
        if extra:
            say(f"warning: {name}: {len(extra)} files have no clean original: {_some(extra)}")
        keys &= set(files)
    return sorted(keys), missing_any


def _some(keys: list[PurePath]) -> str:
    return ", ".join(map(str, keys[:3])) + (", ..." if len(keys) > 3 else "")


def _read(path: Path) -> "tuple[np.ndarray, int]":
    import numpy as np

    from enhance_cli.audio.read import open_audio

    with open_audio(path) as file:
        return np.concatenate(list(file.blocks()), axis=1).astype(np.float32), file.info.rate


def _reader(files: Files) -> Callable:
    return lambda key: (*_read(files[key]), 0.0)


def _denoisers(model: str, step_counts: list[int], noisy: Files) -> list[System]:
    """One system per step count. Each first runs on a second of silence, so that loading is not timed."""
    import numpy as np

    from enhance_cli import denoise

    def produce(key: PurePath, steps: int) -> "tuple[np.ndarray, int, float]":
        audio, rate = _read(noisy[key])
        start = time.perf_counter()
        cleaned = denoise(audio, rate, model=model, steps=steps)
        return cleaned, rate, time.perf_counter() - start

    for steps in step_counts:
        denoise(np.zeros((1, RATE), np.float32), RATE, model=model, steps=steps)
    return [
        System(f"{model}, {n} {'step' if n == 1 else 'steps'}", lambda key, n=n: produce(key, n)) for n in step_counts
    ]


def _mono(audio: "np.ndarray", rate: int) -> "np.ndarray":
    """(C, N) at `rate` -> (M,) at 16 kHz."""
    from enhance_cli.audio.resample import resample

    return resample(audio.mean(axis=0, keepdims=True), rate, RATE)[0]


def _score(
    measures: dict[str, Callable], reference: "np.ndarray", audio: "np.ndarray", rate: int, work: float
) -> tuple[dict[str, float], float]:
    """All measures of one file, flat ("dnsmos_sig"). Raises AudioError if lengths differ by 1 ms or more."""
    estimate = _mono(audio, rate)
    length = min(len(reference), len(estimate))
    longer = max(len(reference), len(estimate)) - length
    if longer * 1000 >= RATE:
        raise AudioError(
            f"{len(estimate) / RATE:.3f} s against {len(reference) / RATE:.3f} s of the clean file",
            "score files of the same length",
        )
    scores = {}
    for name, measure in measures.items():
        found = measure(reference[:length], estimate[:length], RATE)
        parts = found if isinstance(found, dict) else {"": found}
        scores |= {f"{name}_{part}" if part else name: value for part, value in parts.items()}
    return scores, work


def _rows(systems: list[System], seconds: float, has_noisy: bool) -> list[dict]:
    """Means, the difference to the noisy input (the first system) and the speed of what was computed here."""
    baseline = systems[0].mean() if has_noisy else None
    rows = []
    for system in systems:
        row = {"system": system.name, "files": len(system.scores), "mean": system.mean()}
        if baseline and system is not systems[0]:
            row["difference"] = {name: value - baseline[name] for name, value in row["mean"].items()}
        if system.work:
            row["times_real_time"] = seconds / system.work
        rows.append(row)
    return rows


def _json(value: dict) -> str:
    def finite(x):
        if isinstance(x, dict):
            return {key: finite(item) for key, item in x.items()}
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(finite(value))


def _print_table(rows: list[dict], seconds: float) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    speeds = any("times_real_time" in row for row in rows)
    title = f"Mean of {rows[0]['files']} files, {seconds:.0f} s"
    if any("difference" in row for row in rows):
        title += "; below it the difference to noisy"  # two short lines in a cell: 80 columns hold it all
    table = Table(title=title, box=SIMPLE, padding=(0, 0, 0, 1))
    table.add_column("", overflow="fold")
    for name in rows[0]["mean"]:
        table.add_column(TITLES.get(name, name.removeprefix("dnsmos_").upper()), justify="right")
    if speeds:
        table.add_column("speed", justify="right")
    names = [row["system"] for row in rows]
    if len(set(labels := [Path(name).name for name in names])) == len(names):
        names = labels  # folders are told apart by their last part
    for name, row in zip(names, rows, strict=True):
        cells = [escape(name)]
        for measure, value in row["mean"].items():
            digits = DIGITS.get(measure, 2)
            change = f"\n[dim]{row['difference'][measure]:+.{digits}f}[/]" if "difference" in row else ""
            cells.append(f"{value:.{digits}f}{change}")
        if speeds:
            cells.append(f"{row['times_real_time']:.1f}x" if "times_real_time" in row else "")
        table.add_row(*cells)
    Console().print(table)
