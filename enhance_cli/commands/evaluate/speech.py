"""`enhance evaluate`: scores folders of cleaned files, or a model at some step counts, against the originals.

Files are paired by name, extension aside, mixed to mono and brought to 16 kHz. Every row of the table is the mean over the
same files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from enhance_cli.commands.evaluate.table import (
    System,
    audio_files,
    computed,
    counted,
    print_table,
    read_whole,
    say_json,
    score_all,
)
from enhance_cli.console import say
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

RATE = 16000  # PESQ and DNSMOS are defined here
METRICS = "pesq,estoi,si_sdr,dnsmos"
COUNTS = (1, 2, 5)  # of steps
TITLES = {"pesq": "PESQ", "estoi": "ESTOI", "si_sdr": "SI-SDR dB", "pause_depth": "pauses dB"}
DIGITS = {"estoi": 3, "si_sdr": 1, "pause_depth": 1}

Files = dict[PurePath, Path]


@dataclass(frozen=True)
class Original:
    """The clean file called `key`: mono (N,) at 16 kHz."""

    key: PurePath
    audio: "np.ndarray"

    @property
    def seconds(self) -> float:
        return len(self.audio) / RATE


def evaluate_speech(
    clean: Path,
    estimates: list[Path],
    noisy: Path | None,
    metrics: str | None,
    model: str | None,
    counts: list[int] | None,
    device: str,
    as_json: bool,
) -> bool:
    """Print the table or JSON lines. Returns whether some file could not be scored. Raises UsageError before any work."""
    measures = _measures(metrics or METRICS)
    if model and not noisy:
        raise UsageError("--model has nothing to denoise", "give the noisy files with --noisy FOLDER")
    if not (estimates or noisy):
        raise UsageError("there is nothing to score", "name a folder of estimates, or use --noisy")
    originals = _files(clean)
    folders = [("noisy", _files(noisy))] if noisy else []
    folders += [(str(folder), _files(folder)) for folder in estimates]
    keys, missing_any = _common(originals, folders)
    systems = [System(name, _reader(files)) for name, files in folders]
    if model:
        systems += _denoisers(model, counts or COUNTS, device, folders[0][1])

    def show(system: System, key: PurePath, scores: dict) -> None:
        if as_json:
            say_json({"system": system.name, "file": str(key), **scores})

    read = lambda key: Original(key, _mono(*read_whole(originals[key])))
    score = lambda original, estimate: _score(measures, original.audio, *estimate)
    seconds, failed = score_all(systems, keys, read, score, show)
    rows = _rows(systems, seconds, has_noisy=bool(noisy)) if seconds else []
    if as_json:
        for row in rows:
            say_json(row)
    elif rows:
        _print_table(rows, seconds)
    return failed or missing_any


def _measures(text: str) -> dict[str, Callable]:
    from enhance_cli.metrics import load

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("--metrics is empty", "give one name, or several with commas between")
    return {name: load(name) for name in names}


def _files(folder: Path) -> Files:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "evaluate compares folders of files with the same names")
    return audio_files(folder, recursive=True)


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
            say(f"error: {name}: {counted(len(missing), 'clean file')} without a partner here: {_some(missing)}")
            missing_any = True
        if extra:
            say(f"warning: {name}: {counted(len(extra), 'file')} without a clean original: {_some(extra)}")
        keys &= set(files)
    return sorted(keys), missing_any


def _some(keys: list[PurePath]) -> str:
    return ", ".join(map(str, keys[:3])) + (", ..." if len(keys) > 3 else "")


def _reader(files: Files) -> Callable:
    return lambda original: (read_whole(files[original.key]), 0.0)


def _denoisers(name: str, counts: Sequence[int], device: str, noisy: Files) -> list[System]:
    from enhance_cli import denoise, load_model

    model = load_model(name, device=device)
    run = lambda audio, rate, steps: (denoise(audio, rate, model=model, steps=steps), rate)
    return computed(name, model.spec.sample_rate, counts, run, lambda original: read_whole(noisy[original.key]))


def _mono(audio: "np.ndarray", rate: int) -> "np.ndarray":
    """(C, N) at `rate` -> (M,) at 16 kHz."""
    from enhance_cli.audio.resample import resample

    return resample(audio.mean(axis=0, keepdims=True), rate, RATE)[0]


def _score(measures: dict[str, Callable], reference: "np.ndarray", audio: "np.ndarray", rate: int) -> dict[str, float]:
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
    return scores


def _rows(systems: list[System], seconds: float, has_noisy: bool) -> list[dict]:
    """Means, the difference to the noisy input (the first system) and the speed of what was computed here."""
    means = [
        {name: sum(one[name] for one in system.scores) / len(system.scores) for name in system.scores[0]}
        for system in systems
    ]
    rows = []
    for system, mean in zip(systems, means, strict=True):
        row = {"system": system.name, "files": len(system.scores), "mean": mean}
        if has_noisy and system is not systems[0]:
            row["difference"] = {name: value - means[0][name] for name, value in mean.items()}
        rows.append(row | system.speed(seconds))
    return rows


def _print_table(rows: list[dict], seconds: float) -> None:
    title = f"Mean of {counted(rows[0]['files'], 'file')}, {seconds:.0f} s"
    if any("difference" in row for row in rows):
        title += "; below it the difference to noisy"  # two short lines in a cell: 80 columns hold it all
    columns = [TITLES.get(name, name.removeprefix("dnsmos_").upper()) for name in rows[0]["mean"]]

    def cells(row: dict) -> list[str]:
        made = []
        for name, value in row["mean"].items():
            digits = DIGITS.get(name, 2)
            change = f"\n[dim]{row['difference'][name]:+.{digits}f}[/]" if "difference" in row else ""
            made.append(f"{value:.{digits}f}{change}")
        return made

    print_table(title, columns, rows, cells)
