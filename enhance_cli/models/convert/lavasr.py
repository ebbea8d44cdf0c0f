"""Read checkpoints of LavaSR v2: a plain dictionary of the weights of a Vocos vocoder, with its windows and mel filters."""

from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.bandwidth import extender_spec
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

MEL = "feature_extractor.mel_spec.mel_scale.fb"
WINDOWS = ("feature_extractor.mel_spec.spectrogram.window", "head.istft.window")
PREFIXES = ("backbone.", "head.")
LEVEL = 0.05  # active level of speech in the training data, about


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.lavasr, and the header. Raises ModelError."""
    state = read(source)
    if not isinstance(state, dict) or not isinstance(state.get(MEL), Tensor):
        raise ModelError(f"{source}: no weights of LavaSR ({MEL})", "choose another --from, or none")
    weights = {"mel": state[MEL]}
    for key, tensor in state.items():
        if key not in (MEL, *WINDOWS):
            weights[next((key.removeprefix(p) for p in PREFIXES if key.startswith(p)), key)] = tensor
    bins, mels = state[MEL].shape
    try:
        args = {
            "mels": mels,
            "channels": len(weights["embed.weight"]),
            "hidden": len(weights["convnext.0.pwconv1.weight"]),
            "layers": len({key.split(".")[1] for key in weights if key.startswith("convnext.")}),
            "n_fft": 2 * (bins - 1),
            "hop": (bins - 1) // 2,
        }
    except KeyError as error:
        raise ModelError(f"{source}: not the weights of lavasr: {error} is missing", "choose another --from") from error
    return fitting(source, weights, "lavasr", args), extender_spec(source, "lavasr", args, level=LEVEL)
