"""`make bench`: our denoisers and their peers from PyPI on the same noisy files in one run, as one Markdown table.

Each system is a process that has loaded its model and denoised one file before the clock starts. Then they take turns,
file by file, so that a busy machine slows all of them alike; of several rounds the fastest counts. Start-up is the wall
time of a whole process that denoises the shortest file, peak memory that of one that denoises the longest.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import systems

from enhance_cli import metrics
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.resample import resample

PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs"
RATE = 16000
MEASURES = ("pesq", "estoi", "si_sdr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noisy", type=Path, default=PAIRS / "noisy", help="folder of noisy files")
    parser.add_argument("--clean", type=Path, default=PAIRS / "clean", help="their originals, by the same names")
    parser.add_argument("--venv", type=Path, default=Path(".bench-venv"), help="where the peers are installed")
    parser.add_argument("--threads", type=int, default=2, help="for every system")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only systems with this in their name")
    options = parser.parse_args()

    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # passed on to every process; the adapters read it
    every = systems.peers(options.venv.resolve()) + systems.own(options.threads)
    chosen = [system for system in every if options.only in system.name]
    with tempfile.TemporaryDirectory() as folder:
        sources, originals = prepare(options.noisy, options.clean, Path(folder))
        times, rows = {}, []
        for system in chosen:
            system.start()
        for system in list(chosen):
            try:
                system.denoise(sources[0], output(system, sources[0]))
            except OSError as error:
                say(f"{system.name} is left out: {error}")
                chosen.remove(system)
        for number in range(options.rounds):
            for source in sources:
                say(f"round {number + 1} of {options.rounds}: {source.stem}")
                for system in chosen:
                    seconds = system.denoise(source, output(system, source))
                    times.setdefault((system.name, source), []).append(seconds)
        for system in chosen:
            system.stop()

        by_length = sorted(sources, key=lambda source: len(originals[source]))
        length = sum(map(len, originals.values())) / RATE
        rows.append(["noisy", *quality(originals, lambda source: source), "", "", ""])
        for system in chosen:
            say(f"start-up and memory: {system.name}")
            speed = length / sum(min(times[system.name, source]) for source in sources)
            short, long = (system.whole_process(source, output(system, source)) for source in (by_length[0], by_length[-1]))
            row = [f"{speed:.1f}", f"{short['seconds']:.2f}", f"{long['megabytes']:.0f}"]
            rows.append([system.name, *quality(originals, lambda source, system=system: output(system, source)), *row])

    print(f"{len(sources)} files, {length:.0f} s, {options.threads} threads, {platform.machine()} with {os.cpu_count()} cores\n")
    print("| system | PESQ-WB | ESTOI | SI-SDR dB | x real time | start-up s | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
