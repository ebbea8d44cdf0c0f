"""Read SpeechBrain's SGMSE+ for VoiceBank: a plain dictionary of averaged weights with any shared prefix.

The file has no settings. They are those of the published recipe: the v2 network with its output divided by t, OUVE with
the usual constants, the 16 kHz front end.
"""

import os
from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import STEPS, architecture
from enhance_cli.models.convert.lightning import Checkpoint
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.sgmse import ANNEALED, DIFFUSION_SAMPLERS, front_end
from enhance_cli.models.spec import Spec

SIZES = ("ncsnpp_v2", "ncsnpp_v2_37M", "ncsnpp_v2_16M", "ncsnpp_v2_5M")


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.ncsnpp, and the header. Raises ModelError."""
    found = read(source)
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise ModelError(f"{source}: not a plain dictionary of weights", "choose another --from")
    weights = without_prefix(found)
    backbone = architecture.find(source, weights, SIZES)
    default_steps, max_steps = STEPS["ouve"]
    return weights, Spec(
        name=source.stem,
        task="denoise",
        network="ncsnpp",
        network_args=architecture.VARIANTS[backbone],
        process="ouve",
        process_args={"theta": 1.5, "sigma_min": 0.05, "sigma_max": 0.5, "t_eps": 0.03},
        **front_end(Checkpoint(source, {}, {}, [], {}), backbone),
        max_steps=max_steps,
        default_steps=default_steps,
        samplers=DIFFUSION_SAMPLERS,
        sampler_args={"predictor_corrector": ANNEALED},
        prediction={"kind": "score", "output_scaling": "1/t"},
    )


def without_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `weights` without the prefix that all names share up to a dot.

    "score_model.dnn.output_layer.bias" becomes "output_layer.bias".
    """
    common = os.path.commonprefix(list(weights))
    prefix = common[: common.rfind(".") + 1]
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
