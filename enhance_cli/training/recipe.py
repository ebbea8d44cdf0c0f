"""Recipes: one TOML file says model, data, mixing and stages; `base = "NAME"` starts from another one.

Unknown keys and wrong types are refused with a suggestion.
"""

import difflib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from enhance_cli.data.corpus import Source
from enhance_cli.data.mixing import Mix
from enhance_cli.errors import UsageError
from enhance_cli.models.spec import Spec

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib


@dataclass(frozen=True)
class DataPart:
    speech: list[Source]
    noise: list[Source]
    rooms: int = 600
    licences: str = ""


@dataclass(frozen=True)
class Stage:
    """One phase of training: `loss` by name with its arguments, for `steps` batches; lr falls by a cosine to lr_end.

    `distance` has the weights of the distances between estimate and target that are added up. `ema` is the decay of the
    moving average that is exported: its memory of 1 / (1 - ema) batches should be short against the stage. With
    `fixed_statistics` batch normalisation stays as it is at inference: a rollout visits one time per call, and its batches
    would pull the statistics, which serve all times, about.
    """

    loss: str
    steps: int
    lr: float
    lr_end: float = 1e-5
    warmup: int = 300
    loss_args: dict = field(default_factory=dict)
    ema: float = 0.999
    fixed_statistics: bool = False
    distance: dict = field(default_factory=lambda: {"hybrid_spectral": 1.0})


@dataclass(frozen=True)
class TrainPart:
    batch_size: int = 16
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    precision: str = "bf16"
    seed: int = 0
    workers: int = 0
    validate_every: int = 500
    validation_items: int = 48


@dataclass(frozen=True)
class Recipe:
    name: str
    model: Spec
    data: DataPart
    stage: list[Stage]
    mix: Mix = field(default_factory=Mix)
    train: TrainPart = field(default_factory=TrainPart)


def load(name: str, overrides: list[str] = (), model: dict | None = None) -> Recipe:
    """A recipe by file path or by the name of a shipped one, with `section.key=value` overrides (TOML values).

    `model` has what the recipe's model section leaves open, as a student's is its teacher's.

    Raises UsageError naming the key, the closest known key, or the shipped recipes.
    """
    tables, where = _tables(name)
    for override in overrides:
        _override(tables, override)
    tables["model"] = (model or {}) | tables.get("model", {})
    return _build(Recipe, tables | {"name": Path(name).stem}, where)


def _tables(name: str) -> tuple[dict, str]:
    """The tables of a recipe, laid over those of its `base` where it names one."""
    text, where = _read(name)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: not valid TOML ({error})", "mend the line") from error
    base = tables.pop("base", None)
    return (_merged(_tables(base)[0], tables) if base else tables), where


def _merged(under: dict, over: dict) -> dict:
    """Tables merge key by key, anything else is replaced."""
    both = {k: _merged(under[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(under.get(k), dict)}
    return under | over | both


def shipped() -> list[str]:
    """Names of the recipes in the package; files that begin with _ are only there for others to be based on."""
    names = (p.name for p in _folder().iterdir() if not p.name.startswith("_"))
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _folder():
    return resources.files("enhance_cli.training").joinpath("recipes")


def _read(name: str) -> tuple[str, str]:
    inside = _folder().joinpath(f"{name}.toml")
    if inside.is_file():
        return inside.read_text(), f"recipe {name}"
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"{name}: no such recipe", f"name a .toml file or one of {', '.join(shipped())}")
    return path.read_text(), str(path)


def _override(tables: dict, override: str) -> None:
    key, equals, value = override.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not sections:
        raise UsageError(f"--set {override}: not of the form section.key=value", "e.g. --set train.batch_size=8")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table: Any = tables
    for section in sections:
        table = table[int(section)] if isinstance(table, list) else table.setdefault(section, {})
    table[last] = parsed


def _build(kind: type, table: dict, where: str):
    """A dataclass from a TOML table, checking names and types all the way down."""
    known = {f.name for f in fields(kind)}
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys are {', '.join(sorted(known))}"
            raise UsageError(f"{where}: unknown key {key!r}", hint)
    hints = get_type_hints(kind)
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = str(error).split("argument", 1)[-1].lstrip("s: ")
        raise UsageError(f"{where}: {missing} missing", "add it to the recipe") from error


def _convert(kind, value, where: str):
    origin = get_origin(kind)
    if origin is UnionType:  # X | None
        return None if value is None else _convert(get_args(kind)[0], value, where)
    if is_dataclass(kind) and isinstance(value, dict):
        return _build(kind, value, where)
    if origin is list and isinstance(value, list):
        return [_convert(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(value)
    if (origin or kind) is dict and isinstance(value, dict):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise UsageError(
        f"{where}: {json.dumps(value, default=str)} is not of type {getattr(kind, '__name__', kind)}", "mend the value"
    )
