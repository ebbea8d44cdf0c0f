"""Export the model: the best moving average so far, with its provenance in the header, and its card beside it."""

import subprocess
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

from enhance_cli.models.weights import save_model
from enhance_cli.training.task import Task


def write(path: Path, task: Task, facts: dict) -> None:
    """Write the checkpoint and its card.

    `facts`: header fields of the training besides recipe, licences, date, commit.
    """
    recipe = task.recipe
    made = {"recipe": asdict(recipe), "licences": recipe.data.licences, "date": date.today().isoformat()}
    if task.teacher:
        made["teacher"] = task.teacher.spec.name
    spec = replace(task.model.spec, training=facts | made | {"commit": commit()})
    save_model(path, spec, task.averaged.network)
    path.with_suffix(".md").write_text(task.card(spec), encoding="utf-8")


def commit(file: Path = Path(__file__)) -> str:
    """Return the commit of the source tree that `file` is kept in, or "" outside of one.

    It is also "" where the package is installed in a folder inside of somebody else's repository, and without git.
    """

    def git(*words: str) -> str:
        result = subprocess.run(["git", *words], cwd=file.parent, capture_output=True, text=True, check=True)
        return result.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        return git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return ""
