"""Read checkpoints of BS-RoFormer that give drums, bass, other and vocals of stereo music at once.

Plain dictionaries of weights, as Music-Source-Separation-Training writes them, and Lightning files of DiCoSe's
extractor for MUSDB18-HQ. All sizes follow from the shapes of the weights. Names of the stems, their order, hop and
window are those of the published settings. DiCoSe's files with a refiner of this type hold a network that is not here,
and are refused.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

STEMS = ("drums", "bass", "other", "vocals")
RATE, WINDOW, HOP = 44100, 485100, 441
LIGHTNING = "model.unet."
REFINED = ("pre_trained_mixture_feature_extractor_model.", "net.model.unet.")
MARK = "band_split.to_features.0.0.gamma"
FREQUENCIES = ".rotary_embed.freqs"
SETTINGS = {"skip_connection": False, "stft_normalized": False}
"""What the weights do not show, as the network has it."""


def is_bs_roformer(state: dict) -> bool:
    return any(str(key).endswith(MARK) for key in state)


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.stem_pair and mapped into memory from the file, and the header.

    Raises ModelError.
    """
    found = read(source)
    lightning = isinstance(found, dict) and isinstance(found.get("state_dict"), dict)
    state = found["state_dict"] if lightning else found
    if not isinstance(state, dict) or not is_bs_roformer(state):
        raise ModelError(f"{source}: no BS-RoFormer in it (...{MARK})", "choose another --from, or none")
    if any(str(key).startswith(REFINED) for key in state):
        raise ModelError(
            f"{source}: holds a refiner of a kind that this version cannot run",
            "use the file of DiCoSe's deterministic model",
        )
    settings = found.get("hyper_parameters") if lightning else None
    settings = settings if isinstance(settings, dict) else {}
    for name, value in SETTINGS.items():
        if settings.get(name, value) not in (value, None):
            raise ModelError(
                f"{source}: its {name} is {settings[name]!r}, which cannot be run here", "use another file"
            )
    state = {str(key).removeprefix(LIGHTNING if lightning else ""): tensor for key, tensor in state.items()}
    sizes = _sizes(source, state)
    sizes["hop"] = _hop(source, settings, sizes["n_fft"])
    if lightning:
        sizes["zero_dc"] = bool(settings.get("zero_dc", True))
    state = _without_frequencies(source, state, sizes["dim_head"])
    weights = {"extractor." + key: tensor for key, tensor in fitting(source, state, "bs_roformer", sizes).items()}
    return weights, Spec(
        name=source.stem,
        task="extract-stem",
        network="stem_pair",
        network_args={"extractor": {"network": "bs_roformer", **sizes}},
        process="edm",
        frontend=None,
        sample_rate=RATE,
        normalise="none",
        window_seconds=WINDOW / RATE,
        frames_multiple=sizes["hop"],
        stems=STEMS,
        channels=sizes["channels"],
        complete=True,
        min_steps=0,
        max_steps=0,
        default_steps=0,
        samplers=("none",),
        training={key: found[key] for key in ("epoch", "global_step") if lightning and isinstance(found.get(key), int)},
    )


def _sizes(source: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of networks.bs_roformer that follow from the shapes.

    Use `fitting` to check that they fit.
    """

    def rows(name: str) -> int:
        return state[name].shape[0]

    def count(prefix: str) -> int:
        return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})

    try:
        attention, feed, mask = "layers.0.0.layers.0.0.", "layers.0.0.layers.0.1.", "mask_estimators.0.to_freqs.0.0."
        dim, heads = rows("final_norm.gamma"), rows(attention + "to_gates.weight")
        bands = [rows(f"band_split.to_features.{n}.0.gamma") for n in range(count("band_split.to_features."))]
        linear = sorted(key for key in state if key.startswith(mask) and key.endswith(".weight"))
        sizes = {
            "dim": dim,
            "depth": count("layers."),
            "heads": heads,
            "dim_head": rows(attention + "to_qkv.weight") // (3 * heads),
            "layers": count("layers.0.0.layers."),
            "feed_forward": rows(feed + "net.1.weight") // dim,
            "stems": count("mask_estimators."),
            "mask_depth": len(linear),
            "mask_expansion": rows(mask + "0.weight") // dim if len(linear) > 1 else 1,
        }
    except (KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{source}: not the weights of bs_roformer: {error} is missing or has no size", "choose another --from"
        ) from error
    channels = next((c for c in (1, 2) if _is_power_of_two(sum(bands) / c - 2)), 0)
    if not channels or any(width % (2 * channels) for width in bands):
        raise ModelError(
            f"{source}: its bands do not tile a spectrum, as in a Mel-band RoFormer", "that network cannot be run here"
        )
    if sizes["stems"] != len(STEMS):
        raise ModelError(
            f"{source}: masks for {sizes['stems']} stems, whose names are not in the file",
            f"known are files with {', '.join(STEMS)}",
        )
    return sizes | {
        "bands": [width // (2 * channels) for width in bands],
        "channels": channels,
        "n_fft": sum(bands) // channels - 2,
    }


def _is_power_of_two(number: float) -> bool:
    return number >= 2 and number == int(number) and not int(number) & (int(number) - 1)


def _hop(source: Path, settings: dict, n_fft: int) -> int:
    hop = settings.get("stft_hop_length") or HOP
    if not isinstance(hop, int) or not 0 < hop <= n_fft // 2:
        raise ModelError(f"{source}: a hop of {hop!r} for windows of {n_fft} samples", "it cannot be run here")
    return hop


def _without_frequencies(source: Path, state: dict[str, Any], dim: int) -> dict[str, Any]:
    """Return `state` without its rotary frequencies, after checking that they are those of the formula up to rounding."""
    usual = 10000 ** -(torch.arange(0, dim, 2) / dim)
    for key, tensor in state.items():
        if key.endswith(FREQUENCIES) and not _alike(tensor, usual):
            raise ModelError(f"{source}: {key} are not the usual frequencies", "it cannot be run here")
    return {key: tensor for key, tensor in state.items() if not key.endswith(FREQUENCIES)}


def _alike(tensor: Any, usual: Tensor) -> bool:
    fits = isinstance(tensor, Tensor) and tensor.shape == usual.shape
    return fits and torch.allclose(tensor.float(), usual, rtol=1e-2, atol=1e-6)
