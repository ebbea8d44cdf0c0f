"""Train variants of denoise-48k for a few minutes each and print how they do on its held-out mixtures.

    python tests/benchmarks/compare_refiners.py --data CORPUS --work FOLDER --start MODEL [--batches 60] [--variant NAME ...]

Every variant is `enhance train denoise-48k` with the settings shown, from the weights of the model --start on. Variants
whose batches cost more get fewer of them, so that the minutes are about equal. A variant that was stopped goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ONE_STEP = "stage.0.loss_args={ steps = 1 }"
DISTANCE = "stage.0.distance={{ hybrid_spectral = 1.0, perceptual = {} }}"
VARIANTS = {  # settings, and the cost of a batch
    "the recipe": ([], 1.0),
    "no perceptual distance": (["stage.0.distance={ hybrid_spectral = 1.0 }"], 0.9),
    "perceptual distance times 3": ([DISTANCE.format("3.0")], 1.0),
    "batches of 16": (["train.batch_size=16"], 2.0),
    "one step only": ([ONE_STEP], 0.8),
    "a fifth of the items in rooms": (["mix.room=0.2"], 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--start", required=True)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--variant", action="append", choices=list(VARIANTS))
    arguments = parser.parse_args()
    table = Table("variant", "batches", "minutes", "PESQ", "ESTOI", "SI-SDR dB")
    for name in arguments.variant or VARIANTS:
        settings, cost = VARIANTS[name]
        line = trained(arguments, name, settings, round(arguments.batches / cost))
        scores = [f"{line['pesq']:.3f}", f"{line['estoi']:.3f}", f"{line['si_sdr']:.2f}"]
        table.add_row(name, str(line["step"]), f"{line['seconds'] / 60:.1f}", *scores)
    Console().print(table)


def trained(arguments, name: str, settings: list[str], batches: int) -> dict:
    """Train a variant and return the last line of its metrics."""
    run = arguments.work / name.replace(" ", "-")
    common = [f"stage.0.steps={batches}", f"train.validate_every={batches}", "stage.0.warmup=5", "stage.0.ema=0.95"]
    common += ["stage.0.lr=3e-4", f'train.start="{arguments.start}"']
    command = [sys.executable, "-m", "enhance_cli", "train", "denoise-48k", "--data", arguments.data, "--run", run]
    command += ["--cache", arguments.cache or arguments.work / "cache", "--threads", "1"]
    for setting in [*common, *settings]:
        command += ["--set", setting]
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


if __name__ == "__main__":
    main()
