"""Multi-track music from MIDI files and random songs: FluidSynth plays every stem by itself, with soundfonts drawn anew, or
it is put together from recorded notes or those of modelled strings.

One song becomes one array, int16 (stems, N) in the order of STEMS, in `train` or `valid` of the cache. Reverb and chorus of
the synthesiser are off, so that stems add up to the mix; what a studio would do to a stem (drive, tone, room) is done
here. Needs the program `fluidsynth` (Debian fluidsynth) and soundfonts (fluid-soundfont-gm, musescore-general-soundfont,
timgm6mb-soundfont and others). The same recipe gives the same songs.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy.fft import next_fast_len
from scipy.signal import oaconvolve

from enhance_cli.audio.resample import resample
from enhance_cli.data import STEMS, plucked_strings, recorded_notes
from enhance_cli.data.mixing import active_level, equalise
from enhance_cli.errors import EnhanceError, UsageError

LEVEL = 0.05  # RMS of a stem's loud parts in the cache
KITS, NOTES = 0.4, 0.4  # how often a stem is played by them where there are some
SYNTH_RATE = 44100
MIN_SECONDS = 10.0


@dataclass(frozen=True)
class Rendering:
    """`midi`: folders with .mid files; `songs`: how many random ones besides; at most `seconds` of each.

    `soundfonts`, `drum_kits` (soundfonts whose only instrument is a kit) and `notes` (for a stem, folders that
    data.recorded_notes reads) are paths; those not installed are passed over. A soundfont may be a .cfg of TiMidity++,
    which is then needed. Guitars and basses are modelled with chance `modelled`. A share `held_out` of all songs is for
    validation, and played with `held_out_soundfonts` alone.
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


@dataclass(frozen=True)
class Score:
    """What there is to play: a MIDI file or, without one, the random song of that number."""

    name: str
    path: Path | None
    number: int
    held_out: bool

    @property
    def part(self) -> str:
        return "valid" if self.held_out else "train"


def load(recipe: Rendering, root: Path, rate: int, cache: Path, log=print) -> dict[str, list[Path]]:
    """{"train": files, "valid": files}, rendered where they are not in `cache` yet. An array is `np.load(file)`.

    Songs in which fewer than two stems play have none. Raises UsageError for missing folders, program or soundfonts.
    """
    _midi_modules()
    scores = list_scores(recipe, root)
    instruments = Instruments(recipe)
    made_by = {name: value for name, value in asdict(recipe).items() if name not in ("midi", "songs")}
    key = hashlib.sha256(json.dumps([rate, made_by]).encode()).hexdigest()[:16]
    folder = cache / f"stems-{key}"
    for part in ("train", "valid"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    files = {s: folder / s.part / f"{s.name}.npy" for s in scores}
    missing = sorted((s for s, path in files.items() if not path.exists()), key=lambda s: digest(s.name))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) as pool:
        rendered = pool.map(lambda score: store(files[score], render(score, instruments, recipe, rate)), missing)
        for number, _ in enumerate(rendered, 1):
            if number % 20 == 0 or number == len(missing):
                log(f"rendered {number} of {len(missing)} songs")
    found = {
        part: sorted(p for s, p in files.items() if s.part == part and p.stat().st_size) for part in ("train", "valid")
    }
    for part, paths in found.items():
        if not paths:
            raise UsageError(f"data.rendered: no song with two stems to {part} on", "add midi folders or songs")
    return found


def list_scores(recipe: Rendering, root: Path) -> list[Score]:
    """All there is to play, with random songs last; the held out ones are picked by a hash of the name."""
    paths = []
    for name in recipe.midi:
        folder = root / name
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi")) if folder.is_dir() else []
        if not found:
            raise UsageError(f"{folder}: no .mid files in it", "mend data.rendered.midi in the recipe")
        paths += found
    names = [(f"{p.stem}-{zlib.crc32(p.read_bytes()):08x}", p, 0) for p in paths]
    names += [(f"song{n:05d}", None, n) for n in range(recipe.songs)]
    held = lambda name: digest(name) / 2**32 < recipe.held_out
    return [Score(name, path, number, held(name)) for name, path, number in names]


class Instruments:
    """Those of a recipe that are installed."""

    def __init__(self, recipe: Rendering):
        if shutil.which("fluidsynth") is None:
            raise UsageError("rendering music needs the program fluidsynth", "apt-get install fluidsynth")
        plays = lambda path: Path(path).is_file() and shutil.which(_program(path))
        there = lambda paths: [path for path in paths if plays(path)]
        self.general, self.kits = there(recipe.soundfonts), there(recipe.drum_kits)
        self.notes = {stem: [f for f in folders if Path(f).is_dir()] for stem, folders in recipe.notes.items()}
        self.held_out, self.modelled = there(recipe.held_out_soundfonts), recipe.modelled
        if not self.general or not self.held_out:
            wanted = ", ".join([*recipe.soundfonts, *recipe.held_out_soundfonts])
            raise UsageError(
                f"too few soundfonts: at least one to train on and the held out one are needed of {wanted}",
                "apt-get install fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont",
            )

    def play(self, stem: str, part, score: Score, rate: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
        """(N,) float32: the MIDI file `part`, played by what is drawn for this stem."""
        pick = lambda among: among[rng.integers(len(among))]
        if score.held_out:
            return _play(part, pick(self.held_out), rate, seconds)
        if stem == "drums" and self.kits and rng.random() < KITS:
            return _play(_midi_modules()[0].on_channel(part, 0), pick(self.kits), rate, seconds)
        if self.notes.get(stem) and rng.random() < NOTES:
            return recorded_notes.play(part, recorded_notes.notes(pick(self.notes[stem]), rate), rate, seconds)
        if stem in plucked_strings.RANGES and rng.random() < self.modelled:
            return recorded_notes.play(part, plucked_strings.notes(stem, rate, rng), rate, seconds)
        return _play(part, pick(self.general), rate, seconds)


def render(score: Score, instruments: Instruments, recipe: Rendering, rate: int) -> np.ndarray:
    """int16 (stems, N), N = 0 where fewer than two stems play or the file cannot be played."""
    nothing = np.zeros((len(STEMS), 0), np.int16)
    midi, songs = _midi_modules()
    rng = np.random.default_rng((recipe.seed, digest(score.name)))
    try:
        song = midi.read(score.path) if score.path else songs.compose(rng, recipe.seconds)
        parts = midi.split(song, rng, recipe.seconds)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError):
        return nothing  # collections of MIDI files hold broken ones
    if rng.random() >= recipe.other:
        parts.pop("other", None)
    if len(parts) < 2:
        return nothing
    stems = {}
    for stem, part in parts.items():
        audio = colour(instruments.play(stem, part, score, rate, recipe.seconds, rng), stem, rate, rng)
        if audio.any():
            stems[stem] = audio
    return at_level(stems, rate)


def at_level(stems: dict[str, np.ndarray], rate: int) -> np.ndarray:
    """Stems (n,) by name -> int16 (stems, N), each at LEVEL; N = 0 if fewer than two play or they are too short."""
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


def _midi_modules():
    try:
        from enhance_cli.data import midi, songs
    except ModuleNotFoundError as error:
        raise UsageError(
            f"rendering music needs the package {error.name}", "pip install 'enhance-cli[train]'"
        ) from error
    return midi, songs


def _program(font: str) -> str:
    return "timidity" if font.endswith(".cfg") else "fluidsynth"


def _play(midi, font: str, rate: int, seconds: float) -> np.ndarray:
    """(N,) float32 at `rate`, both channels averaged."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "score.mid"), Path(folder, "sound.raw")
        midi.save(score)
        if _program(font) == "timidity":
            options = ["-c", font, "-Or1sl", "-s", str(SYNTH_RATE), "-EFreverb=d", "-EFchorus=d", "-o", str(sound)]
        else:
            options = ["-ni", "-q", "-R", "0", "-C", "0", "-g", "0.3", "-z", "1024", "-r", str(SYNTH_RATE)]
            options += ["-o", "synth.dynamic-sample-loading=1", "-O", "s16", "-T", "raw", "-F", str(sound), font]
        result = subprocess.run([_program(font), *options, str(score)], capture_output=True, text=True)
        if result.returncode or not sound.exists():
            reason = (result.stderr.strip().splitlines() or ["no sound"])[-1]
            raise EnhanceError(f"{_program(font)} cannot play with {font} ({reason})", "leave it out of the recipe")
        samples = np.fromfile(sound, np.int16)[: int(2 * SYNTH_RATE * (seconds + 3))]
    mono = samples.reshape(-1, 2).mean(axis=1, dtype=np.float32) / 32768
    return resample(mono[None], SYNTH_RATE, rate)[0]


def colour(audio: np.ndarray, stem: str, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Drive, tone and room, each by chance and as suits the stem."""
    level, samples = active_level(audio, rate // 50), audio.size
    if level <= 1e-5:
        return audio
    audio = np.pad(
        audio, (0, next_fast_len(samples + rate) - samples)
    )  # what rings on does not come round to the front
    drive = {"guitar": 0.45, "bass": 0.25, "other": 0.1}.get(stem, 0.05)
    if rng.random() < drive:
        audio = amplified(audio / level, rate, rng) * level
    if rng.random() < 0.8:
        audio = equalise(audio, rng, 4.0)
    if rng.random() < (0.2 if stem == "bass" else 0.55):
        decay, wet = rng.uniform(0.1, 1.2), 10 ** (rng.uniform(-22, -6) / 20)
        time = np.arange(int(decay * rate)) / rate
        tail = rng.standard_normal(time.size) * 10 ** (-3 * time / decay)
        tail = equalise(tail, rng, 3.0)
        tail[: int(rng.uniform(0, 0.03) * rate)] = 0
        room = oaconvolve(audio, tail / max(float(np.linalg.norm(tail)), 1e-6))[: audio.size]
        audio = audio + wet * room
    return audio[:samples].astype(np.float32)


def amplified(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) of RMS 1 through an overdriven amplifier and, most often, its loudspeaker."""
    bias = rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0  # even harmonics
    gain = 10 ** (rng.uniform(-10, 30) / 20)
    driven = (np.tanh(equalise(audio, rng, 3.0) * gain + bias) - np.tanh(bias)) / min(gain, 1.0)
    if rng.random() < 0.7:
        spectrum, frequency = np.fft.rfft(driven), np.fft.rfftfreq(driven.size, 1 / rate)
        low, high = rng.uniform(50, 120), rng.uniform(3000, 6500)
        driven = np.fft.irfft(
            spectrum / (1 + (low / np.maximum(frequency, 1)) ** 4) / (1 + (frequency / high) ** 6), driven.size
        )
    return driven


def digest(name: str) -> int:
    """Of a song's name: stands for it in random choices, so that they do not depend on what else there is."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


def store(path: Path, stems: np.ndarray) -> None:
    """Write the array, whole or not at all; an empty file stands for a song that gave nothing."""
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        if stems.shape[1]:
            np.save(file, stems)
    os.replace(part, path)
