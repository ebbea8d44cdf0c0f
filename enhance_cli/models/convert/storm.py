"""Read checkpoints of StoRM: a predictive network, and a score network that refines its result by diffusion around it.

They are Lightning files with both networks, averaged together. Their input is not centered unless the settings say so.
(Lemercier et al., 2023, "StoRM: a diffusion-based stochastic regeneration model for speech enhancement and
dereverberation".)
"""

from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import STEPS, architecture
from enhance_cli.models.convert.lightning import Checkpoint, ema_weights, open_checkpoint
from enhance_cli.models.convert.sgmse import ANNEALED, DIFFUSION_SAMPLERS, front_end
from enhance_cli.models.spec import Spec

DENOISER, SCORE = "denoiser_net.", "score_net."
BACKBONES = {"ncsnpp": "storm ncsnpp", "ncsnpp12M": "storm ncsnpp12M", "ncsnpp6M": "storm ncsnpp6M"}
SCALE = 0.33  # of the spectrogram, this program's default
DEFAULT_STEPS = 50  # of its script, whatever the training was set to
CONDITIONS = ("noisy", "post_denoiser", "both")


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.storm, and the header. Raises ModelError."""
    checkpoint = open_checkpoint(source)
    for prefix, role in ((DENOISER, "predictive"), (SCORE, "score")):
        if not any(key.startswith(prefix) for key in checkpoint.state):
            raise ModelError(
                f"{source}: no {role} network in it ({prefix}...)", "only files with both can be converted"
            )
    weights = ema_weights(checkpoint, DENOISER, SCORE)
    condition = checkpoint.choice("condition", CONDITIONS, "both")
    score = {"input_channels": 6} if condition == "both" else {}
    checkpoint.choice("sde", ("ouve",), "ouve")
    return weights, Spec(
        name=source.stem,
        task="denoise",
        network="storm",
        network_args={
            "denoiser": _network(checkpoint, weights, DENOISER, "backbone_denoiser", {"discriminative": True}),
            "score": _network(checkpoint, weights, SCORE, "backbone_score", {"divide": "before"} | score),
            "condition": condition,
        },
        process="ouve",
        process_args={
            "theta": checkpoint.number("theta", 1.5),
            "sigma_min": checkpoint.number("sigma_min", 0.05),
            "sigma_max": checkpoint.number("sigma_max", 0.5),
            "t_eps": checkpoint.number("t_eps", 0.03),
        },
        **front_end(checkpoint, "ncsnpp", SCALE),
        max_steps=STEPS["ouve"][1],
        default_steps=DEFAULT_STEPS,
        samplers=DIFFUSION_SAMPLERS,
        sampler_args={"predictor_corrector": ANNEALED},
        prediction={"kind": "score", "sign": -1.0},
    )


def _network(checkpoint: Checkpoint, weights: dict[str, Tensor], prefix: str, setting: str, role: dict) -> dict:
    """Return the arguments of one of the two networks, checked against its weights."""
    backbone = checkpoint.choice(setting, BACKBONES, "ncsnpp")
    sizes = {k: v for k, v in architecture.VARIANTS[backbone].items() if k in architecture.SIZES}
    own = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}
    given = {k: checkpoint.settings[k] for k in architecture.SIZES if checkpoint.settings.get(k) is not None}
    args = sizes | given | role | {"centered": checkpoint.setting("centered", bool, False)}
    architecture.check(checkpoint.path, own, args, f"{prefix[:-1]} {backbone}")
    return args
