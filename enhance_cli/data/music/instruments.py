"""Play a stem with a soundfont (by FluidSynth or TiMidity++), with recorded notes, or with modeled strings."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.audio.resample import resample
from enhance_cli.data.music import plucked_strings, recorded_notes
from enhance_cli.errors import EnhanceError, UsageError

if TYPE_CHECKING:
    import mido

KITS, NOTES = 0.4, 0.4  # probability that a stem is played by a drum kit, or by recorded notes, if there are any
SYNTH_RATE = 44100


class Instruments:
    """Hold the instruments of a recipe that are installed (arguments as in data.music.rendering.Rendering)."""

    def __init__(
        self,
        soundfonts: Sequence[str],
        held_out: Sequence[str],
        drum_kits: Sequence[str] = (),
        notes: Mapping[str, Sequence[str]] = MappingProxyType({}),
        modelled: float = 0.0,
    ):
        if shutil.which("fluidsynth") is None:
            raise UsageError("rendering music needs the program fluidsynth", "apt-get install fluidsynth")
        plays = lambda path: Path(path).is_file() and shutil.which(_program(path))
        there = lambda paths: [path for path in paths if plays(path)]
        self.general, self.kits = there(soundfonts), there(drum_kits)
        self.notes = {stem: [f for f in folders if Path(f).is_dir()] for stem, folders in notes.items()}
        self.held_out, self.modelled = there(held_out), modelled
        if not self.general or not self.held_out:
            wanted = ", ".join([*soundfonts, *held_out])
            raise UsageError(
                f"too few soundfonts: at least one to train on and the held out one are needed of {wanted}",
                "apt-get install fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont",
            )

    def play(
        self,
        stem: str,
        part: "mido.MidiFile",
        rate: int,
        seconds: float,
        rng: np.random.Generator,
        held_out: bool = False,
    ) -> np.ndarray:
        """Return the mido.MidiFile `part` played by an instrument drawn for this stem, (N,) float32 at `rate`.

        With `held_out` it is played by a soundfont that was held out.
        """
        from enhance_cli.data.music.midi import on_channel  # needs an extra

        pick = lambda among: among[rng.integers(len(among))]
        if held_out:
            return _play(part, pick(self.held_out), rate, seconds)
        if stem == "drums" and self.kits and rng.random() < KITS:
            return _play(on_channel(part, 0), pick(self.kits), rate, seconds)
        if self.notes.get(stem) and rng.random() < NOTES:
            return recorded_notes.play(part, recorded_notes.notes(pick(self.notes[stem]), rate), rate, seconds)
        if stem in plucked_strings.RANGES and rng.random() < self.modelled:
            return recorded_notes.play(part, plucked_strings.notes(stem, rate, rng), rate, seconds)
        return _play(part, pick(self.general), rate, seconds)


def _program(font: str) -> str:
    return "timidity" if font.endswith(".cfg") else "fluidsynth"


def _play(midi: "mido.MidiFile", font: str, rate: int, seconds: float) -> np.ndarray:
    """Return (N,) float32 at `rate`, both channels averaged."""
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
