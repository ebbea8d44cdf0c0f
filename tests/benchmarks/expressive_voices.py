"""Measure how models treat voices that shout, call or sing, and how much they leave of sounds that are no voice.

    python tests/benchmarks/expressive_voices.py --voices FOLDER --noise FOLDER [--music FOLDER] [--model NAME ...]

--voices holds a folder of short recordings for every voice, such as /usr/share/games/hedgewars/Data/Sounds/voices of the Debian
package hedgewars-data. The clips of a voice are joined to items of four seconds, which are cleaned as they are and with noise
at 5, 10 and 15 dB. "kept" is the ratio of the clean voice to its change by the model, "gain" the level at which the voice
itself remains, "SI-SDR" that of the noisy items and its change. Noise and music alone: dB by which they are lowered (median).
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from enhance_cli import Denoiser
from enhance_cli.data.corpus import find_audio, read_mono
from enhance_cli.metrics.si_sdr import score as si_sdr

RATE = 48000
SECONDS = 4
ITEMS = 15
SNRS_DB = (5, 10, 15)
LEVEL = 0.05  # RMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voices", type=Path, required=True)
    parser.add_argument("--only", action="append", help="a voice of the folder. Default: all")
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--model", action="append")
    arguments = parser.parse_args()
    models = {name: Denoiser(name, threads=1) for name in arguments.model or ["denoise-s", "denoise-48k"]}
    noises = [read(path) for path in find_audio(arguments.noise, print)]
    noises = [noise for noise in noises if noise.size >= RATE and noise.std() > 1e-4]
    table = Table("voice", "model", "kept dB", "worst", "gain dB", "SI-SDR dB", "change")
    for folder in sorted(path for path in arguments.voices.iterdir() if path.is_dir()):
        if not arguments.only or folder.name in arguments.only:
            items = mixtures(folder, noises)
            for name, model in models.items():
                table.add_row(folder.name, name, *(f"{value:.1f}" for value in treated(model, items)))
    for kind, sounds in {"noise": noises, "music": music(arguments.music)}.items():
        for name, model in models.items() if sounds else ():
            table.add_row(f"{kind} alone", name, "", "", f"{np.median([gain(model, sound) for sound in sounds]):.1f}")
    Console().print(table)


def mixtures(folder: Path, noises: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return items of a voice: (input, voice), each (N,). The first half is without noise."""
    rng = np.random.default_rng(0)
    clips = [leveled(clip) for clip in map(read, find_audio(folder, print)) if np.abs(clip).max() > 0.01]
    items = []
    for number in range(2 * ITEMS):
        parts = [np.zeros(RATE // 2, np.float32)]
        while sum(part.size for part in parts) < SECONDS * RATE:
            parts += [clips[rng.integers(len(clips))], np.zeros(rng.integers(RATE // 10, RATE // 2), np.float32)]
        voice = np.concatenate(parts)[: SECONDS * RATE]
        noise = np.resize(noises[rng.integers(len(noises))], voice.size)
        snr = SNRS_DB[number % len(SNRS_DB)]
        added = noise * np.float32(voice.std() / noise.std() * 10 ** (-snr / 20)) if number >= ITEMS else 0
        items.append((voice + added, voice))
    return items


def treated(model: Denoiser, items: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, float, float, float]:
    """Return the columns of a row: mean and worst of "kept", gain, SI-SDR and its change."""
    outputs = [(model(heard[None], RATE)[0], heard, voice) for heard, voice in items]
    clean, noisy = outputs[:ITEMS], outputs[ITEMS:]
    kept = [10 * np.log10((voice @ voice) / np.square(out - voice).sum()) for out, _, voice in clean]
    gains = [20 * np.log10(max(out @ voice / (voice @ voice), 1e-3)) for out, _, voice in clean]
    after = [si_sdr(voice, out, RATE) for out, _, voice in noisy]
    before = [si_sdr(voice, heard, RATE) for _, heard, voice in noisy]
    means = (np.mean(after), np.mean(after) - np.mean(before))
    return float(np.mean(kept)), float(np.min(kept)), float(np.mean(gains)), float(means[0]), float(means[1])


def gain(model: Denoiser, sound: np.ndarray) -> float:
    """Return the level in dB at which a sound leaves the model, after its first second."""
    heard = leveled(np.resize(sound, 5 * RATE))
    out = model(heard[None], RATE)[0]
    return float(10 * np.log10(np.square(out[RATE:]).sum() / np.square(heard[RATE:]).sum() + 1e-9))


def music(folder: Path | None) -> list[np.ndarray]:
    return [sound for sound in map(read, find_audio(folder, print)) if sound.std() > 1e-4] if folder else []


def leveled(audio: np.ndarray) -> np.ndarray:
    return audio * np.float32(LEVEL / (np.sqrt(np.square(audio).mean()) + 1e-6))


def read(path: Path) -> np.ndarray:
    return read_mono(path, RATE).astype(np.float32)


if __name__ == "__main__":
    main()
