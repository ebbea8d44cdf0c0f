"""Read checkpoints of DiCoSe: a deterministic extractor, alone or with its diffusion or consistency refiner.

The files are Lightning files of the public training program. Only the student and the extractor are taken from a
consistency file with its four networks, and one copy from a diffusion file that holds its network twice. (Karchkhadze
et al., 2024, "Improving source extraction with diffusion and consistency models".)
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

STEMS = ("bass", "drums", "guitar", "piano")
RATE, WINDOW = 22050, 262144
EXTRACTOR = "pre_trained_mixture_feature_extractor_model.model.unet."
STUDENT, ALONE = "net.model.unet.", "model.unet."
NAMES = {
    "in_channels": "in_channels",
    "channels": "channels",
    "patch_factor": "patch_factor",
    "multipliers": "multipliers",
    "factors": "factors",
    "num_blocks": "num_blocks",
    "attentions": "attentions",
    "attention_heads": "attention_heads",
    "attention_features": "attention_features",
    "attention_multiplier": "attention_multiplier",
    "resnet_groups": "resnet_groups",
    "context_features": "labels",
}
"""Sizes of UNet1d: as the settings call them, and as networks.unet1d does. Others are as published."""


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.stem_pair and mapped into memory from the file, and the header.

    Raises ModelError.
    """
    found = read(source)
    state = found.get("state_dict") if isinstance(found, dict) else None
    if not isinstance(state, dict) or not any(str(key).startswith((STUDENT, ALONE)) for key in state):
        raise ModelError(f"{source}: no network of DiCoSe in it ({ALONE}...)", "choose another --from, or none")
    fed = any(key.startswith(EXTRACTOR) for key in state)
    refiner = (STUDENT if any(key.startswith(STUDENT) for key in state) else ALONE) if fed else None
    settings = found.get("hyper_parameters")
    sizes = {ours: value for theirs, ours in NAMES.items() if (value := _setting(settings, theirs)) is not None}
    args = {"extractor": {"network": "unet1d", **sizes}}
    weights = _part(source, state, EXTRACTOR if fed else ALONE, sizes, "extractor.")
    if refiner:
        args["refiner"] = {"network": "unet1d", **sizes, "time": True}
        weights |= _part(source, state, refiner, sizes | {"time": True}, "refiner.")
    return weights, Spec(
        name=source.stem,
        task="extract-stem",
        network="stem_pair",
        network_args=args,
        process="edm",
        process_args={"sigma_min": 1e-4, "sigma_max": 10.0, "rho": 9.0},
        frontend=None,
        sample_rate=RATE,
        normalise="none",
        window_seconds=WINDOW / RATE,
        frames_multiple=_stride(sizes),
        stems=STEMS,
        complete=True,
        min_steps=0,
        **_sampling(refiner, float(_setting(settings, "diffusion_sigma_data", "sigma_data") or 0.2)),
        training={key: found[key] for key in ("epoch", "global_step") if isinstance(found.get(key), int)},
    )


def _part(source: Path, state: dict, prefix: str, sizes: dict, ours: str) -> dict[str, Tensor]:
    own = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
    return {ours + key: tensor for key, tensor in fitting(source, own, "unet1d", sizes).items()}


def _sampling(refiner: str | None, sigma_data: float) -> dict:
    """Return the header's sampling fields as published. The diffusion sampler calls the network twice a step."""
    scaled = {"kind": "data", "input_scaling": "edm_in", "sigma_data": sigma_data, "time": "ln/4"}
    if refiner is None:
        return {"max_steps": 0, "default_steps": 0, "samplers": ("none",)}
    if refiner == ALONE:
        return {
            "max_steps": 100,
            "default_steps": 2,
            "samplers": ("edm_stochastic", "heun"),
            "sampler_args": {"edm_stochastic": {"churn": 20.0, "rounds": 2, "limit": 1.0}, "heun": {"limit": 1.0}},
            "start_sigma": {"1": 0.01},
            "prediction": scaled | {"skip": "edm_skip", "out": "edm_out"},
        }
    return {
        "max_steps": 18,
        "default_steps": 1,
        "samplers": ("consistency",),
        "sampler_args": {"consistency": {"limit": 1.0}},
        "start_sigma": {"1": 0.01244, "2": 0.2497},
        "prediction": scaled | {"skip": "consistency_skip", "out": "consistency_out", "sigma_min": 1e-4},
    }


def _setting(settings: Any, *names: str) -> Any:
    """Return the first of the settings called `names`, at any depth, or None."""
    if not isinstance(settings, dict):
        return None
    for name in names:
        if settings.get(name) is not None:
            return settings[name]
    return next((v for inner in settings.values() if (v := _setting(inner, *names)) is not None), None)


def _stride(sizes: dict) -> int:
    stride = sizes.get("patch_factor", 16)
    for factor in sizes.get("factors", (4, 4, 4, 2, 2, 2)):
        stride *= factor
    return stride
