"""Read checkpoints of FlashSR: student_ldm.pth, with vae.pth and sr_vocoder.pth beside it, each a plain dictionary of weights.

The vocoder inside vae.pth is not the one that runs, and is left out, as are filters and a layer that have no use. Weights that
are stored as a length and a direction become one tensor.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.latent import autoencoder_args, latent_model, part, unet_args, vocoder_args
from enhance_cli.models.spec import Spec
from enhance_cli.networks.bigvgan_sr import half_band_taps

STUDENT = "model."
MARK, VOCODER_MARK, AUTOENCODER_MARK = "model.time_embed.0.weight", "audio_block.emb.weight", "encoder.conv_in.weight"
FILES = {"autoencoder": "vae.pth", "vocoder": "sr_vocoder.pth"}
UNUSED = "audio_block.downsamples.4."
SCALE = 0.3342  # of the latents, as its program has it
PROCESS = {"beta_schedule": "cosine", "beta_max": 0.999}


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.latent_extender, and the header. Raises ModelError."""
    found = read(source)
    if not isinstance(found, dict) or MARK not in found:
        raise ModelError(
            f"{source}: not the weights of FlashSR's network ({MARK})",
            "name its student_ldm.pth, with the others beside it",
        )
    autoencoder, vocoder = (_beside(source, name) for name in FILES.values())
    parts = {
        "unet": part(found, STUDENT),
        "autoencoder": {key: tensor for key, tensor in autoencoder.items() if not key.startswith("vocoder.")},
        "vocoder": plain_weights(source.with_name(FILES["vocoder"]), vocoder),
    }
    try:
        args = {
            "unet": unet_args(parts["unet"]),
            "autoencoder": autoencoder_args(parts["autoencoder"]),
            "vocoder": {"network": "bigvgan_sr", **vocoder_args(parts["vocoder"], "ups.{}.0.weight")},
            "scale": SCALE,
        }
    except KeyError as error:
        raise ModelError(
            f"{source}: not the weights of FlashSR: {error} is missing", "choose another --from"
        ) from error
    return latent_model(
        source, parts, args, process_args=PROCESS, max_steps=1, sampler_args={"ddim": {"spacing": "trailing"}}
    )


def plain_weights(source: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the vocoder without its filters, each in one tensor. Raises ModelError for another filter."""
    plain = {}
    for name, tensor in state.items():
        if name.endswith(".filter"):
            if not torch.allclose(tensor.flatten(), half_band_taps().flatten(), atol=1e-5):
                raise ModelError(f"{source}: {name} is another filter than the published one", "it cannot be run here")
        elif name.endswith(".weight_v"):
            key = name.removesuffix("_v")
            plain[key] = torch._weight_norm(tensor.float(), state[f"{key}_g"].float(), 0)
        elif not name.endswith(".weight_g") and not name.startswith(UNUSED):
            plain[name] = tensor
    return plain


def _beside(source: Path, name: str) -> dict[str, Any]:
    """Return the weights in another file of the model. Raises ModelError if it is not there, or something else."""
    path = source.with_name(name)
    if not path.is_file():
        raise ModelError(f"{path}: missing, beside {source.name}", f"fetch it too: {', '.join(FILES.values())}")
    found = read(path)
    mark = VOCODER_MARK if name == FILES["vocoder"] else AUTOENCODER_MARK
    if not isinstance(found, dict) or mark not in found:
        raise ModelError(f"{path}: not the weights of FlashSR ({mark})", "fetch it again, or check where it comes from")
    return found
