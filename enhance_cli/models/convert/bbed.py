"""Read checkpoints of BBED score models, and of their second stage CRP, which runs a few steps from t = 0.5.

The layout is SGMSE+'s, and the published "theta" is the squared scale c. Settings of the reverse process in training
(its range of starts and of steps) mark a second-stage file. (Lay et al., 2023 and 2024.)
"""

from pathlib import Path

from torch import Tensor

from enhance_cli.models.convert import STEPS
from enhance_cli.models.convert.lightning import Checkpoint, ema_weights, open_checkpoint
from enhance_cli.models.convert.sgmse import ANNEALED, PREFIX, front_end, network
from enhance_cli.models.spec import Spec

SECOND_STAGE = ("t_rsp_min", "t_rsp_max", "N_min", "N_max")


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.ncsnpp, and the header. Raises ModelError."""
    checkpoint = open_checkpoint(source)
    weights = {key.removeprefix(PREFIX): tensor for key, tensor in ema_weights(checkpoint, PREFIX).items()}
    checkpoint.choice("sde", ("bbed",), "bbed")
    checkpoint.choice("output_scale", ("time",), "time")
    backbone = checkpoint.choice("backbone", ("ncsnpp",), "ncsnpp")
    return weights, Spec(
        **network(checkpoint, weights, backbone),
        **front_end(checkpoint, backbone),
        process="bbed",
        process_args={
            "k": checkpoint.number("k", 2.6),
            "c": checkpoint.number("theta", 0.52),
            "t_max": checkpoint.number("T_sampling", 0.999),
            "t_eps": checkpoint.number("t_eps", 0.03),
        },
        prediction={"kind": "score", "sign": -1.0},
        **_sampling(checkpoint),
    )


def _sampling(checkpoint: Checkpoint) -> dict:
    default, largest = STEPS["bbed"]
    if any(checkpoint.settings.get(name) is not None for name in SECOND_STAGE):
        reverse = {"corrector": "none", "start": checkpoint.number("t_rsp_max", 0.5)}
        return {
            "samplers": ("predictor_corrector",),
            "sampler_args": {"predictor_corrector": reverse},
            "default_steps": min(checkpoint.count("N_max", 1), largest),
            "max_steps": largest,
        }
    return {
        "samplers": ("predictor_corrector",),
        "sampler_args": {"predictor_corrector": ANNEALED},
        "default_steps": min(checkpoint.count("N", default), largest),
        "max_steps": largest,
    }
