"""Synthesize guitars and basses: plucked strings with random physics, for more variety than soundfonts have.

A note is a sum of the modes of a stiff string (Fletcher and Rossing, The Physics of Musical Instruments, ch. 2 and 9).
The positions of plucking and pickup decide which partials sound, stiffness how far they are off the harmonics, losses
how fast each decays.
"""

from dataclasses import dataclass

import numpy as np

RANGES = {"guitar": range(40, 89, 3), "bass": range(26, 63, 3)}  # pitches that are made; those between are transposed
SECONDS = 3.5


@dataclass(frozen=True)
class Strings:
    """Describe the notes of one instrument. Frequencies in Hz, times in seconds."""

    plucked: float  # where, as a share of the string's length
    picked_up: float | None  # where the magnet sits; None: an acoustic instrument
    stiffness: float  # of the string that sounds at 110 Hz
    softness: float  # above this frequency the finger or plectrum gives little
    sustain: float  # time in which a partial of 110 Hz falls by 8.7 dB
    bright: float  # above this frequency partials die away faster
    muted: bool
    click: float  # the plectrum's noise, relative to the tone
    body: tuple[tuple[float, float, float], ...]  # (frequency, width, gain) of an acoustic instrument's resonances


def draw(stem: str, rng: np.random.Generator) -> Strings:
    """Return random strings. `stem`: guitar or bass."""
    acoustic = rng.random() < (0.4 if stem == "guitar" else 0.25)
    resonances = [
        (10 ** rng.uniform(np.log10(80), np.log10(5000)), rng.uniform(15, 60), rng.uniform(0.5, 3))
        for _ in range(rng.integers(8, 25))
    ]
    return Strings(
        plucked=rng.uniform(0.07, 0.45),
        picked_up=None if acoustic else rng.uniform(0.04, 0.3),
        stiffness=10 ** rng.uniform(-5, -3.3),
        softness=10 ** (rng.uniform(2.7, 3.9) if stem == "guitar" else rng.uniform(2.3, 3.5)),
        sustain=rng.uniform(0.3, 1.2) if acoustic else rng.uniform(0.5, 4.0),
        bright=10 ** rng.uniform(2.7, 3.7),
        muted=rng.random() < 0.12,
        click=10 ** (rng.uniform(-40, -12) / 20),
        body=tuple((f, f / q, gain) for f, q, gain in resonances) if acoustic else (),
    )


def notes(stem: str, rate: int, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """Return (N,) float32 at `rate` by pitch, for an instrument drawn from `rng`.

    Levels as in data.music.recorded_notes.
    """
    strings = draw(stem, rng)
    return {pitch: note(strings, pitch, rate, rng) for pitch in RANGES[stem]}


def note(strings: Strings, pitch: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) float32 of RMS 0.1 in its first half second. `pitch` as in MIDI."""
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    stiffness = strings.stiffness * (fundamental / 110) ** 0.7
    mode = np.arange(1, int(0.48 * rate / fundamental) + 1)
    frequency = mode * fundamental * np.sqrt((1 + stiffness * mode**2) / (1 + stiffness))
    mode, frequency = mode[frequency < 0.48 * rate], frequency[frequency < 0.48 * rate]
    amplitude = np.abs(np.sin(np.pi * mode * strings.plucked)) / mode / (1 + (frequency / strings.softness) ** 2)
    if strings.picked_up is not None:
        amplitude *= np.abs(np.sin(np.pi * mode * strings.picked_up))
    for center, width, gain in strings.body:
        amplitude *= 1 + gain / (1 + ((frequency - center) / width) ** 2)
    sustain = strings.sustain * (110 / fundamental) ** 0.4 / (1 + (frequency / strings.bright) ** 1.5)
    if strings.muted:
        sustain *= 0.12
    audio = np.zeros(int(SECONDS * rate))
    loudest = amplitude.max()
    for level, hertz, time in zip(amplitude, frequency, sustain):
        heard = np.log(max(level / loudest, 1e-9) * 1e4) * time  # until 80 dB below the loudest
        if heard <= 0:
            continue
        seconds = np.arange(min(audio.size, int(heard * rate))) / rate
        beat = rng.uniform(0, 0.8)  # the string swings in two planes, not quite alike
        swing = np.cos(2 * np.pi * hertz * seconds + rng.uniform(0, 2 * np.pi))
        audio[: seconds.size] += (
            level * np.exp(-seconds / time) * swing * (1 + 0.3 * np.cos(2 * np.pi * beat * seconds))
        )
    attack = np.minimum(1, np.arange(audio.size) / (rng.uniform(0.001, 0.004) * rate))
    click = rng.standard_normal(audio.size) * np.exp(-np.arange(audio.size) / (rng.uniform(0.002, 0.008) * rate))
    audio = attack * (audio + strings.click * np.abs(audio).max() * click)
    level = np.sqrt(np.mean(audio[: rate // 2] ** 2))
    return (audio * 0.1 / max(level, 1e-9)).astype(np.float32)
