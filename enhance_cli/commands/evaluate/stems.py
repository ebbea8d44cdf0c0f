"""Run `enhance evaluate --task stems`: score separated stems, or a model at some step counts, against the true ones.

A recording is a folder with a file for the mix ("mixture" or "mix") and one for each stem, extensions aside. Its
estimates are in the folder of the same path below that of a system. Every row of the table is over the same recordings.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from enhance_cli.commands.evaluate.inputs import audio_files, read_whole
from enhance_cli.commands.evaluate.scoring import System, allowed_steps, computed, noise, score_all
from enhance_cli.commands.evaluate.table import print_table, report_rows, say_json
from enhance_cli.console import count_of
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

MIXES = ("mixture", "mix")
RESIDUAL = "residual"
QUIET = 1e-4  # RMS below which a stem counts as silent in the whole recording

Stems = dict[str, "np.ndarray"]  # mono (N,) each


@dataclass(frozen=True)
class Recording:
    """Hold the true stems (N,) and the mix (C, N) of a recording.

    Stems are compared with the mean of the mix's channels, or with its first one where the channels of the mix or of a
    stem `cancel`.
    """

    path: PurePath
    mix: "np.ndarray"
    stems: Stems
    rate: int
    cancel: bool = False

    def mono(self, audio: "np.ndarray") -> "np.ndarray":
        """Return (N,) of (C, N) samples, made as all others of this recording."""
        return audio[0] if self.cancel else audio.mean(axis=0)

    @property
    def seconds(self) -> float:
        return self.mix.shape[1] / self.rate


def evaluate_stems(
    truth: Path, folders: list[Path], *, models: list[str], counts: list[int] | None, device: str, as_json: bool
) -> bool:
    """Print the table or JSON lines. Returns whether some recording could not be scored. Raises UsageError before any work."""
    paths = recordings(truth)
    systems = [System(str(folder), _reader(folder)) for folder in folders]
    for model in models:
        systems += _extractors(model, counts, device)
    if not systems:
        raise UsageError("there is nothing to score", "name a folder of estimates, or use --model")

    def show(system: System, path: PurePath, scores: dict) -> None:
        if as_json:
            say_json({"system": system.name, "recording": str(path), "stems": scores})

    seconds, failed = score_all(systems, paths, lambda path: read(truth, path), measure, show)
    rows = [_row(system) | system.speed(seconds) for system in systems] if seconds else []
    title = f"{count_of(len(systems[0].scores), 'recording')}, {seconds:.0f} s"
    report_rows(rows, lambda: _print_table(rows, title), as_json=as_json)
    return failed


def recordings(truth: Path) -> list[PurePath]:
    """Return the folders at or below `truth` with audio and a mix, relative to it and sorted.

    Raises UsageError if there are none.
    """
    from enhance_cli.batch.inputs import expand

    if not truth.is_dir():
        raise UsageError(f"{truth} is not a folder", "give a folder with a folder of stems for every recording")
    with_audio = {item.path.parent for item in expand([str(truth)], recursive=True) if isinstance(item.path, Path)}
    found = sorted(folder for folder in with_audio if any(any(folder.glob(f"{name}.*")) for name in MIXES))
    if not found:
        raise UsageError(f"{truth}: no recording in it", "each needs mixture.wav and a file per stem in a folder")
    return [folder.relative_to(truth) for folder in found]


def read(truth: Path, relative: PurePath) -> Recording:
    """Return a recording.

    Raises AudioError for files that are missing, cannot be read or told apart, or differ in rate or length.
    """
    import numpy as np

    from enhance_cli.audio.channels import cancels

    files = _by_name(truth / relative)
    name = next((name for name in MIXES if name in files), None)
    if name is None:
        raise AudioError("no file called mixture or mix is audio", "add mixture.wav, the sum of the stems")
    mix, rate = read_whole(files[name])
    stems = {}
    for name, path in files.items():
        if name in (*MIXES, RESIDUAL):
            continue
        audio, other_rate = read_whole(path)
        if other_rate != rate or abs(audio.shape[1] - mix.shape[1]) > rate // 1000:
            raise AudioError(f"{path.name} and the mix differ in rate or length", "export the stems together")
        length = min(audio.shape[1], mix.shape[1])
        stems[name] = np.pad(audio[:, :length], ((0, 0), (0, mix.shape[1] - length)))
    if len(stems) < 2:
        raise AudioError("fewer than two stems beside the mix", "name the files bass.wav, drums.wav and so on")
    recording = Recording(relative, mix, {}, rate, cancel=any(map(cancels, [mix, *stems.values()])))
    return replace(recording, stems={name: recording.mono(audio) for name, audio in stems.items()})


def measure(recording: Recording, estimates: Stems) -> dict[str, dict[str, list[float]]]:
    """Return the measures of each stem that is both there and estimated.

    They are "active" and "msdm" (metrics.si_sdri), "whole" (SI-SDR improvement over the whole recording, if the stem
    plays) and "sdr" (metrics.frame_sdr). Raises AudioError if lengths differ.
    """
    import numpy as np

    from enhance_cli.metrics import frame_sdr, si_sdri

    names = [name for name in recording.stems if name in estimates]
    if not names:
        raise AudioError(f"no estimate of {', '.join(recording.stems)}", "name the files as the true stems")
    mix = recording.mono(recording.mix)
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


def _by_name(folder: Path) -> dict[str, Path]:
    """Return the audio in one recording's folder by name.

    Raises AudioError, which ends that recording only, for none, or files that differ in their extension alone.
    """
    try:
        files = audio_files(folder, recursive=False)
    except UsageError as error:
        raise AudioError(error.message, error.hint) from error
    twins = [str(path) for name, path in files.items() if name.name == path.name]
    if twins:
        raise AudioError(f"{' and '.join(twins)} differ in their extension only", "keep one of them")
    return {str(name): path for name, path in files.items()}


def _reader(folder: Path) -> Callable:
    """Return a function that reads estimates FOLDER/RECORDING/STEM.*, also with the mix's name in front (mixture_bass.wav)."""
    import numpy as np

    from enhance_cli.audio.resample import resample

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "give a folder with a folder of estimates for every recording")

    def estimates(recording: Recording) -> Stems:
        own_folder = folder / recording.path
        if not own_folder.is_dir():
            raise AudioError(f"no estimates in {folder}", f"put them into {own_folder}")
        files: dict[str, Path] = {}
        for name, path in _by_name(own_folder).items():
            for mix in MIXES:
                name = name.removeprefix(f"{mix}_")
            if name in recording.stems and files.setdefault(name, path) != path:
                raise AudioError(f"{files[name]} and {path} are both of {name}", "keep one of them")
        found = {}
        for name, path in files.items():
            audio, rate = read_whole(path)
            found[name] = resample(recording.mono(audio)[np.newaxis], rate, recording.rate)[0]
        return found

    return estimates


def _extractors(name: str, counts: list[int] | None, device: str) -> list[System]:
    from enhance_cli import load_model
    from enhance_cli.tasks.extract_stem import StemExtractor, StemOptions

    model = load_model(name, "extract-stem", device)

    def extract(recording: Recording, steps: int) -> Stems:
        found = StemExtractor(model, StemOptions(steps=steps)).run(recording.mix, recording.rate)
        return {stem: recording.mono(audio) for stem, audio in found.items()}

    rate = model.spec.sample_rate
    known = allowed_steps(model.spec, counts or [None], warn=True)
    return computed(name, known, lambda recording: recording, extract, Recording(PurePath(), noise(rate), {}, rate))


def _row(system: System) -> dict:
    """Return means over windows (recordings for "whole" and "sdr") per stem, and the means of these."""
    mean = lambda some: sum(some) / len(some) if some else math.nan
    values: dict[str, dict[str, list[float]]] = {}
    for scores in system.scores:
        for stem, measured in scores.items():
            for name, some in measured.items():
                values.setdefault(stem, {}).setdefault(name, []).extend(some)
    stems = {stem: {name: mean(some) for name, some in measured.items()} for stem, measured in values.items()}
    names = next(iter(stems.values()))
    known = {name: [s[name] for s in stems.values() if not math.isnan(s[name])] for name in names}
    return {"system": system.name, "mean": {name: mean(some) for name, some in known.items()}, "stems": stems}


def _print_table(rows: list[dict], title: str) -> None:
    stems = list(dict.fromkeys(stem for row in rows for stem in row["stems"]))

    def cells(row: dict) -> list[str]:
        active = [row["stems"][stem]["active"] if stem in row["stems"] else math.nan for stem in stems]
        means = [row["mean"][name] for name in ("active", "msdm", "whole", "sdr")]
        return ["" if math.isnan(value) else f"{value:.2f}" for value in active + means]

    title += ": SI-SDR improvement in dB where the stem plays"
    print_table(title, [*stems, "mean", "msdm", "whole", "SDR"], rows, cells)
