"""Share the work of the converters of RoFormers: find sizes in the shapes of the weights, check rotary frequencies."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError

MARK = "band_split.to_features.0.0.gamma"
FREQUENCIES = ".rotary_embed.freqs"
CONTAINERS = ("best_state", "state_dict", "state", "model_state_dict")  # the first that is there counts


def weights_of(found: Any) -> Any:
    """Return the weights by name from a file's content, which may hold them in a container."""
    inner = next((found[name] for name in CONTAINERS if isinstance(found, dict) and name in found), found)
    return inner if isinstance(inner, dict) else found


def is_roformer(state: Any) -> bool:
    return isinstance(state, dict) and any(str(key).endswith(MARK) for key in state)


def rows(state: dict[str, Any], name: str) -> int:
    return state[name].shape[0]


def count(state: dict[str, Any], prefix: str) -> int:
    """Return how many different members the names that begin with `prefix` have there."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})


def band_widths(state: dict[str, Any]) -> list[int]:
    """Return the numbers per frame of each band."""
    bands = range(count(state, "band_split.to_features."))
    return [rows(state, f"band_split.to_features.{n}.0.gamma") for n in bands]


def attention_sizes(state: dict[str, Any], block: str) -> dict[str, int]:
    """Return the sizes of a transformer of the block called `block`, and of the masks, as the networks call them.

    Raises KeyError, IndexError, AttributeError or ZeroDivisionError if they are not in the shapes.
    """
    mask = "mask_estimators.0.to_freqs.0.0."
    dim = state["band_split.to_features.0.1.weight"].shape[0]
    heads = rows(state, f"{block}layers.0.0.to_gates.weight")
    linear = sorted(key for key in state if key.startswith(mask) and key.endswith(".weight"))
    return {
        "dim": dim,
        "depth": count(state, "layers."),
        "heads": heads,
        "dim_head": rows(state, f"{block}layers.0.0.to_qkv.weight") // (3 * heads),
        "feed_forward": rows(state, f"{block}layers.0.1.net.1.weight") // dim,
        "stems": count(state, "mask_estimators."),
        "mask_depth": len(linear),
        "mask_expansion": rows(state, mask + "0.weight") // dim if len(linear) > 1 else 1,
    }


def without_frequencies(source: Path, state: dict[str, Any], dim: int) -> dict[str, Any]:
    """Return `state` without its rotary frequencies, after checking that they are those of the formula up to rounding."""
    usual = 10000 ** -(torch.arange(0, dim, 2) / dim)
    for key, tensor in state.items():
        if key.endswith(FREQUENCIES) and not _alike(tensor, usual):
            raise ModelError(f"{source}: {key} are not the usual frequencies", "it cannot be run here")
    return {key: tensor for key, tensor in state.items() if not key.endswith(FREQUENCIES)}


def _alike(tensor: Any, usual: Tensor) -> bool:
    fits = isinstance(tensor, Tensor) and tensor.shape == usual.shape
    return fits and torch.allclose(tensor.float(), usual, rtol=1e-2, atol=1e-6)
