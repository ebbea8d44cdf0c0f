"""Load recipes: one TOML file defines model, data, mixing and stages, and `base = "NAME"` starts from another one.

Unknown keys and wrong types are refused with their line and a suggestion.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enhance_cli.errors import UsageError
from enhance_cli.ranges import OutOfRange
from enhance_cli.training import arguments
from enhance_cli.training.recipe_files import read
from enhance_cli.training.tasks import TASKS
from enhance_cli.training.toml_values import Origins, build, out_of_range


def load(name: str, overrides: Sequence[str] = (), model: dict | None = None) -> Any:
    """Return a recipe, of the task's `recipe_class`.

    Args:
        name: path of a file, or name of a shipped recipe.
        overrides: settings of the form `section.key=value`, with TOML values.
        model: defaults for the recipe's model section. A student gets those of its teacher.

    Pairs or shards, in the recipe or in `overrides`, replace all data of the recipe's base. Mixtures replace pairs and shards.
    Raises UsageError naming the line, the key, the closest known key, or the shipped recipes.
    """
    tables, texts, said = read(name, overrides)
    tables["model"] = (model or {}) | tables.get("model", {})
    if "network" not in tables["model"] and any(s.get("loss") == "consistency" for s in tables.get("stage", [])):
        raise UsageError(f"{name}: this recipe needs a teacher", f"run `enhance distill {name} --teacher MODEL`")
    origins = Origins(texts, said)
    recipe = build(
        _recipe_class(tables, origins), tables | {"name": Path(name).stem, "settings": list(overrides)}, origins
    )
    if sum(stage.steps for stage in recipe.stage) < 1:
        raise out_of_range(OutOfRange("stage", "there is not one step to train"), origins, ())
    arguments.check(recipe, origins)
    return recipe


def _recipe_class(tables: dict, origins: Origins) -> type:
    """Return the dataclass for a recipe of this task. Raises UsageError."""
    task = tables["model"].get("task", "denoise")
    if task not in TASKS:
        where = origins.of(("model", "task"))
        raise UsageError(f"{where}: model.task: {task!r} cannot be trained", f"choose from {', '.join(TASKS)}")
    return TASKS[task].recipe_class
