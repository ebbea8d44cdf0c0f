"""Files in the layouts of AudioSR's and FlashSR's, with small networks and the weights of the formula."""

from pathlib import Path

import torch

from enhance_cli.networks.bigvgan_sr import half_band_taps
from enhance_cli.networks.latent_extender import LatentExtender
from enhance_cli.processes.ddpm import schedule
from tests.golden_numbers import weights

SIZES = {
    "unet": {
        "in_channels": 8,
        "out_channels": 4,
        "model_channels": 32,
        "channel_mult": [1, 2],
        "num_res_blocks": 1,
        "attention_resolutions": [2],
        "extra_attention": True,
        "head_channels": 32,
    },
    "autoencoder": {
        "channels": 32,
        "channel_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "z_channels": 4,
        "embed_dim": 4,
    },
}
BLOCKS = {"mels": 256, "channels": 32, "block_kernels": [3]}
HIFIGAN = BLOCKS | {"network": "hifigan", "rates": [6, 5, 4, 2, 2], "kernels": [12, 10, 8, 4, 4]}
BIGVGAN = BLOCKS | {"network": "bigvgan_sr", "rates": [10, 6, 2, 2, 2]}
PARTS = ("unet", "autoencoder", "vocoder")
FULL_SIZES = {"unet": {}, "autoencoder": {}}  # as published
FULL_HIFIGAN, FULL_BIGVGAN = {"network": "hifigan"}, {"network": "bigvgan_sr"}


def parts(vocoder: dict, salt: str = "", names: tuple[str, ...] = PARTS, **sizes: dict) -> dict[str, dict]:
    """Weights of parts by their published names."""
    with torch.device("meta"):
        network = LatentExtender(**SIZES | sizes, vocoder=vocoder, scale=0.5)
    made = {name: weights(getattr(network, name).state_dict(), salt) for name in names}
    made["autoencoder"]["decoder.conv_out.bias"] -= 5  # a spectrum about as loud as sound has
    return made


def audiosr_state(vocoder: dict = HIFIGAN, **sizes: dict) -> dict[str, torch.Tensor]:
    """All that is in AudioSR's file. The two autoencoders differ, so that a mistake shows."""
    made, condition = parts(vocoder, **sizes), parts(vocoder, "condition.", ("autoencoder",), **sizes)["autoencoder"]
    state = {
        "alphas_cumprod": (schedule(0.0, 1.0, 1000, "cosine")[0, 1:] ** 2).float(),
        "scale_factor": torch.tensor(0.5),
    }
    state |= {f"model.diffusion_model.{key}": tensor for key, tensor in made["unet"].items()}
    state |= {"model_ema.decay": torch.tensor(0.99), "model_ema.diffusion_modelout2bias": torch.full((4,), 9.0)}
    first = made["autoencoder"] | {f"vocoder.{key}": tensor for key, tensor in made["vocoder"].items()}
    state |= {f"first_stage_model.{key}": tensor for key, tensor in first.items()}
    state |= {f"cond_stage_models.0.vae.{key}": tensor for key, tensor in condition.items()}
    return state | {"clap.model.text_branch.embeddings.position_ids": torch.arange(8)[None]}


def save_audiosr(path: Path, vocoder: dict = HIFIGAN, **sizes: dict) -> Path:
    torch.save({"state_dict": audiosr_state(vocoder, **sizes)}, path)
    return path


def save_flashsr(folder: Path, vocoder_args: dict = BIGVGAN, **sizes: dict) -> Path:
    """Three files, of which the first is returned."""
    made = parts(vocoder_args, **sizes)
    vocoder = {"audio_block.downsamples.4.0.bias": torch.zeros(32), "activation_post.upsample.filter": half_band_taps()}
    for key, tensor in made["vocoder"].items():
        if key.endswith(".weight") and not key.startswith("audio_block."):
            vocoder[f"{key}_g"], vocoder[f"{key}_v"] = tensor.flatten(1).norm(dim=1)[:, None, None], 3 * tensor
        else:
            vocoder[key] = tensor
    torch.save(
        {f"model.{key}": tensor for key, tensor in made["unet"].items()} | {"betas": torch.zeros(8)},
        folder / "student_ldm.pth",
    )
    torch.save(made["autoencoder"] | {"vocoder.conv_pre.bias": torch.zeros(8)}, folder / "vae.pth")
    torch.save(vocoder, folder / "sr_vocoder.pth")
    return folder / "student_ldm.pth"
