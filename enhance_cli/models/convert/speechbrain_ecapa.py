"""Read SpeechBrain's ECAPA-TDNN speaker networks: embedding_model.ckpt, a plain dictionary of weights."""

from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.speakers import extractor_spec, fitting
from enhance_cli.models.spec import Spec

ID = "speechbrain-ecapa-voxceleb"
SIZES = {"dimension": ("fc.conv.weight", 192), "channels": ("blocks.0.conv.conv.weight", 1024)}
SIZES |= {"pooled": ("mfa.conv.conv.weight", 3072), "inner": ("asp.tdnn.conv.conv.weight", 128)}
"""Arguments of the network: the tensor whose first size tells them, and their published values."""


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.ecapa, and the header. Raises ModelError."""
    state = read(source)
    if not isinstance(state, dict):
        raise ModelError(f"{source}: not a plain dictionary of weights", "choose another --from")
    size = lambda name, usual: len(state[name]) if isinstance(state.get(name), Tensor) else usual
    args = {argument: size(*told) for argument, told in SIZES.items()}
    weights = fitting(source, state, "ecapa", args)
    return weights, extractor_spec(source, "ecapa", ID, args["dimension"], network_args=args)
