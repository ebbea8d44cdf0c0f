"""Play an instrument of recorded notes: a folder with one file a note, named after it (A2.mp3, As3.wav, F#4v8.flac).

A missing note is its nearest neighbor, played faster or slower as samplers do.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from enhance_cli.audio.search import find_files
from enhance_cli.data.corpus import SUFFIXES, read_mono
from enhance_cli.errors import UsageError

if TYPE_CHECKING:
    import mido

NAME = re.compile(r"([A-G])(s|#)?(-?\d)(v\d+)?")
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
RELEASE = 0.12  # seconds in which a note dies away when it is let go
SUSTAIN = 64  # the pedal's controller


def play(midi: "mido.MidiFile", recorded: dict[int, np.ndarray], rate: int, seconds: float) -> np.ndarray:
    """Return all notes of the mido.MidiFile `midi` played with the `recorded` notes, (N,) float32 at `rate`.

    The instruments that the file asks for are ignored.
    """
    audio = np.zeros(round((seconds + 3) * rate), np.float32)
    for start, end, pitch, velocity in played(midi):
        nearest = min(recorded, key=lambda other: abs(other - pitch))
        sound = transposed(recorded[nearest], pitch - nearest, round((end - start + RELEASE) * rate))
        fade = min(round(RELEASE * rate), sound.size)
        sound[sound.size - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        begin = round(start * rate)
        sound = sound[: max(0, audio.size - begin)]
        audio[begin : begin + sound.size] += sound * (velocity / 127) ** 2
    return audio


def played(midi: "mido.MidiFile") -> Iterator[tuple[float, float, int, int]]:
    """Yield (start, end, pitch, velocity), times in seconds. The pedal holds notes."""
    now, down = 0.0, False
    sounding: dict[tuple[int, int], tuple[float, int]] = {}  # (start, velocity) by (channel, pitch)
    held: list[tuple[float, int, int]] = []  # (start, pitch, velocity)
    for message in midi:
        now += message.time
        if message.type == "control_change" and message.control == SUSTAIN:
            down = message.value >= 64
            if not down:
                yield from ((start, now, pitch, velocity) for start, pitch, velocity in held)
                held = []
        elif message.type in ("note_on", "note_off"):
            key = (message.channel, message.note)
            if key in sounding:
                start, velocity = sounding.pop(key)
                if down:
                    held.append((start, message.note, velocity))
                else:
                    yield start, now, message.note, velocity
            if message.type == "note_on" and message.velocity:
                sounding[key] = now, message.velocity
    yield from ((start, now, pitch, velocity) for start, pitch, velocity in held)
    yield from ((start, now, pitch, velocity) for (_, pitch), (start, velocity) in sounding.items())


@lru_cache(maxsize=8)
def notes(folder: str, rate: int) -> dict[int, np.ndarray]:
    """Return (N,) at `rate` by pitch, equally loud.

    Raises AudioError for a file that cannot be read, UsageError if the folder has no notes.
    """
    found = {}
    for path in find_files(Path(folder), SUFFIXES, recursive=False):
        name = NAME.fullmatch(path.stem)
        if name:
            letter, sharp, octave, _ = name.groups()
            audio = read_mono(path, rate).astype(np.float32)
            level = np.sqrt(np.mean(audio[: rate // 2] ** 2))
            found[12 * (int(octave) + 1) + SEMITONES[letter] + bool(sharp)] = audio * 0.1 / max(level, 1e-4)
    if not found:
        raise UsageError(f"{folder}: no recorded notes in it", "name the files after their notes: A2.wav, Cs4.wav")
    return found


def transposed(audio: np.ndarray, semitones: int, samples: int) -> np.ndarray:
    """Return at most `samples` of `audio` (N,), transposed by `semitones` by changing the speed."""
    speed = 2 ** (semitones / 12)
    positions = np.arange(min(samples, int((audio.size - 1) / speed))) * speed
    heard = audio[: int(samples * speed) + 2]
    return np.interp(positions, np.arange(heard.size), heard).astype(np.float32)
