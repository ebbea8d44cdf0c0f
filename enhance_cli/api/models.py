"""Load a model by its name, for any task."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from enhance_cli.models.demucs_model import DemucsModel
    from enhance_cli.models.load import Model
    from enhance_cli.models.stems import StemModel


@overload
def load_model(
    name: str | None, task: Literal["extract-stem"], device: str = "auto", precision: str = "auto"
) -> StemModel | DemucsModel: ...
@overload
def load_model(
    name: str | None = None,
    task: Literal["denoise", "extend-bandwidth", "inpaint"] = "denoise",
    device: str = "auto",
    precision: str = "auto",
) -> Model: ...
@overload
def load_model(
    name: str | None = None, task: str = "denoise", device: str = "auto", precision: str = "auto"
) -> Model | StemModel | DemucsModel: ...
def load_model(
    name: str | None = None, task: str = "denoise", device: str = "auto", precision: str = "auto"
) -> Model | StemModel | DemucsModel:
    """Load the model called `name` (None: the default for the task) or the .safetensors file at that path.

    Raises ModelError if it is unknown, missing or damaged, UsageError for a device or precision that does not exist.
    """
    from enhance_cli.models import registry

    entry = registry.find(name, task)  # a mistyped name is refused before torch is imported, which takes seconds
    from enhance_cli.models import device as devices
    from enhance_cli.models import load, stems

    chosen = devices.pick_device(device)
    precision = devices.pick_precision(precision, chosen)
    if task == stems.TASK:
        return stems.load_stems(entry, chosen, precision)
    return load.load_file(entry.path, chosen, precision, entry.sha256)


def ready_model(load: Callable[..., Any], model: Any, task: str, *arguments: Any) -> Any:
    """Return `model` itself if it is loaded, else the one called so, or the default for `task`.

    It is loaded by `load(entry, *arguments)` of tasks.loading. The models used last stay in memory, so that calling a
    function for each of many recordings loads its model once.
    """
    return _by_name(load, model, task, *arguments) if model is None or isinstance(model, str) else model


@lru_cache(maxsize=10)
def _by_name(load: Callable[..., Any], name: str | None, task: str, *arguments: Any) -> Any:
    from enhance_cli.models import registry

    return load(registry.find(name, task), *arguments)
