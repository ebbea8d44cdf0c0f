"""`make bench`: our denoisers and their peers from PyPI on the same noisy files in one run, as a table.

Each system is a process that has loaded its model and denoised one file before the clock starts. Then they
take turns, file by file, so that a busy machine slows all of them alike; of several rounds the fastest
counts. Start-up is the wall time of a whole process that denoises the shortest file, peak memory that of
one that denoises the longest.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import systems
from systems import System

from enhance_cli.audio.read import open_audio
from enhance_cli.audio.resample import resample
from enhance_cli.metrics import load

PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs"
RATE = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noisy", type=Path, default=PAIRS / "noisy", help="folder of noisy files")
    parser.add_argument("--clean", type=Path, default=PAIRS / "clean", help="their originals, named alike")
    parser.add_argument("--venv", type=Path, default=Path(".bench-venv"), help="where the peers live")
    parser.add_argument("--threads", type=int, default=2, help="for every system")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only systems with this in their name")
    options = parser.parse_args()

    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # every process inherits it; the adapters read it
    peers = systems.peers(options.venv.absolute(), options.only)
    chosen = peers + systems.own(options.threads, options.only)
    with tempfile.TemporaryDirectory() as folder:
        table = compare(chosen, options.noisy, options.clean, Path(folder), options.rounds)
    print(f"{options.threads} threads on {os.cpu_count()} CPU cores, {table[0]}\n")
    print("| system | PESQ-WB | ESTOI | SI-SDR dB | x real time | start-up s | peak MB |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(table[1:]))


def compare(chosen: list[System], noisy: Path, clean: Path, folder: Path, rounds: int) -> list[str]:
    """What was measured on, then one line of the table for the noisy input and for each system that works."""
    originals, sources = {}, []
    for path in sorted(noisy.iterdir()):
        (original,) = clean.glob(f"{path.stem}.*")
        source = folder / f"{path.stem}.wav"
        soundfile.write(source, read(path), RATE, subtype="FLOAT")
        originals[source.name] = read(original)
        sources.append(source)
    sources.sort(key=lambda source: len(originals[source.name]))
    length = sum(map(len, originals.values())) / RATE

    chosen, seconds = race(chosen, sources, folder, rounds)
    lines = [f"{len(sources)} files, {length:.0f} s", line("noisy", quality(originals, folder), ["", "", ""])]
    for system in chosen:
        say(f"start-up and memory: {system.name}")
        short = system.whole_process(sources[0], folder / system.slug / "shortest.wav")
        long = system.whole_process(sources[-1], folder / system.slug / "longest.wav")
        cost = [f"{length / seconds[system]:.1f}", f"{short['seconds']:.2f}", f"{long['megabytes']:.0f}"]
        lines.append(line(system.name, quality(originals, folder / system.slug), cost))
    return lines


def race(
    chosen: list[System], sources: list[Path], folder: Path, rounds: int
) -> tuple[list[System], dict[System, float]]:
    """All systems in turns denoise all sources into folder/slug. Those that work, and their seconds."""
    alive, fastest = [], {}
    for system in chosen:
        (folder / system.slug).mkdir()
        say(f"loading: {system.name}")
        try:
            system.start()
            system.denoise(sources[0], folder / system.slug / sources[0].name)
            alive.append(system)
        except OSError as error:
            say(f"{system.name} is left out: {error}")
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for source in sources:
            for system in alive:
                time = system.denoise(source, folder / system.slug / source.name)
                fastest[system, source] = min(time, fastest.get((system, source), time))
    for system in alive:
        system.stop()
    return alive, {system: sum(fastest[system, source] for source in sources) for system in alive}


def quality(originals: dict[str, np.ndarray], folder: Path) -> list[str]:
    """Mean PESQ, ESTOI and SI-SDR of the files in `folder`, as text."""
    pairs = [(clean, read(folder / name)) for name, clean in originals.items()]
    means = (
        np.mean([load(name)(clean, estimate, RATE) for clean, estimate in pairs])
        for name in ("pesq", "estoi", "si_sdr")
    )
    return [f"{mean:.{digits}f}" for mean, digits in zip(means, (2, 3, 1), strict=True)]


def read(path: Path) -> np.ndarray:
    """A file as mono at 16 kHz, (N,) float32."""
    with open_audio(path) as file:
        audio = np.concatenate(list(file.blocks()), axis=1)
        return resample(audio.mean(axis=0, keepdims=True), file.info.rate, RATE)[0].astype(np.float32)


def line(name: str, quality: list[str], cost: list[str]) -> str:
    return f"| {' | '.join([name, *quality, *cost])} |"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
