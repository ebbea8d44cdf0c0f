"""How much of the bare network's speed is left when files are read, resampled, cleaned, measured and written.

    python tests/benchmarks/pipeline.py [--short 500] [--long 5] [--device auto] [--precision auto] [--threads N]
        [--batch-size N]

Two batches of recordings are made: --short clips of 3 s and --long ones of --minutes, FLAC at 16 kHz, and cleaned with the
model as `enhance denoise` does it, without the start of the program. "network" is the time for the same recordings alone,
by the same engine; "busy" is the share of the pipeline's time in which the device computed. The single stages
(decoding and measuring, encoding, and what a file costs besides) are timed by themselves, per core: what plans for large fleets
need (fleet.py).
"""

import argparse
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

import enhance_cli
from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.read import open_audio
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.record import ReportWriter
from enhance_cli.tasks.denoise import DenoiseOptions, Denoiser
from enhance_cli.tasks.scale import Scale

RATE = 16000
SPEECH = Path(__file__).parents[1] / "audio_files" / "noisy_speech.flac"


def recordings(folder: Path, count: int, seconds: float) -> Path:
    """`count` FLAC files, each another piece of the same recording, repeated until it is long enough."""
    folder.mkdir()
    speech, _ = soundfile.read(SPEECH, dtype="float32")
    samples = int(seconds * RATE)
    for n in range(count):
        piece = np.resize(np.roll(speech, -n * 997), samples)
        soundfile.write(folder / f"{n:04}.flac", piece, RATE)
    return folder


class Busy:
    """Stands for the threads of an engine, and sums up the time in which at least one of them is at work."""

    def __init__(self, threads):
        self.threads, self.seconds, self.inside, self.lock = threads, 0.0, 0, threading.Lock()

    def submit(self, function, *arguments):
        return self.threads.submit(self.timed, function, *arguments)

    def timed(self, function, *arguments):
        with self.lock:
            if not self.inside:
                self.since = time.perf_counter()
            self.inside += 1
        try:
            return function(*arguments)
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside:
                    self.seconds += time.perf_counter() - self.since


def network_alone(denoiser: Denoiser, count: int, samples: int) -> float:
    """Seconds for the change to `count` recordings, all there before the clock starts."""
    noise = np.random.default_rng(0).standard_normal((1, samples)).astype(np.float32) * 0.05
    changes = denoiser.band_changes

    def compute(_):
        for _ in changes.of(iter([noise]), 1, Scale(1.0), top=RATE / 2, parts=1):
            pass

    with ThreadPoolExecutor(min(changes.engine.lanes, count)) as lanes:
        started = time.perf_counter()
        list(lanes.map(compute, range(count)))
        return time.perf_counter() - started


def pipeline(denoiser: Denoiser, folder: Path, out: Path) -> tuple[float, float]:
    """Seconds for all files of `folder`, and for how many of them the device computed."""
    busy = Busy(denoiser.band_changes.engine._threads)
    denoiser.band_changes.engine._threads = busy
    jobs = plan(expand([str(folder)]), str(out))
    work = lambda job: enhance_file(job, denoiser.process, FileOptions(measure=False))  # noqa: E731
    started = time.perf_counter()
    summary = run(jobs, work, {}, lambda record: None, lanes=min(denoiser.band_changes.engine.lanes, len(jobs)))
    spent = time.perf_counter() - started
    assert summary.done == len(jobs)
    denoiser.band_changes.engine._threads = busy.threads
    return spent, busy.seconds


def stages(folder: Path) -> dict[str, float]:
    """Seconds of one core per hour of audio, for what is not the network."""
    files = sorted(folder.iterdir())[:50]
    hours = sum(soundfile.info(f).duration for f in files) / 3600
    started = time.thread_time()
    kept = []
    for path in files:
        with open_audio(path) as audio:
            meter = Meter(audio.info.rate, audio.info.channels, loudness=False)
            kept.append([])
            for block in audio.blocks(65536):
                meter.push(block)
                kept[-1].append(block)
        with open_audio(path) as audio:
            for _ in audio.blocks(65536):
                pass
    read = time.thread_time() - started
    started = time.thread_time()
    with tempfile.TemporaryDirectory() as room:
        for n, blocks in enumerate(kept):
            soundfile.write(f"{room}/{n}.flac", np.concatenate(blocks, axis=1).T, RATE)
    return {"reading twice and measuring": read / hours, "encoding": (time.thread_time() - started) / hours}


def overhead(room: Path, count: int = 200) -> float:
    """Seconds of a core that a file costs however short it is: its name, its tags, fsync and its record."""
    folder = recordings(room / "tiny", count, 0.01)
    nothing = lambda blocks, rate, channels, level: blocks  # noqa: E731
    with ReportWriter(room / "tiny.jsonl") as report:
        started = time.process_time()
        jobs = plan(expand([str(folder)]), str(room / "tiny out"))
        run(jobs, lambda job: enhance_file(job, nothing, FileOptions(measure=False)), {}, report.write)
        return (time.process_time() - started) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="denoise-s", help="one without a first stage")
    parser.add_argument("--short", type=int, default=500)
    parser.add_argument("--long", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    model = enhance_cli.load_model(options.model, device=options.device, precision=options.precision)
    denoiser = Denoiser(model, DenoiseOptions(batch_size=options.batch_size, threads=options.threads))
    company = "one window at a time each" if model.device.type == "cpu" else f"batches of {options.batch_size}"
    print(f"on {model.device} in {model.precision}, {options.threads} threads, {company}")
    with tempfile.TemporaryDirectory() as room:
        for kind, count, seconds in (("short", options.short, 3.0), ("long", options.long, 60 * options.minutes)):
            folder = recordings(Path(room) / kind, count, seconds)
            pipeline(denoiser, recordings(Path(room) / f"warm {kind}", 2, 3.0), Path(room) / f"warm {kind} out")
            alone = network_alone(denoiser, count, int(seconds * RATE))
            spent, busy = pipeline(denoiser, folder, Path(room) / f"{kind} out")
            print(
                f"{count} {kind} files of {seconds:g} s: network {count * seconds / alone:.0f}, "
                f"pipeline {count * seconds / spent:.0f} s of audio per s ({alone / spent:.2f} of the network), "
                f"busy {busy / spent:.0%}"
            )
        for name, cost in stages(Path(room) / "short").items():
            print(f"{name}: {cost:.2f} s of a core per hour of audio (3 s FLAC files)")
        print(f"each file besides, however short: {overhead(Path(room)):.4f} s of a core")


if __name__ == "__main__":
    main()
