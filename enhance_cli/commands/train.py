"""Run `enhance train`: a recipe in, a checkpoint out. The same command again continues where it stopped."""

from enhance_cli.console import TrainingReporter, result
from enhance_cli.flags.group import grouped
from enhance_cli.flags.training import Recipe, TrainingFlags


@grouped
def train(recipe: Recipe, training: TrainingFlags = TrainingFlags()) -> None:
    """Train a model from a recipe. Prints the path of the checkpoint."""
    from enhance_cli.training.recipe_files import read

    read(recipe, training.settings or [])  # a mistyped name is refused before torch is imported, which takes seconds
    from enhance_cli.models.device import pick_device, set_threads
    from enhance_cli.training import start
    from enhance_cli.training.parallel import local_device
    from enhance_cli.training.recipe import load

    set_threads(training.threads)
    loaded = load(recipe, training.settings or [])
    checkpoint = start.run(
        loaded,
        data=training.data,
        folder=training.run,
        cache=training.cache,
        device=local_device(pick_device(training.device)),
        reporter=TrainingReporter(training.quiet),
        dry_run=training.dry_run,
    )
    if checkpoint is not None:
        result(checkpoint)
