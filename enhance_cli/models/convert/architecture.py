"""Find the NCSN++ variant of a set of weights by comparing the shapes of tensors."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.networks import NETWORKS

_FULL_48K = {"attn_resolutions": [], "progressive": "none", "progressive_input": "none", "image_size": 768}
_MEDIUM = {"ch_mult": [1, 2, 2, 2], "num_res_blocks": 1, "attn_resolutions": [0]}

VARIANTS: dict[str, dict] = {
    "ncsnpp": {"divide": "before"},
    "ncsnpp_48k": _FULL_48K | {"divide": "after"},
    "ncsnpp_v2": {},
    "ncsnpp_v2_37M": {"nf": 96},
    "ncsnpp_v2_16M": {"nf": 64, "ch_mult": [1, 1, 2, 2, 2, 2, 2], "attn_resolutions": [0]},
    "ncsnpp_v2_5M": _MEDIUM | {"nf": 96, "ch_mult": [1, 1, 1, 1]},
    "storm ncsnpp": _MEDIUM | {"divide": "before"},
    "storm ncsnpp, two conditions": _MEDIUM | {"divide": "before", "input_channels": 6},
    "storm ncsnpp, predictive": _MEDIUM | {"discriminative": True},
    "storm ncsnpp12M": _MEDIUM | {"nf": 96, "ch_mult": [1, 2, 2, 1], "divide": "before"},
    "storm ncsnpp6M": _MEDIUM | {"nf": 96, "ch_mult": [1, 1, 1, 1], "divide": "before"},
}
SIZES = ("nf", "ch_mult", "num_res_blocks", "attn_resolutions", "image_size", "fourier_scale")
"""Arguments that a checkpoint's own settings may override."""


def check(path: Path, weights: dict[str, Tensor], args: dict, name: str) -> None:
    """Check that the weights fit a network with `args`.

    Raises ModelError, with the first differing key and the closest known variant, if they do not.
    """
    try:
        wanted = _shapes(_frozen(args))
    except Exception as error:  # a checkpoint's settings can ask for anything
        raise ModelError(f"{path}: its settings describe no NCSN++ ({error})", "it cannot be converted") from error
    difference = _first_difference(weights, wanted)
    if difference is None:
        return
    known = {variant: _shapes(_frozen(known)) for variant, known in VARIANTS.items()}
    alike = {
        variant: sum(tuple(weights[k].shape) == s for k, s in of.items() if k in weights)
        for variant, of in known.items()
    }
    best = max(known, key=lambda variant: alike[variant] / max(len(known[variant]), len(weights)))
    same = "all" if alike[best] == len(known[best]) == len(weights) else f"{alike[best]} of {len(known[best])}"
    raise ModelError(
        f"{path}: not the weights of {name}: {difference}",
        f"the closest known variant is {best} ({same} tensors alike)"
        if alike[best]
        else "no known variant has any of its tensors; it is another network",
    )


def find(path: Path, weights: dict[str, Tensor], among: tuple[str, ...]) -> str:
    """Return the first variant of `among` that the weights fit.

    Raises ModelError as `check` does, compared with the first variant, if none fits.
    """
    for name in among:
        if _first_difference(weights, _shapes(_frozen(VARIANTS[name]))) is None:
            return name
    check(path, weights, VARIANTS[among[0]], among[0])
    raise AssertionError("unreachable: the weights fit and do not fit")


def _first_difference(weights: dict[str, Tensor], wanted: dict[str, tuple]) -> str | None:
    for key, shape in wanted.items():
        if key not in weights:
            return f"{key} {list(shape)} is missing"
        if tuple(weights[key].shape) != shape:
            return f"{key} is {list(weights[key].shape)}, not {list(shape)}"
    unknown = next((key for key in weights if key not in wanted), None)
    return unknown and f"{unknown} {list(weights[unknown].shape)} is not part of it"


def _frozen(args: dict) -> tuple:
    return tuple((k, tuple(v) if isinstance(v, (list, tuple)) else v) for k, v in sorted(args.items()))


@lru_cache(maxsize=16)
def _shapes(args: tuple) -> dict[str, tuple]:
    """Return the shape of every tensor of the network by name, without allocating one."""
    with torch.device("meta"):
        network = NETWORKS["ncsnpp"](**dict(args))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
