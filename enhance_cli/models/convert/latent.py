"""Find the sizes of the U-Nets, autoencoders and vocoders of latent diffusion models by their weights, for converters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

HEAD_CHANNELS = 32  # of the attention, which weights do not tell
NETWORK = "latent_extender"
PEAK = 0.5  # of a window, as the networks were trained
WINDOW_SECONDS = 5.12
State = Mapping[str, Tensor]


def part(state: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, by the rest of their names."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix) and isinstance(tensor, Tensor)
    }


def unet_args(state: State) -> dict[str, Any]:
    """Return the arguments of networks.latent_unet for its weights. Raises KeyError for weights of something else."""
    base = state["time_embed.0.weight"].shape[1]
    factors, blocks, resolutions = [], [], set()
    number = 1
    while True:
        here = f"input_blocks.{number}."
        if f"{here}0.op.weight" in state:
            factors.append(0)
            blocks.append(0)
        elif f"{here}0.in_layers.2.weight" in state:
            if not factors:
                factors, blocks = [0], [0]
            factors[-1] = len(state[f"{here}0.in_layers.2.weight"]) // base
            blocks[-1] += 1
            if f"{here}1.norm.weight" in state:
                resolutions.add(2 ** (len(factors) - 1))
        else:
            break
        number += 1
    return {
        "in_channels": state["input_blocks.0.0.weight"].shape[1],
        "out_channels": len(state["out.2.weight"]),
        "model_channels": base,
        "channel_mult": factors,
        "num_res_blocks": blocks[0] if blocks else 0,
        "attention_resolutions": sorted(resolutions, reverse=True),
        "head_channels": HEAD_CHANNELS,
        "extra_attention": "middle_block.2.norm.weight" in state,
    }


def autoencoder_args(state: State) -> dict[str, Any]:
    """Return the arguments of networks.autoencoder_kl for its weights. Raises KeyError for weights of something else."""
    base = len(state["encoder.conv_in.weight"])
    levels = sorted({int(name.split(".")[2]) for name in state if name.startswith("encoder.down.")})
    widths = [len(state[f"encoder.down.{level}.block.0.conv1.weight"]) for level in levels]
    return {
        "channels": base,
        "channel_mult": [width // base for width in widths],
        "num_res_blocks": len({name.split(".")[4] for name in state if name.startswith("encoder.down.0.block.")}),
        "z_channels": state["decoder.conv_in.weight"].shape[1],
        "embed_dim": state["post_quant_conv.weight"].shape[1],
    }


def vocoder_args(state: State, up: str) -> dict[str, Any]:
    """Return the arguments that both vocoders have. `up`: name of the weights of a stage, with its number as {}.

    Raises KeyError for weights of something else.
    """
    ups = [state[up.format(number)] for number in range(len(state)) if up.format(number) in state]
    blocks = {int(name.split(".")[1]) for name in state if name.startswith("resblocks.")}
    count = len(blocks) // len(ups) if ups else 0
    return {
        "mels": state["conv_pre.weight"].shape[1],
        "channels": len(state["conv_pre.weight"]),
        "rates": [weight.shape[2] // 2 for weight in ups],
        "block_kernels": [state[f"resblocks.{number}.convs1.0.weight"].shape[2] for number in range(count)],
    }


def latent_model(
    source: Path, parts: Mapping[str, State], args: dict[str, Any], **fields: Any
) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights of all `parts` ("unet", "autoencoder", "vocoder") and the header.

    `args`: of networks.latent_extender. `fields`: those of Spec that differ between models. Raises ModelError for weights
    that do not fit.
    """
    weights = {f"{name}.{key}": tensor for name, state in parts.items() for key, tensor in state.items()}
    spec = Spec(
        name=source.stem,
        task="extend-bandwidth",
        network=NETWORK,
        network_args=args,
        process="ddpm",
        frontend=None,
        sample_rate=48000,
        level=PEAK,
        normalise="window-peak",
        window_seconds=WINDOW_SECONDS,
        samplers=("ddim",),
        prediction={"kind": "v"},
        **fields,
    )
    return fitting(source, weights, NETWORK, args), spec
