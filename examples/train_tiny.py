"""Train a tiny denoiser from a folder of pairs in about five minutes of one CPU core.

    python examples/train_tiny.py PAIRS --run runs/tiny
    enhance denoise noisy.wav --model runs/tiny/tiny.safetensors

PAIRS holds noisy/ and clean/ with the same file names in both. Every eighth pair, at least one, is held out for validation.
The recipe is that of denoise-s with a smaller network and fewer batches, so expect a model that works and no more: a good one
takes hours of speech and noise (docs/training.md).
"""

import argparse
import shutil
from pathlib import Path

import torch

from enhance_cli.training.recipe import load
from enhance_cli.training.start import make_trainer

SETTINGS = [
    'model.name="tiny"',
    "model.network_args.channels=[16, 24, 32, 48]",
    "model.network_args.blocks=1",
    "model.network_args.temporal=64",
    "model.network_args.temporal_dilations=[1, 2, 4]",
    "mix.seconds=1.0",
    "train.batch_size=4",
    "train.validation_items=8",
]


def split(pairs: Path, folder: Path) -> None:
    """Copy `pairs`/noisy and `pairs`/clean to `folder`/train and `folder`/valid."""
    names = sorted(path.name for path in (pairs / "noisy").iterdir())
    if len(names) < 2:
        raise SystemExit(f"error: {pairs}/noisy holds {len(names)} files: at least two are needed")
    for number, name in enumerate(names):
        for side in ("noisy", "clean"):
            target = folder / ("valid" if number % 8 == 0 else "train") / side / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(pairs / side / name, target)


def main() -> None:
    """Read the arguments, train, and print the path of the model with its scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--run", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--steps", type=int, default=1500, help="batches of four excerpts of a second")
    chosen = parser.parse_args()
    split(chosen.pairs, chosen.run / "pairs")

    settings = [*SETTINGS, f"data.pairs={(chosen.run / 'pairs').resolve()}"]
    later = range(1, len(load("denoise-s").stage))
    settings += [f"stage.{number}.steps=0" for number in later]  # the first stage only: plain data prediction
    settings += [f"stage.0.steps={chosen.steps}", f"stage.0.warmup={chosen.steps // 10}", "stage.0.ema=0.99"]
    settings.append(f"train.validate_every={max(1, chosen.steps // 5)}")
    recipe = load("denoise-s", settings)

    def report(line: dict) -> None:
        print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)

    cpu = torch.device("cpu")
    trainer = make_trainer(
        recipe, Path("."), chosen.run, cache=chosen.run / "cache", device=cpu, report=report, log=print
    )
    path = trainer.train()
    scores = trainer.task.scores(chosen.steps)
    print(f"SI-SDR of the held-out pairs: {trainer.task.facts()['validation_noisy']['si_sdr']:.2f} dB before, "
          f"{scores['si_sdr']:.2f} dB after")  # fmt: skip
    print(path)


if __name__ == "__main__":
    main()
