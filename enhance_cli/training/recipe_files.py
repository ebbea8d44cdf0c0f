"""Read the files of recipes: TOML, laid over that of their `base`, with the settings of the command laid over both.

Nothing heavy is imported here, so that a mistyped name is refused at once.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from enhance_cli.errors import UsageError
from enhance_cli.toml_lines import tomllib

RECIPES = Path(__file__).with_name("recipes")


class RecipeTables(NamedTuple):
    """Hold the `tables` of a recipe, the (name, text) of its files, the topmost first, and overrides by the path they set."""

    tables: dict[str, Any]
    texts: list[tuple[str, str]]
    overrides: dict[tuple, str]


def read(name: str, overrides: Sequence[str] = ()) -> RecipeTables:
    """Return the tables of the recipe `name` with `overrides`. Arguments and errors as in training.recipe.load.

    The names of their keys are not checked.
    """
    tables, texts = _tables(name)
    changes = [_parsed(override) for override in overrides]
    if _replaces_data([path[1] for path, _, _ in changes if path[0] == "data"], tables):
        tables["data"] = {}
    for change in changes:
        _override(tables, *change)
    return RecipeTables(tables, texts, {path: said for path, _, said in changes})


def _replaces_data(keys: list[str], under: dict) -> bool:
    """Return whether these keys of the data section ask for pairs where `under` has mixtures, or the reverse."""
    sources = ({"pairs", "shards"}, {"speech", "noise"})
    return any(one & set(keys) and other & set(under.get("data", {})) for one, other in (sources, sources[::-1]))


def _tables(name: str) -> tuple[dict, list[tuple[str, str]]]:
    """Return the tables of a recipe, laid over those of its `base` if it has one, and the files they come from."""
    text, where = _read(name)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: not valid TOML ({error})", "fix the line") from error
    base = tables.pop("base", None)
    if base is None:
        return tables, [(where, text)]
    under, texts = _tables(base)
    if _replaces_data(tables.get("data", {}), under):
        del under["data"]
    return _merged(under, tables), [(where, text), *texts]


def _merged(under: dict, over: dict) -> dict:
    """Return `over` laid over `under`: tables merge key by key, anything else is replaced."""
    both = {k: _merged(under[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(under.get(k), dict)}
    return under | over | both


def shipped() -> list[str]:
    """Return the names of the recipes in the package. Files that begin with _ only serve as a base."""
    names = (p.name for p in RECIPES.iterdir() if not p.name.startswith("_"))
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _read(name: str) -> tuple[str, str]:
    inside = RECIPES / f"{name}.toml"
    if inside.is_file():
        return inside.read_text(encoding="utf-8"), f"recipe {name}"
    path = Path(name)
    if not path.is_file():
        close = difflib.get_close_matches(name, shipped(), 1)
        hint = f"did you mean {close[0]}?" if close else f"name a .toml file or one of {', '.join(shipped())}"
        raise UsageError(f"{name}: no such recipe", hint)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: no recipe that can be read", "name a .toml file") from error


def _parsed(override: str) -> tuple[tuple, Any, str]:
    """Return (path, value, override) of an override.

    "stage.0.lr=1e-3" gives (("stage", 0, "lr"), 0.001, "stage.0.lr=1e-3").
    """
    key, equals, value = override.partition("=")
    path = tuple(int(part) if part.isdigit() else part for part in key.strip().split("."))
    if not equals or len(path) < 2:
        raise UsageError(f"--set {override}: not of the form section.key=value", "e.g. --set train.batch_size=8")
    try:
        return path, tomllib.loads(f"value = {value}")["value"], override
    except tomllib.TOMLDecodeError:
        return path, value.strip(), override


def _override(tables: dict, path: tuple, value: Any, said: str) -> None:
    table: Any = tables
    try:
        for section in path[:-1]:
            table = table[section] if isinstance(table, list) else table.setdefault(section, {})
        table[path[-1]] = value
    except (IndexError, TypeError, AttributeError):
        raise UsageError(f"--set {said}: the recipe has no such section", "sections are counted from 0") from None
