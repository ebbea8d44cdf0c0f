"""Measure how models treat speech in rooms, against the direct sound with its early reflections (50 ms).

    python tests/benchmarks/reverberation.py --speech FOLDER --noise FOLDER [--responses FOLDER] [--model NAME ...]

Every file of speech is put into a simulated room that training never drew (reverberation times of 0.3 to 0.9 s), then
into each measured response of --responses, without noise and with noise at 10 dB. PESQ and ESTOI at 16 kHz, means.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.signal import oaconvolve

from enhance_cli import denoise, load_model, metrics
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.resample import resample
from enhance_cli.data import rooms

SEED = 1_000_000  # training draws its rooms with small seeds
T60_RANGE = (0.3, 0.9)
SNR_DB = 10.0
SCORE_RATE = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--responses", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--files", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    models = {name: load_model(name, device="cpu") for name in arguments.model or ["denoise-s", "denoise-48k"]}
    speech = [read(path) for path in sorted(arguments.speech.rglob("*.flac"))[: arguments.files]]
    noises = [read(path) for path in sorted(arguments.noise.rglob("*")) if path.suffix in (".flac", ".ogg", ".opus")]
    kinds = {"simulated": [simulated(index, rate) for index, (_, rate) in enumerate(speech)]}
    if arguments.responses:
        measured = [read(path) for path in sorted(arguments.responses.glob("*.wav"))]
        kinds["measured"] = [resample(r[None], own, speech[0][1])[0] for r, own in measured]
    table = Table("rooms", "noise", "", "PESQ", "ESTOI")
    for kind, responses in kinds.items():
        for noisy in (False, True):
            for name, scores in measure(speech, responses, noises if noisy else None, models).items():
                pesq, estoi = np.mean(scores, axis=0)
                table.add_row(kind, f"{SNR_DB:g} dB" if noisy else "none", name, f"{pesq:.2f}", f"{estoi:.3f}")
    Console().print(table)


def measure(speech, responses, noises, models) -> dict[str, list[tuple[float, float]]]:
    scores: dict[str, list[tuple[float, float]]] = {}
    for index, (dry, rate) in enumerate(speech):
        response = responses[index % len(responses)]
        response = response[np.argmax(np.abs(response)) :]  # the direct sound at sample 0, so that nothing is shifted
        heard, target = (oaconvolve(dry, r)[: dry.size] for r in (response, response * early(response.size, rate)))
        if noises:
            noise, own = noises[index % len(noises)]
            noise = np.resize(resample(noise[None], own, rate)[0], heard.size)
            heard = heard + noise * np.sqrt(np.mean(heard**2) / np.mean(noise**2)) * 10 ** (-SNR_DB / 20)
        peak = max(1.0, float(np.abs(heard).max()))
        outputs = {"input": heard} | {
            name: denoise(heard.astype(np.float32)[None] / peak, rate, model=model)[0] * peak
            for name, model in models.items()
        }
        for name, output in outputs.items():
            pair = [resample(x.astype(np.float32)[None], rate, SCORE_RATE)[0] for x in (target, output)]
            row = tuple(metrics.load(measure)(*pair, SCORE_RATE) for measure in ("pesq", "estoi"))
            scores.setdefault(name, []).append(row)
    return scores


def early(samples: int, rate: int) -> np.ndarray:
    return (np.arange(samples) < rooms.EARLY_SECONDS * rate).astype(float)


def simulated(index: int, rate: int) -> np.ndarray:
    """Return a response (N,) with a reverberation time in T60_RANGE."""
    for attempt in range(100):
        response = rooms.simulate_with_tails(1, rate, SEED + 100 * index + attempt)[0]
        if T60_RANGE[0] <= reverberation_time(response, rate) <= T60_RANGE[1]:
            return response
    raise RuntimeError("no room has such a reverberation time")


def reverberation_time(response: np.ndarray, rate: int) -> float:
    """Return the T60 in seconds, from the decay between -5 and -25 dB."""
    energy = np.cumsum(np.square(response[::-1]))[::-1]
    decibels = 10 * np.log10(energy / energy[0] + 1e-12)
    return 3 * float(np.argmax(decibels < -25) - np.argmax(decibels < -5)) / rate


def read(path: Path) -> tuple[np.ndarray, int]:
    with open_audio(path) as file:
        blocks = np.concatenate(list(file.blocks(1 << 16)), axis=1)
        return blocks.mean(axis=0).astype(np.float64), file.info.rate


if __name__ == "__main__":
    main()
