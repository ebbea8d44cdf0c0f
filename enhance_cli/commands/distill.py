"""Run `enhance distill`: a teacher that needs many steps in, a student that needs few out."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from enhance_cli.console import TrainingReporter, result
from enhance_cli.flags.group import grouped
from enhance_cli.flags.training import Recipe, TrainingFlags


@grouped
def distill(
    recipe: Recipe,
    teacher: Annotated[str, typer.Option("--teacher", help="Name or .safetensors file of the model to learn from.")],
    training: TrainingFlags = TrainingFlags(),
) -> None:
    """Teach a model of few steps the results of a model of many steps. Prints the path of the checkpoint.

    The student has the teacher's network and starts from its weights, unless the recipe names another network.
    """
    from enhance_cli.models import registry
    from enhance_cli.training.recipe_files import read

    read(recipe, training.settings or [])  # mistyped names are refused before torch is imported, which takes seconds
    entry = registry.find(teacher, None)
    from enhance_cli.models.device import pick_device, set_threads
    from enhance_cli.training import start
    from enhance_cli.training.parallel import local_device
    from enhance_cli.training.recipe import load

    set_threads(training.threads)
    device = local_device(pick_device(training.device))
    model = start.load_teacher(entry, device)
    student = asdict(model.spec) | {"name": f"{model.spec.name}-{Path(recipe).stem}", "training": {}}
    loaded = load(recipe, training.settings or [], model=student)
    checkpoint = start.run(
        loaded,
        data=training.data,
        folder=training.run,
        cache=training.cache,
        device=device,
        reporter=TrainingReporter(training.quiet),
        dry_run=training.dry_run,
        teacher=model,
    )
    if checkpoint is not None:
        result(checkpoint)
