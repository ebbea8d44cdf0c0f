"""Read WeSpeaker's ResNet34 speaker networks: avg_model.pt, a plain dictionary of weights with the training classes."""

from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.speakers import extractor_spec, fitting
from enhance_cli.models.spec import Spec

ID = "wespeaker-voxceleb-resnet34"


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.wespeaker_resnet34, and the header. Raises ModelError."""
    state = read(source)
    if not isinstance(state, dict) or not isinstance(state.get("seg_1.weight"), Tensor):
        raise ModelError(f"{source}: no weights of WeSpeaker's ResNet (no seg_1.weight)", "choose another --from")
    args = {"dimension": len(state["seg_1.weight"])}
    if isinstance(state.get("conv1.weight"), Tensor):
        args["channels"] = len(state["conv1.weight"])
    weights = fitting(source, state, "wespeaker_resnet34", args, ignored=("projection.",))
    return weights, extractor_spec(source, "wespeaker_resnet34", ID, args["dimension"], network_args=args)
