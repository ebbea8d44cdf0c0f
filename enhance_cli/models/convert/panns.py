"""Read checkpoints of PANNs Cnn14 for sounds in segments ("decision level").

A plain torch file of the training program with weights under "model", named as in networks.cnn14, besides the STFT and
mel matrices of its front end, which are computed here. The network for whole clips has the same weights by name and
shape, so a file does not tell which it is. Only that for segments was trained to locate sounds in time. (Kong et al.,
2020.)
"""

from pathlib import Path

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS

FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")
MEL = "logmel_extractor.melW"
RATE = 32000
NETWORK = "cnn14_decision_level"


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.cnn14, and the header of a guide. Raises ModelError."""
    found = read(source)
    if not is_panns(found) or not all(isinstance(v, Tensor) for v in found["model"].values()):
        raise ModelError(f"{source}: not a PANNs checkpoint (no weights under 'model')", "choose another --from")
    state = found["model"]
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in NETWORKS[NETWORK]().state_dict().items()}
    weights = {key: value for key, value in state.items() if not key.startswith(FRONT_END)}
    for key in [*wanted, *weights]:
        if key not in weights or tuple(weights[key].shape) != wanted.get(key):
            seen = list(weights[key].shape) if key in weights else "missing"
            raise ModelError(
                f"{source}: not the weights of Cnn14 ({key} is {seen})", "smaller PANNs networks cannot be run here"
            )
    _check_mel(source, state)
    return weights, Spec(
        name=source.stem,
        task="guide",
        network=NETWORK,
        network_args={},
        process="",
        process_args={},
        frontend=None,
        sample_rate=RATE,
        max_steps=1,
        samplers=(),
    )


def is_panns(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("model"), dict) and "bn0.weight" in found["model"]


def _check_mel(source: Path, state: dict[str, Tensor]) -> None:
    """Check that the mel filters in the file, if any, are those of 32 kHz. Raises ModelError if not."""
    if MEL in state:
        own = NETWORKS[NETWORK](classes=1, width=1).filters
        if state[MEL].shape != own.shape or not torch.allclose(state[MEL].float(), own, atol=1e-4):
            raise ModelError(f"{source}: its mel filters are not those of 32 kHz", "use the checkpoint for 32 kHz")
