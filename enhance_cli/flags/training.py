"""Define the flags of `train` and `distill`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from enhance_cli.flags.running import Device, Quiet, Threads, Verbose

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a .toml file.")]


@dataclass(frozen=True, repr=False, eq=False)
class TrainingFlags:
    """Set the data of a training run, its folder, and where it runs."""

    data: Annotated[Path, typer.Option(help="Folder that the recipe's folders are relative to.")] = Path(".")
    run: Annotated[Path | None, typer.Option("--run", "-o", help="Run folder.", show_default="runs/MODEL")] = None
    cache: Annotated[Path | None, typer.Option(help="Folder for packed audio.", show_default="RUN/cache")] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Change a setting of the recipe, such as train.batch_size=8 or stage.0.steps=500. May be given several times.",
        ),
    ] = None
    device: Device = "auto"
    threads: Threads = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Pack the data, print the plan, and stop.")] = False
    quiet: Quiet = False
    verbose: Verbose = False
