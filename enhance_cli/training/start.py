"""Start a run from a recipe: its task, its data, and the loop that trains it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch

from enhance_cli.contracts import Log
from enhance_cli.errors import OutputError, reader_has_gone
from enhance_cli.models import registry
from enhance_cli.models.load import LoadedModel, load_as
from enhance_cli.models.spec import read_spec
from enhance_cli.training.loop import Trainer
from enhance_cli.training.parallel import Ranks
from enhance_cli.training.stage import TaskRecipe
from enhance_cli.training.tasks import TASKS


class Reporter(Protocol):
    """Report a run to a person. `report` receives every line of metrics, `log` messages."""

    def report(self, line: dict) -> None: ...
    def log(self, line: str) -> None: ...


def run(
    recipe: TaskRecipe,
    *,
    data: Path,
    folder: Path | None,
    cache: Path | None,
    device: torch.device,
    reporter: Reporter,
    dry_run: bool = False,
    teacher: LoadedModel | None = None,
) -> str | None:
    """Train, or with `dry_run` only check everything. The recipe's folders are relative to `data`.

    Returns the path of the checkpoint, or the report of the dry run as JSON. On all ranks but the first it returns None. Raises
    OutputError on a full disk.
    """
    folder = folder or Path("runs") / recipe.model.name
    ranks = Ranks(device)
    with ranks.together(), _files_named(folder):
        trainer = make_trainer(
            recipe, data, folder, cache=cache, device=device, report=reporter.report, log=reporter.log,
            teacher=teacher, ranks=ranks,
        )  # fmt: skip
        trainer.log(trainer.plan())
        answer = json.dumps(trainer.dry_run_report(), indent=2) if dry_run else str(trainer.train())
    return answer if ranks.main else None


@contextmanager
def _files_named(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into one line. A full disk has no name of a file, it is that of the run's `folder`."""
    try:
        yield
    except OSError as error:
        if reader_has_gone(error):
            raise
        where = f"{error.filename or folder}: cannot be used ({error.strerror or error})"
        raise OutputError(where, "mend that, then the same command goes on from the last save") from error


def load_teacher(entry: registry.Entry, device: torch.device) -> LoadedModel:
    """Return a finished model to learn from, with its normalizations unfolded.

    Raises ModelError, and UsageError for a model of a task that is not trained here.
    """
    model_class = TASKS[read_spec(entry.path).task].model_class
    return load_as(model_class, entry.path, device, sha256=entry.sha256, fold=False)


def make_trainer(
    recipe: TaskRecipe,
    data: Path,
    folder: Path,
    *,
    cache: Path | None,
    device: torch.device,
    report: Callable[[dict], None],
    log: Log,
    teacher: LoadedModel | None = None,
    ranks: Ranks | None = None,
) -> Trainer:
    """Return a trainer for the recipe with its data, ready to train in `folder`. Arguments as in `run`."""
    ranks = ranks or Ranks(device)
    torch.manual_seed(recipe.train.seed)  # of the network's first weights
    torch.set_flush_denormal(True)  # layers that are initialized with zeros make denormal numbers, which are slow
    task = TASKS[recipe.model.task](recipe, device, teacher)
    trainer = Trainer(task, folder, ranks, report, log)
    with ranks.main_first():  # this may take long, and a recipe that cannot be trained has been refused by now
        task.load_data(data, cache or folder / "cache", trainer.log)
    return trainer
