"""Read Lightning checkpoints of the SGMSE family: settings, weights by name, and their moving average without names.

Only the moving average ("ema.shadow_params") is meant for inference. The state dict holds either the raw weights or, in
a file saved during validation, the average. It provides the names, in the order of the average.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.pickles import read

FREQUENCIES = "all_modules.0.W"  # random, never trained


@dataclass(frozen=True)
class Checkpoint:
    """Hold the contents of a checkpoint: `state` (weights), `settings`, `ema` (moving average), `progress` (epoch, step)."""

    path: Path
    state: dict[str, Tensor]
    settings: dict[str, Any]
    ema: list[Tensor]
    progress: dict[str, int]

    def setting(self, name: str, expected: type | tuple[type, ...], default: Any) -> Any:
        """Return a setting, or the default where it is absent or None. Raises ModelError for one of another type."""
        value = self.settings.get(name)
        if value is None:
            return default
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise ModelError(
                f"{self.path}: its setting {name} is {value!r}", "the file is not as its program writes it"
            )
        return value

    def number(self, name: str, default: float) -> float:
        """Return a setting as a float (see `setting`)."""
        return float(self.setting(name, (int, float), default))

    def count(self, name: str, default: int) -> int:
        """Return a setting as an integer (see `setting`)."""
        return int(self.setting(name, int, default))

    def choice(self, name: str, known: tuple | dict, default: Any = None) -> Any:
        """Return a setting that is one of `known`, or its value in `known` if that is a dict.

        Raises ModelError for any other.
        """
        value = self.settings.get(name)
        value = default if value is None else value
        if value not in tuple(known):
            among = ", ".join(map(str, known))
            raise ModelError(f"{self.path}: its {name} is {value!r}, which cannot be run here", f"known are {among}")
        return known[value] if isinstance(known, dict) else value


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises ModelError unless it is a Lightning checkpoint with a moving average."""
    found = read(path)
    if not isinstance(found, dict) or not _tensors(found.get("state_dict")):
        raise ModelError(f"{path}: not a Lightning checkpoint (no state_dict)", "choose another --from")
    ema, settings = found.get("ema"), found.get("hyper_parameters")
    if not isinstance(settings, dict):
        raise ModelError(f"{path}: no hyper_parameters in it", "without them the network of the weights is not known")
    shadow = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(shadow, list) or not all(isinstance(t, Tensor) for t in shadow):
        raise ModelError(f"{path}: no running mean of the weights in it (ema.shadow_params)", "use the original file")
    progress = {k: found[k] for k in ("epoch", "global_step") if isinstance(found.get(k), int)}
    return Checkpoint(path, found["state_dict"], settings, shadow, progress)


def ema_weights(checkpoint: Checkpoint, *prefixes: str) -> dict[str, Tensor]:
    """Return the moving average by name, for the keys with these prefixes, which they keep.

    Old versions of the averaging package left out parameters that are not trained, which then come from the state dict.
    Raises ModelError unless the number and all shapes agree.
    """
    path, state, shadow = checkpoint.path, checkpoint.state, checkpoint.ema
    keys = [key for key in state if key.startswith(prefixes)]
    if not keys:
        raise ModelError(
            f"{path}: no weights named {' or '.join(p + '...' for p in prefixes)}", "choose another --from"
        )
    trained = [key for key in keys if not key.endswith(FREQUENCIES)]
    others = len(state) - len(keys)  # losses with weights of their own may stand behind
    for averaged in (keys, trained):
        if len(averaged) <= len(shadow) <= len(averaged) + (others if averaged is keys else 0):
            named = dict(zip(averaged, shadow))
            for key, tensor in named.items():
                if tensor.shape != state[key].shape:
                    raise ModelError(
                        f"{path}: the running mean of {key} is {list(tensor.shape)}, not {list(state[key].shape)}",
                        "the file is damaged, or of a version that is not known",
                    )
            return {key: named.get(key, state[key]) for key in keys}
    raise ModelError(
        f"{path}: {len(shadow)} running means for {len(keys)} weights", "the file is damaged, or of an unknown version"
    )


def _tensors(state: Any) -> bool:
    return (
        isinstance(state, dict)
        and bool(state)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items())
    )
