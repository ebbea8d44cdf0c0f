"""`enhance train`: a recipe in, a checkpoint out; the same command again goes on where it stopped."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from enhance_cli import flags
from enhance_cli.console import result, say

REPORT_SECONDS = 10


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a .toml file.")],
    data: Annotated[Path, typer.Option("--data", help="Folder that the recipe's folders are relative to.")] = Path("."),
    run: Annotated[Path | None, typer.Option("--run", "-o", help="Run folder.", show_default="runs/RECIPE")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where packed audio is kept.", show_default="RUN/cache")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting of the recipe.")
    ] = None,
    device: flags.Device = "auto",
    threads: flags.Threads = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, print what would be done, and stop.")
    ] = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Train a model from a recipe. Prints the path of the checkpoint."""
    from enhance_cli.models.device import pick_device, set_threads
    from enhance_cli.training.loop import Trainer
    from enhance_cli.training.recipe import load

    loaded = load(recipe, settings or [])
    set_threads(threads)
    run = run or Path("runs") / loaded.model.name
    talk = (lambda line: None) if quiet else say
    trainer = Trainer(loaded, data, run, cache or run / "cache", pick_device(device), _Ticker(talk), talk)
    if dry_run:
        result(json.dumps(trainer.describe(), indent=2))
        return
    talk(json.dumps(trainer.describe()))
    result(str(trainer.train()))


class _Ticker:
    """Says at most one plain progress line every few seconds, and every line with scores."""

    def __init__(self, talk):
        self.talk, self.last = talk, 0.0

    def __call__(self, line: dict) -> None:
        if "si_sdr" in line or time.monotonic() - self.last > REPORT_SECONDS:
            self.last = time.monotonic()
            eta = time.strftime("%H:%M:%S", time.gmtime(line.pop("eta")))
            values = "  ".join(f"{k} {v:.4g}" for k, v in line.items() if k != "step")
            self.talk(f"step {line['step']}  {values}  left {eta}")
