"""Start, memory and speed of `enhance denoise` by ONNX Runtime and by torch: whole processes, with one thread each.

    python tests/benchmarks/runtimes.py --rounds 5 --long 60 --files 20

Both runtimes take turns. Times are medians of the processor's seconds, user and system, so that other work on the machine
counts little. The recording of the tests is cut to 3 s, repeated for a long file, and cut into many files of 3 s.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

HERE = Path(__file__).parent
NOISY = HERE.parent / "audio_files" / "noisy_speech_48k.flac"
RUNTIMES = ("onnx", "torch")


def environment() -> dict[str, str]:
    """Return variables for one thread and compiled modules, as an installation has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPYCACHEPREFIX": os.path.join(tempfile.gettempdir(), "enhance-bytecode"),
    }


def measure(*words: object) -> dict[str, float]:
    """Return seconds, cpu_seconds and megabytes of one process of `enhance denoise`, on one thread."""
    command = [sys.executable, "-m", "enhance_cli", "denoise", *map(str, words), "--existing", "overwrite", "--quiet"]
    command += ["--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-S", str(HERE / "whole_process.py"), *command],
        env=environment(), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="processes of which the median is taken")
    parser.add_argument("--long", type=int, default=60, help="seconds of the long file")
    parser.add_argument("--files", type=int, default=20, help="number of short files")
    parser.add_argument("--models", nargs="+", default=["denoise-48k", "denoise-s"])
    options = parser.parse_args()
    audio, rate = soundfile.read(NOISY)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "many").mkdir()
        repeated = np.tile(audio, -(-options.long * rate // len(audio)) + 1)
        soundfile.write(folder / "short.wav", audio[: 3 * rate], rate)
        soundfile.write(folder / "long.wav", repeated[: options.long * rate], rate)
        for number in range(options.files):
            start = number * rate % (len(repeated) - 3 * rate)
            soundfile.write(folder / "many" / f"{number}.wav", repeated[start : start + 3 * rate], rate)
        jobs = {"3 s": "short.wav", f"{options.long} s": "long.wav", f"{options.files} files of 3 s": "many"}
        print(
            "| model | input | CPU s, onnx | CPU s, torch | ratio | MB, onnx | MB, torch |\n|---|---|---|---|---|---|---|"
        )
        for model in options.models:
            for job, source in jobs.items():
                found: dict[str, list[dict[str, float]]] = {runtime: [] for runtime in RUNTIMES}
                for _ in range(options.rounds if source == "short.wav" else 1):
                    for runtime in RUNTIMES:
                        target = folder / "out" if source == "many" else folder / "out.wav"
                        words = folder / source, "-o", target, "--model", model, "--runtime", runtime
                        found[runtime].append(measure(*words))
                cpu, memory = (
                    [median(run[key] for run in found[runtime]) for runtime in RUNTIMES]
                    for key in ("cpu_seconds", "megabytes")
                )
                numbers = f"{cpu[0]:.2f} | {cpu[1]:.2f} | {cpu[0] / cpu[1]:.2f} | {memory[0]:.0f} | {memory[1]:.0f}"
                print(f"| {model} | {job} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
