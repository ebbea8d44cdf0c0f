"""`enhance train`: a recipe in, a checkpoint out; the same command again goes on where it stopped."""

from typing import Annotated

import typer

from enhance_cli import flags
from enhance_cli.console import TrainingReporter, result


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a .toml file.")],
    data: flags.Data = flags.HERE,
    run: flags.RunFolder = None,
    cache: flags.PackedAudio = None,
    settings: flags.Settings = None,
    device: flags.Device = "auto",
    threads: flags.Threads = None,
    dry_run: flags.DryTraining = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Train a model from a recipe. Prints the path of the checkpoint."""
    from enhance_cli.models.device import pick_device, set_threads
    from enhance_cli.training import start
    from enhance_cli.training.parallel import local_device
    from enhance_cli.training.recipe import load

    set_threads(threads)
    loaded = load(recipe, settings or [])
    place = local_device(pick_device(device))
    answer = start.run(loaded, data, run, cache, place, TrainingReporter(quiet), dry_run)
    if answer is not None:
        result(answer)
