"""Read the .model files of SEED's authors, plain dictionaries of weights: the repair network and two speaker networks.

The tensors tell which of them a file holds. The repair was trained on embeddings as they came and is run on vectors of
length sqrt(D), as its authors run it. Speaker networks of the program from which they took theirs, whose names begin
with "__S__.", are read too. The feature matrices that torchaudio left in the files are computed here instead.
"""

from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import STEPS
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.speakers import extractor_spec, fitting
from enhance_cli.models.spec import Spec

IDS = {256: "ecapa-seed", 512: "resnetse34v2-seed"}
"""By dimension, the speaker network that the authors trained a repair for."""
TIME = 50
LIMIT = 3.0  # times sqrt(D): where the authors' sampler clips


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.{rdm_mlp, ecapa_seed, resnet_se34}, and the header.

    Raises ModelError.
    """
    state = read(source)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{source}: not a plain dictionary of weights", "choose another --from")
    clova = any(str(name).startswith("__S__.") for name in state)
    state = {str(name).removeprefix("__S__."): tensor for name, tensor in state.items()}
    if "time_embed.0.weight" in state:
        return _repair(source, state)
    if "layer1.convs.0.weight" in state:
        args = {"dimension": _size(source, state, "fc6.weight")}
        weights = fitting(source, state, "ecapa_seed", args, ignored=("torchmfcc.", "bn6.", "__"))
        spec = extractor_spec(source, "ecapa_seed", IDS[256], args["dimension"], network_args=args)
        return weights, spec
    dimension = _size(source, state, "fc.weight")
    options = {"dimension": dimension, "floor": 1e-5 if clova else 1e-4}
    weights = fitting(source, state, "resnet_se34", options, ignored=("torchfb.", "instancenorm.", "__"))
    return weights, extractor_spec(source, "resnet_se34", IDS[512], dimension, network_args=options)


def _repair(source: Path, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], Spec]:
    dimension = _size(source, state, "out.2.weight")
    args = {
        "dimension": dimension,
        "width": _size(source, state, "input_proj.weight"),
        "time_width": _size(source, state, "time_embed.0.weight"),
        "blocks": len({name.split(".")[1] for name in state if name.startswith("res_blocks.")}),
    }
    weights = fitting(source, state, "rdm_mlp", args)
    default_steps, max_steps = STEPS["ddpm"]
    return weights, Spec(
        name=source.stem,
        task="enhance-embedding",
        network="rdm_mlp",
        network_args=args,
        process="ddpm",
        frontend=None,
        samplers=("ddim",),
        sampler_args={"ddim": {"limit": LIMIT * dimension**0.5}},
        default_steps=default_steps,
        max_steps=max_steps,
        default_time=TIME,
        normalise="unit-rms",
        extractor={"id": IDS.get(dimension, "unknown"), "dimension": dimension},
    )


def _size(source: Path, state: dict[str, Tensor], name: str) -> int:
    """Return the number of rows of the matrix `name`. Raises ModelError if there is none of that name."""
    if name not in state or state[name].dim() != 2:
        raise ModelError(f"{source}: none of SEED's networks ({name} is missing)", "choose another --from")
    return state[name].shape[0]
