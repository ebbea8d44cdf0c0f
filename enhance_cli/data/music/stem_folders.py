"""Read recorded or exported stems for training: a folder for every song, with bass.wav, drums.flac and so on.

They are converted to the arrays of data.music.rendering: int16 (stems, N) at the model's rate, mono, every stem at the
same level. Files that are not named after a stem (vocals, strings) are added to "other". Mixes are left out, since they are the
sum of the stems.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from enhance_cli.audio.search import find_files
from enhance_cli.contracts import Log
from enhance_cli.data import STEMS
from enhance_cli.data.corpus import SUFFIXES, find_audio, read_mono, size_of
from enhance_cli.data.music.rendering import at_level, digest, store
from enhance_cli.errors import AudioError, UsageError

MIXES = ("mixture", "mix", "residual")


def load(
    folders: list[str], held_out: float, root: Path, rate: int, cache: Path, log: Log = print
) -> dict[str, list[Path]]:
    """Return {"train": files, "valid": files}. A share `held_out` of the songs, at least one, is for validation.

    Raises UsageError for a folder that is missing or holds no song of two stems or more.
    """
    songs: dict[Path, list[Path]] = {}
    for name in folders:
        found = {path.parent for path in find_audio(root / name, log) if path.stem in STEMS}
        if not found:
            raise UsageError(
                f"{root / name}: no stems in it", "each song needs a folder with bass.wav, drums.wav and so on"
            )
        songs |= {folder: find_files(folder, SUFFIXES, recursive=False) for folder in found}
    described = {folder: [(p.name, size_of(p)) for p in files] for folder, files in songs.items()}
    packed = cache / "stems-recorded"
    packed.mkdir(parents=True, exist_ok=True)
    files = {}
    for number, folder in enumerate(sorted(songs, key=str)):
        said = json.dumps([rate, str(folder), described[folder]])
        path = packed / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.npy"
        if not path.exists():
            log(f"reading song {number + 1} of {len(songs)}: {folder.name}")
            store(path, _read(songs[folder], rate, log))
        if path.stat().st_size:
            files[folder] = path
    order = sorted(
        files, key=lambda folder: digest(str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder))
    )
    kept = max(1, round(held_out * len(order)))
    if len(order) <= kept:
        raise UsageError(f"{', '.join(folders)}: too few songs of two stems or more", "add songs")
    return {"train": [files[f] for f in order[kept:]], "valid": [files[f] for f in order[:kept]]}


def _read(paths: list[Path], rate: int, log: Log) -> np.ndarray:
    stems: dict[str, np.ndarray] = {}
    for path in paths:
        if path.stem in MIXES:
            continue
        try:
            audio = read_mono(path, rate)
        except AudioError as error:
            log(f"left out: {error}")
            continue
        name = path.stem if path.stem in STEMS else "other"
        before = stems.get(name, np.zeros(0, np.float32))
        length = max(before.size, audio.size)
        stems[name] = np.pad(before, (0, length - before.size)) + np.pad(audio, (0, length - audio.size))
    return at_level(stems, rate)
