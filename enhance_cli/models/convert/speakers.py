"""Share the work of the converters of speaker networks: select the tensors of a network, make the header."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.extractor import TASK
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS

COUNTERS = ("num_batches_tracked",)
_HINT = "choose another --from, or none"


def extractor_spec(source: Path, network: str, extractor_id: str, dimension: int, **fields: Any) -> Spec:
    """Return the header of an extractor. `fields`: further fields of Spec."""
    return Spec(
        **{"name": source.stem, "task": TASK, "network": network, "process": "", "frontend": None, "samplers": ()}
        | {"extractor": {"id": extractor_id, "dimension": dimension}, "normalise": "none"}
        | fields
    )


def fitting(
    source: Path, state: dict[str, Any], network: str, args: dict, ignored: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Return the tensors of `state` that `network` has.

    Names that begin with one of `ignored`, or end in a counter of batches that the network lacks, are left out. Raises
    ModelError, naming the first difference.
    """
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in NETWORKS[network](**args).state_dict().items()}
    for name, shape in wanted.items():
        if not isinstance(state.get(name), Tensor):
            raise ModelError(f"{source}: not the weights of {network}: {name} {list(shape)} is missing", _HINT)
        if tuple(state[name].shape) != shape:
            raise ModelError(
                f"{source}: not the weights of {network}: {name} is {list(state[name].shape)}, not {list(shape)}",
                _HINT,
            )
    for name in state:
        if name not in wanted and not name.startswith(ignored or ("\0",)) and not name.endswith(COUNTERS):
            raise ModelError(f"{source}: not the weights of {network}: {name} is not part of it", _HINT)
    return {name: state[name] for name in wanted}
