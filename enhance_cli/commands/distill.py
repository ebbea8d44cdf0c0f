"""`enhance distill`: a teacher that needs many steps in, a student that needs few out."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from enhance_cli import flags
from enhance_cli.console import TrainingReporter, result


def distill(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a .toml file.")],
    teacher: Annotated[str, typer.Option("--teacher", help="Name or .safetensors file of the model to learn from.")],
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
    """Teach a model of few steps what a model of many steps does. Prints the path of the checkpoint.

    The student is of the teacher's kind and starts from its weights, unless the recipe names another network.
    """
    from enhance_cli.models import registry
    from enhance_cli.models.device import pick_device, set_threads
    from enhance_cli.training import start
    from enhance_cli.training.parallel import local_device
    from enhance_cli.training.recipe import load

    set_threads(threads)
    place = local_device(pick_device(device))
    model = start.load_teacher(registry.find(teacher, None), place)
    kind = asdict(model.spec) | {"name": f"{model.spec.name}-{Path(recipe).stem}", "training": {}}
    loaded = load(recipe, settings or [], model=kind)
    answer = start.run(loaded, data, run, cache, place, TrainingReporter(quiet), dry_run, model)
    if answer is not None:
        result(answer)
