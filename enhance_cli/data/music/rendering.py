"""Render music from MIDI files and random songs, every stem by itself.

An instrument is drawn for every stem (data.music.instruments), and studio effects are applied (data.music.effects). One song
becomes one array, int16 (stems, N) in the order of STEMS, in the folder `train` or `valid` of the cache. Reverb and chorus of
the synthesizers are off, so that the stems add up to the mix. The program `fluidsynth` (Debian fluidsynth) and soundfonts
(fluid-soundfont-gm, musescore-general-soundfont, timgm6mb-soundfont and others) must be installed. The same recipe gives the
same songs.
"""

import hashlib
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from types import ModuleType

import numpy as np

from enhance_cli.atomic import replace_file
from enhance_cli.contracts import Log
from enhance_cli.data import STEMS
from enhance_cli.data.mixing import active_level
from enhance_cli.data.music.effects import color
from enhance_cli.data.music.instruments import Instruments
from enhance_cli.errors import UsageError
from enhance_cli.ranges import in_range

LEVEL = 0.05  # RMS of a stem's loud parts in the cache
MIN_SECONDS = 10.0


@dataclass(frozen=True)
class Rendering:
    """Describe the songs to render.

    `midi`: folders with .mid files. `songs`: number of random songs. `seconds`: maximum length of each. `soundfonts`,
    `drum_kits` (soundfonts whose only instrument is a kit) and `notes` (for a stem, folders for
    data.music.recorded_notes): paths, of which those not installed are ignored. A soundfont may be a .cfg of
    TiMidity++, which is then needed. `modelled`: chance that a guitar or bass is modeled. `held_out`: share of all
    songs for validation, played with `held_out_soundfonts` alone. `other`: chance that other instruments stay.
    """

    soundfonts: list[str] = field(default_factory=list)
    drum_kits: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    held_out_soundfonts: list[str] = field(default_factory=list)
    modelled: float = 0.25
    midi: list[str] = field(default_factory=list)
    songs: int = 0
    seconds: float = 80.0
    held_out: float = 0.05
    other: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        in_range(self, **dict.fromkeys(("modelled", "held_out", "other"), (0, 1)))
        in_range(self, songs=(0, inf), seconds=(MIN_SECONDS, inf))


@dataclass(frozen=True)
class MidiScore:
    """Describe a song to play: a MIDI file or, without one, the random song of that number."""

    name: str
    path: Path | None
    number: int
    held_out: bool

    @property
    def split(self) -> str:
        return "valid" if self.held_out else "train"


def load(recipe: Rendering, root: Path, rate: int, cache: Path, log: Log = print) -> dict[str, list[Path]]:
    """Return {"train": files, "valid": files}, which `np.load` reads. Songs that are not in `cache` yet are rendered.

    Songs in which fewer than two stems play are left out. Raises UsageError for missing folders, programs or soundfonts.
    """
    _midi_modules()
    scores = list_scores(recipe, root)
    instruments = Instruments(
        recipe.soundfonts, recipe.held_out_soundfonts, recipe.drum_kits, recipe.notes, recipe.modelled
    )
    made_by = {name: value for name, value in asdict(recipe).items() if name not in ("midi", "songs")}
    key = hashlib.sha256(json.dumps([rate, made_by]).encode()).hexdigest()[:16]
    folder = cache / f"stems-{key}"
    for split in ("train", "valid"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    files = {s: folder / s.split / f"{s.name}.npy" for s in scores}
    missing = sorted((s for s, path in files.items() if not path.exists()), key=lambda s: digest(s.name))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) as pool:
        rendered = pool.map(lambda score: store(files[score], render(score, instruments, recipe, rate)), missing)
        for number, _ in enumerate(rendered, 1):
            if number % 20 == 0 or number == len(missing):
                log(f"rendered {number} of {len(missing)} songs")
    found = {
        split: sorted(p for s, p in files.items() if s.split == split and p.stat().st_size)
        for split in ("train", "valid")
    }
    for split, paths in found.items():
        if not paths:
            raise UsageError(f"data.rendered: no song with two stems to {split} on", "add midi folders or songs")
    return found


def list_scores(recipe: Rendering, root: Path) -> list[MidiScore]:
    """Return all songs to play, with random songs last. The held out ones are chosen by a hash of the name."""
    paths = []
    for name in recipe.midi:
        folder = root / name
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi")) if folder.is_dir() else []
        if not found:
            raise UsageError(f"{folder}: no .mid files in it", "mend data.rendered.midi in the recipe")
        paths += found
    names: list[tuple[str, Path | None, int]] = [(f"{p.stem}-{zlib.crc32(p.read_bytes()):08x}", p, 0) for p in paths]
    names += [(f"song{n:05d}", None, n) for n in range(recipe.songs)]
    held = lambda name: digest(name) / 2**32 < recipe.held_out
    return [MidiScore(name, path, number, held(name)) for name, path, number in names]


def render(score: MidiScore, instruments: Instruments, recipe: Rendering, rate: int) -> np.ndarray:
    """Return int16 (stems, N), with N = 0 where fewer than two stems play or the file cannot be played."""
    no_song = np.zeros((len(STEMS), 0), np.int16)
    midi, random_songs = _midi_modules()
    rng = np.random.default_rng((recipe.seed, digest(score.name)))
    try:
        song = midi.read(score.path) if score.path else random_songs.compose(rng, recipe.seconds)
        parts = midi.split(song, rng, recipe.seconds)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError):
        return no_song  # collections of MIDI files hold broken ones
    if rng.random() >= recipe.other:
        parts.pop("other", None)
    if len(parts) < 2:
        return no_song
    stems = {}
    for stem, part in parts.items():
        audio = instruments.play(stem, part, rate, recipe.seconds, rng, score.held_out)
        audio = color(audio, stem, rate, rng)
        if audio.any():
            stems[stem] = audio
    return at_level(stems, rate)


def at_level(stems: dict[str, np.ndarray], rate: int) -> np.ndarray:
    """Return stems (n,) by name as int16 (stems, N), each at LEVEL.

    N = 0 if fewer than two play or they are too short.
    """
    playing = {stem: audio for stem, audio in stems.items() if np.abs(audio).max(initial=0) > 1e-4}
    length = max((audio.size for audio in playing.values()), default=0)
    if len(playing) < 2 or length < MIN_SECONDS * rate:
        return np.zeros((len(STEMS), 0), np.int16)
    result = np.zeros((len(STEMS), length), np.int16)
    for stem, audio in playing.items():
        level = active_level(audio, rate // 50)
        scaled = audio * min(LEVEL / max(level, 1e-6), 0.999 / np.abs(audio).max())
        result[STEMS.index(stem), : audio.size] = np.round(scaled * 32767)
    return result


def _midi_modules() -> tuple[ModuleType, ModuleType]:
    try:
        from enhance_cli.data.music import midi, random_songs
    except ModuleNotFoundError as error:
        raise UsageError(
            f"rendering music needs the package {error.name}", "pip install 'enhance-cli[train]'"
        ) from error
    return midi, random_songs


def digest(name: str) -> int:
    """Return a hash of a song's name as its seed, so that random choices do not depend on other songs."""
    return int(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8], 16)


def store(path: Path, stems: np.ndarray) -> None:
    """Write the array atomically. An empty file marks a song that gave nothing."""
    with replace_file(path) as file:
        if stems.shape[1]:
            np.save(file, stems)
