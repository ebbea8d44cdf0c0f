"""Read checkpoints of AudioSR: weights of all its parts under "state_dict", or by the same names in a safetensors file.

Of 6.2 GB the 2.7 are read that its program runs: the U-Net as trained (not its moving average), the encoder of the condition,
the decoder, the vocoder and the scale of the latents. The rest of the mapped file is not touched.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.latent import autoencoder_args, latent_model, part, unet_args, vocoder_args
from enhance_cli.models.spec import Spec
from enhance_cli.processes.ddpm import schedule

UNET, FIRST, CONDITION = "model.diffusion_model.", "first_stage_model.", "cond_stage_models.0.vae."
MARKS = (f"{UNET}out.2.bias", f"{CONDITION}encoder.conv_in.weight")
SCHEDULE, LARGEST_BETA = "cosine", 1.0
STEPS, MOST_STEPS, GUIDANCE = 50, 1000, 3.5


def weights_of(found: Any) -> dict[str, Any]:
    """Return the weights by name, of either kind of file, or nothing."""
    state = found.get("state_dict", found) if isinstance(found, dict) else {}
    return state if isinstance(state, dict) else {}


def is_audiosr(found: Any) -> bool:
    return all(mark in weights_of(found) for mark in MARKS)


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.latent_extender, and the header. Raises ModelError."""
    found = read(source)
    if not is_audiosr(found):
        raise ModelError(f"{source}: no weights of AudioSR ({MARKS[0]})", "choose another --from, or none")
    state = weights_of(found)
    parts = {
        "unet": part(state, UNET),
        "autoencoder": {
            **{f"encoder.{key}": tensor for key, tensor in part(state, f"{CONDITION}encoder.").items()},
            **{f"quant_conv.{key}": tensor for key, tensor in part(state, f"{CONDITION}quant_conv.").items()},
            **{f"decoder.{key}": tensor for key, tensor in part(state, f"{FIRST}decoder.").items()},
            **{f"post_quant_conv.{key}": tensor for key, tensor in part(state, f"{FIRST}post_quant_conv.").items()},
        },
        "vocoder": part(state, f"{FIRST}vocoder."),
    }
    try:
        args = {
            "unet": unet_args(parts["unet"]),
            "autoencoder": autoencoder_args(parts["autoencoder"]),
            "vocoder": _vocoder(parts["vocoder"]),
            "scale": float(state["scale_factor"]),
            "keeps_bands": True,
        }
        _check_schedule(source, state["alphas_cumprod"])
    except KeyError as error:
        raise ModelError(
            f"{source}: not the weights of AudioSR: {error} is missing", "choose another --from"
        ) from error
    settings = {"ddim": {"eta": 1.0, "spacing": "trailing"}}
    return latent_model(
        source,
        parts,
        args,
        process_args={"beta_schedule": SCHEDULE, "beta_max": LARGEST_BETA},
        default_steps=STEPS,
        max_steps=MOST_STEPS,
        sampler_args=settings,
        guidance=GUIDANCE,
    )


def _vocoder(state: dict[str, Tensor]) -> dict[str, Any]:
    found = vocoder_args(state, "ups.{}.weight")
    return {"network": "hifigan", **found, "kernels": [2 * rate for rate in found["rates"]]}


def _check_schedule(source: Path, stored: Tensor) -> None:
    """Raise ModelError for another schedule of the noise than the one that models are run with here."""
    ours = schedule(0.0, LARGEST_BETA, len(stored), SCHEDULE)[0, 1:] ** 2
    if not torch.allclose(stored.double(), ours, atol=1e-4):
        raise ModelError(f"{source}: it was trained with another schedule of the noise", "it cannot be run here")
