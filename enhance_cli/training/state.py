"""Save and restore the state of a run: weights, moving average, optimizer and gradient scaler, in one atomic file.

The states of random generators need not be saved, since the draws of a step depend on its number (training.step).
"""

import json
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from enhance_cli.atomic import replace_file
from enhance_cli.errors import UsageError
from enhance_cli.models.load import LoadedModel

# Settings that may change when a run goes on: names, display, the weight of the finished model's estimate beside that of its
# first stage, and remedies for a run that diverged or ran out of memory.
CHANGEABLE = (
    "name", "settings", "model.refinement", "train.samples", "train.tensorboard", "train.validate_every", "train.workers",
    "train.batch_size", "train.accumulate",
)  # fmt: skip


class MovingAverage:
    """Keep an exponential moving average of all parameters and buffers, with a warm-up so that early steps count.

    It is stored in `averaged`, a copy of the network before training. With a `start_share` the weights that are averaged are
    interpolated between those before training and the trained ones, which keeps more of the first network's robustness to
    other recordings (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models").
    """

    def __init__(self, averaged: torch.nn.Module, start_share: float = 0.0):
        self.updates, self.start_share = 0, start_share
        self.values = averaged.state_dict()  # the copy's own memory
        self._start = {key: value.clone() for key, value in self.values.items()} if start_share else {}

    @torch.no_grad()
    def update(self, network: torch.nn.Module, decay: float) -> None:
        self.updates += 1
        decay = min(decay, (1 + self.updates) / (10 + self.updates))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                value = value.lerp(self._start[key], self.start_share) if self.start_share else value
                self.values[key].lerp_(value, 1 - decay)
            else:
                self.values[key].copy_(value)


@dataclass
class Progress:
    """Hold the progress of a run: steps done, stage, best validation value, seconds, losses since the last report."""

    step: int = 0
    stage: int = 0
    best: float = -float("inf")
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


class Trained(Protocol):
    """Provide the network's part of the state, as training.task.Task does."""

    @property
    def model(self) -> LoadedModel: ...
    @property
    def average(self) -> MovingAverage: ...
    @property
    def recipe(self) -> object: ...


class Optimizing(Protocol):
    """Provide the optimizer's part of the state, as training.step.TrainStep does."""

    @property
    def optimizer(self) -> torch.optim.Optimizer: ...
    @property
    def scaler(self) -> torch.amp.GradScaler: ...


def save(path: Path, progress: Progress, task: Trained, train_step: Optimizing) -> None:
    """Write the state of `task` and `train_step` to `path`."""
    state = {
        "progress": asdict(progress),
        "network": task.model.network.state_dict(),
        "average": task.average.values,
        "updates": task.average.updates,
        "optimiser": train_step.optimizer.state_dict(),
        "scaler": train_step.scaler.state_dict(),
        "recipe": _plain(task.recipe),
    }
    with replace_file(path) as file:
        torch.save(state, file)


def restore(path: Path, task: Trained, train_step: Optimizing) -> Progress:
    """Load the state saved in `path`. Raises UsageError for a file that is damaged or of another network."""
    hint = "name another folder with --run"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise UsageError(f"{path}: damaged, it cannot be read", f"delete it, or {hint}") from error
    if "recipe" in state:  # states of early versions have none
        _refuse_other_settings(path, _completed(state["recipe"], task.recipe), _plain(task.recipe))
    try:
        task.model.network.load_state_dict(state["network"])
        for key, value in state["average"].items():
            task.average.values[key].copy_(value)
        task.average.updates = state["updates"]
        train_step.optimizer.load_state_dict(state["optimiser"])
        if scaler := state.get("scaler"):  # empty unless in use. States of early versions have none
            train_step.scaler.load_state_dict(scaler)
        return Progress(**state["progress"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: not a state of this network", hint) from error


def _plain(value: Any) -> Any:
    """Return `value` as JSON represents it."""
    return json.loads(json.dumps(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value))


def _completed(before: dict, recipe: Any) -> dict:
    """Return the settings of an older version, with defaults for settings that came later."""
    for item in fields(recipe):
        now = getattr(recipe, item.name)
        if item.name not in before:
            default = item.default if item.default_factory is MISSING else item.default_factory()
            before[item.name] = None if default is MISSING else _plain(default)
        elif is_dataclass(now):
            _completed(before[item.name], now)
        elif isinstance(now, list) and now and is_dataclass(now[0]):
            for part in before[item.name]:
                _completed(part, now[0])
    return before


def _refuse_other_settings(path: Path, before: dict, now: dict) -> None:
    """Raise UsageError if a run would continue with other settings than it was begun with.

    The model's provenance would not be known then. The last stage may be longer, and others may follow.
    """
    then, flat = _flat(before), _flat(now)
    last = len(before["stage"]) - 1
    added = tuple(f"stage.{number}." for number in range(last + 1, len(now["stage"])))
    for key in sorted(then.keys() | flat.keys()):
        free = key.startswith(added + CHANGEABLE) or key.endswith((".lr", ".lr_end", f"stage.{last}.steps"))
        if then.get(key) != flat.get(key) and not free:
            message = f"{path}: this run was begun with {key} = {then.get(key)}, not {flat.get(key)}"
            raise UsageError(message, "use the same recipe and settings, or name another folder with --run")


def _flat(value: Any, key: str = "") -> dict:
    """Return nested settings by dotted key, as `--set` names them: {"a": [{"b": 1}]} gives {"a.0.b": 1}."""
    if not isinstance(value, dict | list):
        return {key: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for name, inner in items for k, v in _flat(inner, f"{key}.{name}" if key else str(name)).items()}
