"""From a recipe to a run: the task that the recipe is of, its data, and the loop that trains it."""

import json
from pathlib import Path

import torch

from enhance_cli.catalogue import Catalogue
from enhance_cli.models import registry
from enhance_cli.models.load import Model, load_file
from enhance_cli.models.spec import read_spec
from enhance_cli.training.loop import Trainer
from enhance_cli.training.parallel import Processes

TASKS = Catalogue(
    "task of training",
    __package__,
    {
        "denoise": "denoise.task:Denoising",
        "enhance-embedding": "repair.task:Repair",
        "extract-stem": "stems.task:StemExtraction",
    },
)


def run(
    recipe,
    root: Path,
    folder: Path | None,
    cache: Path | None,
    device: torch.device,
    reporter,
    dry_run: bool = False,
    teacher: Model | None = None,
) -> str | None:
    """Train, or with `dry_run` only look at everything. Returns the checkpoint's path, or the description as JSON; None on
    all processes of a run but the first.

    `reporter` has `report(dict)`, which gets every metrics line, and `log(str)`, for what a person may want to read.
    """
    folder = folder or Path("runs") / recipe.model.name
    processes = Processes(device)
    with processes.together():
        trainer = prepare(recipe, root, folder, cache, device, reporter.report, reporter.log, teacher, processes)
        if dry_run:
            answer = json.dumps(trainer.look(), indent=2)
        else:
            trainer.log(json.dumps(trainer.describe()))
            answer = str(trainer.train())
    return answer if processes.main else None


def load_teacher(entry: registry.Entry, device: torch.device) -> Model:
    """A finished model to learn from, with its normalisations as they were trained. Raises ModelError, and UsageError for one
    of a task that is not trained here."""
    kind = TASKS[read_spec(entry.path).task].wraps
    return load_file(entry.path, device, sha256=entry.sha256, fold=False, kind=kind)


def prepare(
    recipe,
    root: Path,
    folder: Path,
    cache: Path | None,
    device: torch.device,
    report,
    log,
    teacher: Model | None = None,
    processes: Processes | None = None,
) -> Trainer:
    """The recipe with its data, ready to train in `folder`. As `run`."""
    processes = processes or Processes(device)
    torch.manual_seed(recipe.train.seed)  # of the network's first weights
    torch.set_flush_denormal(True)  # layers that begin at zero make numbers that tiny, and those are slow
    task = TASKS[recipe.model.task](recipe, device, teacher)
    trainer = Trainer(task, folder, processes, report, log)
    with processes.main_first():  # which may take long, so what cannot be trained was said before
        task.load(root, cache or folder / "cache", trainer.log)
    return trainer
