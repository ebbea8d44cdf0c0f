"""Run `enhance evaluate`: score folders of cleaned files, or a model at some step counts, against the originals.

Files are paired by name without extension, and mixed to mono. Of files that differ in their extension alone, the one with
the extension of its partner is taken. SI-SDR and the scores of the band above 8 kHz are taken
at the rate of the clean file, the others at 16 kHz, where PESQ and DNSMOS are defined. Every row of the table is the
mean over the same files, and over those of them that have a high band for its scores.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from enhance_cli.commands.evaluate.inputs import audio_files, read_whole
from enhance_cli.commands.evaluate.measures import (
    DELAY,
    HIGH_BAND,
    load_measures,
    measure_names,
    read_original,
    score_file,
)
from enhance_cli.commands.evaluate.scoring import System, allowed_steps, computed, noise, score_all
from enhance_cli.commands.evaluate.table import print_table, report_rows, say_json
from enhance_cli.console import count_of, say
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

METRICS = "pesq,estoi,si_sdr,hf_si_sdr,hf_lsd,dnsmos"
COUNTS = (1, 2, 5)  # of steps
TITLES = {
    "pesq": "PESQ",
    "estoi": "ESTOI",
    "si_sdr": "SI-SDR dB",
    "hf_si_sdr": "HF dB",
    "hf_lsd": "LSD dB",
    "pause_depth": "pauses dB",
}
DIGITS = {"estoi": 3, "si_sdr": 1, "hf_si_sdr": 1, "pause_depth": 1}

Files = dict[PurePath, Path]


def evaluate_speech(
    clean: Path,
    estimates: list[Path],
    *,
    noisy: Path | None,
    metrics: str | None,
    models: list[str],
    counts: list[int] | None,
    device: str,
    as_json: bool,
) -> bool:
    """Print the table or JSON lines. Returns whether some file could not be scored. Raises UsageError before any work."""
    if not clean.is_dir():
        raise _no_folder(clean)
    names = measure_names(metrics or METRICS)
    if models and not noisy:
        raise UsageError("--model has nothing to denoise", "give the noisy files with --noisy FOLDER")
    if not (estimates or noisy):
        raise UsageError("there is nothing to score", "name a folder of estimates, or use --noisy")
    originals = _files(clean)
    folders = [("noisy", _files(noisy))] if noisy else []
    folders += [(str(folder), _files(folder)) for folder in estimates]
    folders, missing_any = _matched(originals, folders)
    keys = sorted(set.intersection(*(set(files) for _, files in folders)))
    if not keys:
        raise UsageError("no clean file has a partner in every folder", "score the folders one at a time")
    measures = load_measures(names)  # which takes a second: the folders are looked at first
    systems = [System(name, _reader(files)) for name, files in folders]
    for model in models:
        systems += _denoisers(model, counts, device, folders[0][1])

    def show(system: System, key: PurePath, scores: dict) -> None:
        if as_json:
            say_json({"system": system.name, "file": str(key), **scores})

    score = lambda original, estimate: score_file(measures, original, *estimate)
    seconds, failed = score_all(systems, keys, lambda key: read_original(key, originals[key]), score, show)
    rows = _rows(systems, seconds, has_noisy=bool(noisy)) if seconds else []
    if rows and not rows[0]["mean"]:
        raise AudioError(f"no file in {clean} holds anything above 8 kHz", "choose other --metrics")
    with_high_band = sum(any(name in scores for name in HIGH_BAND) for scores in systems[0].scores)
    report_rows(rows, lambda: _print_table(rows, seconds, with_high_band), as_json=as_json)
    _hint_at_delays(systems)
    _hint_at_infinite(systems)
    return failed or missing_any


def _files(folder: Path) -> Files:
    if not folder.is_dir():
        raise _no_folder(folder)
    return audio_files(folder, recursive=True)


def _no_folder(folder: Path) -> UsageError:
    return UsageError(f"{folder} is not a folder", "evaluate compares folders of files with the same names")


def _matched(originals: Files, folders: list[tuple[str, Files]]) -> tuple[list[tuple[str, Files]], bool]:
    """Return the folders with their files under the keys of `originals`, and whether a clean file has no partner.

    Those and files without a clean original are named, in one message per folder. Raises UsageError where none matches.
    """
    matched, missing_any = [], False
    for name, files in folders:
        partners = _partners(originals, files)
        if not partners:
            raise UsageError(
                f"no file in {name} is named as one of the clean files", "names must match, extension aside"
            )
        missing, used = sorted(set(originals) - set(partners)), set(partners.values())
        extra = sorted(key for key, path in files.items() if path not in used)
        if missing:
            say(f"error: {name}: {count_of(len(missing), 'clean file')} without a partner here: {_some(missing)}")
            missing_any = True
        if extra:
            say(f"warning: {name}: {count_of(len(extra), 'file')} without a clean original: {_some(extra)}")
        matched.append((name, partners))
    return matched, missing_any


def _partners(originals: Files, files: Files) -> Files:
    """Return the `files` that have an original, under its key. The partner has the same extension or is the only one."""
    by_name = {key.with_name(path.name): path for key, path in files.items()}
    found = {key: by_name.get(key.with_name(path.name), files.get(key)) for key, path in originals.items()}
    return {key: path for key, path in found.items() if path}


def _some(keys: list[PurePath]) -> str:
    return ", ".join(map(str, keys[:3])) + (", ..." if len(keys) > 3 else "")


def _reader(files: Files) -> Callable:
    return lambda original: read_whole(files[original.key])


def _denoisers(name: str, counts: Sequence[int] | None, device: str, noisy: Files) -> list[System]:
    from enhance_cli import denoise, load_model

    model = load_model(name, device=device)
    steps = allowed_steps(model.spec, counts or COUNTS, warn=bool(counts))
    rate = model.spec.sample_rate

    def run(recording: tuple["np.ndarray", int], steps: int) -> tuple["np.ndarray", int]:
        return denoise(*recording, model=model, steps=steps), recording[1]

    return computed(name, steps, _reader(noisy), run, (noise(rate), rate))


def _rows(systems: list[System], seconds: float, has_noisy: bool) -> list[dict]:
    """Return means, the difference to the noisy input (the first system) and the speed of systems computed here."""
    means = [_means(system.scores) for system in systems]
    rows = []
    for system, mean in zip(systems, means, strict=True):
        row = {"system": system.name, "files": len(system.scores), "mean": mean}
        if has_noisy and system is not systems[0]:
            row["difference"] = {name: value - means[0][name] for name, value in mean.items()}
        rows.append(row | system.speed(seconds))
    return rows


def _means(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of every measure over the files that have it, in the order of the file that has most.

    Infinite values (the file equals the reference, or has nothing of it) are left out, unless all are infinite.
    """
    names = [name for name in max(scores, key=len) if name != DELAY]
    found = {name: [one[name] for one in scores if name in one] for name in names}
    found = {name: [value for value in values if math.isfinite(value)] or values for name, values in found.items()}
    return {name: sum(values) / len(values) for name, values in found.items()}


def _hint_at_infinite(systems: list[System]) -> None:
    """Name on stderr the systems some of whose scores are infinite."""
    for system in systems:
        count = sum(any(math.isinf(value) for value in scores.values()) for scores in system.scores)
        if 0 < count < len(system.scores):
            infinite = f"{count} of {count_of(len(system.scores), 'file')} with infinite scores"
            say(f"{system.name}: {infinite} (equal to the reference, or without any of it), which the means leave out")


def _hint_at_delays(systems: list[System]) -> None:
    """Name on stderr the systems whose files do not begin when the clean ones do."""
    for system in systems:
        late = sorted(scores[DELAY] for scores in system.scores if DELAY in scores)
        if late:
            middle = late[len(late) // 2]
            say(
                f"warning: {system.name}: {len(late)} of {count_of(len(system.scores), 'file')} {abs(middle):.1f} ms"
                f" {'late' if middle > 0 else 'early'} by cross-correlation, which costs it most of its scores:"
                " shift the files and score them again"
            )


def _print_table(rows: list[dict], seconds: float, high_band: int) -> None:
    """Print `rows`. `high_band`: number of files with a band above 8 kHz."""
    title = f"Mean of {count_of(rows[0]['files'], 'file')}, {seconds:.0f} s"
    if 0 < high_band < rows[0]["files"]:
        title += f"; HF and LSD of {count_of(high_band, 'file')}"
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
