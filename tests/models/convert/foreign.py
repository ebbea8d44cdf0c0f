"""Checkpoints as other programs write them, with small networks: settings, raw weights, running means, a foreign class."""

import sys
import types
from contextlib import contextmanager

import torch

from enhance_cli.networks import NETWORKS
from tests import golden_numbers as golden

TINY = {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [0]}


def named(salt: str, prefix: str = "", **args) -> dict[str, torch.Tensor]:
    """Weights of an NCSN++ by the golden formula, with a prefix."""
    state = NETWORKS["ncsnpp"](**args).state_dict()
    return {prefix + key: value for key, value in golden.weights(state, salt).items()}


@contextmanager
def foreign_class(name: str):
    """A class that exists only in here, so that a file can name it: "sgmse.data_module.SpecsDataModule"."""
    module, _, attribute = name.rpartition(".")
    kind = type(attribute, (), {"__module__": module})
    parts = module.split(".")
    added = [".".join(parts[: i + 1]) for i in range(len(parts)) if ".".join(parts[: i + 1]) not in sys.modules]
    for part in added:
        sys.modules[part] = types.ModuleType(part)
    setattr(sys.modules[module], attribute, kind)
    try:
        yield kind
    finally:
        for part in added:
            del sys.modules[part]


def lightning(path, raw, ema, settings=None, module="sgmse.data_module.SpecsDataModule", save=None, **more):
    """A Lightning checkpoint; `raw` by name, `ema` a list or by name."""
    with foreign_class(module) as kind:
        shadow = list(ema.values()) if isinstance(ema, dict) else ema
        content = {
            "epoch": 7,
            "global_step": 99,
            "state_dict": raw,
            "hyper_parameters": {"data_module_cls": kind, **(settings or {})},
            "ema": {"decay": 0.999, "num_updates": 5, "shadow_params": shadow, "collected_params": None},
        }
        torch.save(content | more, path, **(save or {}))
    return path


SMALL_ROFORMER = {
    "dim": 8, "depth": 1, "heads": 2, "dim_head": 8, "bands": (25, 100, 200, 300, 400), "stems": 4, "feed_forward": 2,
    "mask_expansion": 1,
}  # fmt: skip


SMALL_MEL_ROFORMER = {"dim": 8, "depth": 1, "heads": 2, "dim_head": 8, "bands": 12, "mask_expansion": 1}


def bs_roformer(prefix: str = "") -> dict[str, torch.Tensor]:
    """Weights of a small stereo BS-RoFormer by the golden formula, with the rotary frequencies in every attention."""
    state = with_frequencies(golden.weights(NETWORKS["bs_roformer"](**SMALL_ROFORMER).state_dict()))
    return {prefix + name: tensor for name, tensor in state.items()}


def mel_band_roformer(**sizes) -> dict[str, torch.Tensor]:
    """Weights of a small stereo Mel-Band RoFormer, likewise."""
    network = NETWORKS["mel_band_roformer"](**SMALL_MEL_ROFORMER | sizes)
    return with_frequencies(golden.weights(network.state_dict()))


SMALL_TIGER = {"channels": 12, "hidden": 8, "depth": 2, "head_channels": 2, "blocks": 8}


def tiger_dnr() -> dict[str, torch.Tensor]:
    """Weights of a narrow TIGER-DnR, likewise."""
    return golden.weights(NETWORKS["tiger_dnr"](**SMALL_TIGER).state_dict())


SMALL_SCNET = {
    "dims": (4, 8, 12, 16), "shares": (0.175, 0.392, 0.433), "strides": (1, 4, 16), "kernels": (3, 4, 16),
    "conv_depths": (2, 1, 1), "pairs": 2,
}  # fmt: skip


def scnet(**sizes) -> dict[str, torch.Tensor]:
    """Weights of a narrow SCNet, likewise."""
    return golden.weights(NETWORKS["scnet"](**SMALL_SCNET | sizes).state_dict())


def with_frequencies(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    frequencies = 1.0 / 10000 ** (torch.arange(0, 8, 2).float() / 8)
    gates = [name for name in state if name.endswith("to_gates.bias")]
    return state | {name.replace("to_gates.bias", "rotary_embed.freqs"): frequencies for name in gates}
