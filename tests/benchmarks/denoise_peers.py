"""`make bench`: our denoisers and their peers from PyPI on the same noisy files in one run, as a table.

Every folder named on the command line holds `noisy/` and `clean/` with files of the same names and has columns of its own.
Each system gets the files at the rate that they have, brings them to the rate it knows, and back. It is a process that has
loaded its model and denoised one file before the clock starts. Then all take turns, file by file, so that a busy machine
slows all of them alike; of several rounds the fastest counts. "x real time" is over all files, "/ DFN 3" how many times as
fast as DeepFilterNet 3's native library that is. Start-up is the wall time of a whole process that denoises the shortest
file, peak memory that of one that denoises the longest.
"""

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import soundfile
import systems
from systems import System

from enhance_cli.commands.evaluate import measures, table

FILES = Path(__file__).parents[1] / "audio_files"
METRICS = {"pesq": ("PESQ-WB", 2), "estoi": ("ESTOI", 3), "si_sdr": ("SI-SDR dB", 1)}
METRICS |= {"hf_si_sdr": ("HF SI-SDR dB", 1), "hf_lsd": ("HF LSD dB", 2)}
COSTS = ["x real time", "/ DFN 3", "start-up s", "peak MB"]


@dataclass(frozen=True)
class Pair:
    """A noisy file as mono WAV at its own rate, its clean original, and the number of the folder it came from."""

    source: Path
    original: measures.Original
    folder: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="*", type=Path, help="each with noisy/ and clean/ (default: those of the tests)"
    )
    parser.add_argument("--venv", type=Path, default=Path(".bench-venv"), help="where the peers live")
    parser.add_argument("--threads", type=int, default=1, help="and cores, for every system")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only systems with one of these in their name (a,b,...)")
    options = parser.parse_args()

    only = options.only.split(",")
    folders = options.folders or [FILES / "pairs", FILES / "pairs_48k"]
    peers = systems.peers(options.venv.absolute(), only)
    restrict(options.threads)
    with tempfile.TemporaryDirectory() as place:
        chosen = peers + systems.own(options.threads, only)
        for line in compare(chosen, folders, Path(place), options.rounds):
            print(line)
    print(f"\n{options.threads} of {os.cpu_count()} CPU cores")


def restrict(threads: int) -> None:
    """Keep this process and all that it starts to so many cores; the adapters read the variable too."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def compare(chosen: list[System], folders: list[Path], place: Path, rounds: int) -> list[str]:
    """Return the lines of the table: the noisy input, then each system that works."""
    pairs = [pair for number, folder in enumerate(folders) for pair in read_pairs(folder, number, place)]
    pairs.sort(key=lambda pair: pair.original.seconds)
    length = sum(pair.original.seconds for pair in pairs)

    chosen, seconds = race(chosen, pairs, place, rounds)
    native = next((seconds[system] for system in chosen if system.name == systems.NATIVE), None)
    rows = [("noisy", quality(pairs, place / "noisy"), [""] * len(COSTS))]
    for system in chosen:
        say(f"start-up and memory: {system.name}")
        short = system.whole_process(pairs[0].source, place / system.slug / "shortest.wav")
        long = system.whole_process(pairs[-1].source, place / system.slug / "longest.wav")
        ratio = f"{native / seconds[system]:.2f}" if native else ""
        cost = [f"{length / seconds[system]:.1f}", ratio, f"{short['seconds']:.2f}", f"{long['megabytes']:.0f}"]
        rows.append((system.name, quality(pairs, place / system.slug), cost))
    return table_lines(rows, folders, pairs)


def read_pairs(folder: Path, number: int, place: Path) -> list[Pair]:
    """Return the pairs of `folder`, with the noisy files written to place/noisy as mono WAV at their own rates."""
    (place / "noisy").mkdir(exist_ok=True)
    found = []
    for path in sorted((folder / "noisy").iterdir()):
        (clean,) = (folder / "clean").glob(f"{path.stem}.*")
        audio, rate = table.read_whole(path)
        source = place / "noisy" / f"{number}_{path.stem}.wav"
        soundfile.write(source, audio.mean(axis=0), rate, subtype="FLOAT")
        found.append(Pair(source, measures.read_original(PurePath(path.stem), clean), number))
    return found


def race(chosen: list[System], pairs: list[Pair], place: Path, rounds: int) -> tuple[list[System], dict[System, float]]:
    """Let all systems in turns denoise all files into place/slug. Return those that work, and their seconds."""
    alive, fastest = [], {}
    for system in chosen:
        (place / system.slug).mkdir()
        say(f"loading: {system.name}")
        try:
            system.start()
            system.denoise(pairs[0].source, place / system.slug / pairs[0].source.name)
            alive.append(system)
        except OSError as error:
            say(f"{system.name} is left out: {error}")
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for source in (pair.source for pair in pairs):
            for system in alive:
                time = system.denoise(source, place / system.slug / source.name)
                fastest[system, source] = min(time, fastest.get((system, source), time))
    for system in alive:
        system.stop()
    return alive, {system: sum(fastest[system, pair.source] for pair in pairs) for system in alive}


def quality(pairs: list[Pair], folder: Path) -> dict[tuple[int, str], float]:
    """Return the mean of each metric over the files of each folder, by (folder, metric); warn of files that come late."""
    found, late = {}, []
    loaded = measures.load_measures(METRICS)
    for pair in pairs:
        scores = measures.score_file(loaded, pair.original, *table.read_whole(folder / pair.source.name))
        late += [scores.pop(measures.DELAY)] if measures.DELAY in scores else []
        for name, value in scores.items():
            found.setdefault((pair.folder, name), []).append(value)
    if late:
        say(f"warning: {folder.name}: {len(late)} files not in time, by {statistics.median(late):.1f} ms")
    return {key: float(np.mean(values)) for key, values in found.items()}


def table_lines(rows: list[tuple[str, dict, list[str]]], folders: list[Path], pairs: list[Pair]) -> list[str]:
    """Return what the columns are about and the table in Markdown; metrics that a folder has no files for are left out."""
    noisy = rows[0][1]
    columns = [(number, name) for number in range(len(folders)) for name in METRICS if (number, name) in noisy]
    letters = "abcdefghijklmnopqrstuvwxyz"
    lines = []
    for number, folder in enumerate(folders):
        own = [pair.original for pair in pairs if pair.folder == number]
        rates = sorted({original.own[1] for original in own})
        seconds = sum(original.seconds for original in own)
        lines.append(
            f"{letters[number]}: {folder}, {len(own)} files, {seconds:.0f} s, {', '.join(f'{r:,} Hz' for r in rates)}"
        )
    titles = [f"{letters[number]}: {METRICS[name][0]}" for number, name in columns]
    lines += ["", f"| {' | '.join(['system', *titles, *COSTS])} |", "|---" * (1 + len(titles) + len(COSTS)) + "|"]
    for name, scores, cost in rows:
        values = [f"{scores[column]:.{METRICS[column[1]][1]}f}" for column in columns]
        lines.append(f"| {' | '.join([name, *values, *cost])} |")
    return lines


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
