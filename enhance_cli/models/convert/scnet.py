"""Read checkpoints of SCNet: drums, bass, other and vocals of stereo music, or any stems with their settings beside them.

Files of Music-Source-Separation-Training and of the authors' own program. Most sizes follow from the shapes of the weights.
The shares of the bands, the normalization of the input and the windows come from NAME.yaml beside NAME.ckpt
(published_settings), and without one they are those published for the sizes.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.published_settings import Settings, read_settings
from enhance_cli.models.convert.roformer_shapes import count, rows, weights_of
from enhance_cli.models.convert.separator import separator_spec
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

STEMS = ("drums", "bass", "other", "vocals")
MARK = "encoder.0.SDlayer.convs.0.weight"
RATE, N_FFT, HOP, CHANNELS, WINDOW, WINDOWS = 44100, 4096, 1024, 2, 485100, 4
PUBLISHED = {  # (last width, LSTM pairs): shares of the bands, whether the file is standardized
    (128, 6): ([0.175, 0.392, 0.433], True),  # small
    (256, 6): ([0.225, 0.372, 0.403], True),  # large, by the authors
    (256, 8): ([0.230, 0.370, 0.400], False),  # XL and XL IHF
}


def is_scnet(state: Any) -> bool:
    return isinstance(state, dict) and any(str(key).removeprefix("module.") == MARK for key in state)


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.stem_pair, and the header. Raises ModelError."""
    state, settings = weights_of(read(source)), read_settings(source)
    if not is_scnet(state):
        raise ModelError(f"{source}: no SCNet in it ({MARK})", "choose another --from, or none")
    state = {str(key).removeprefix("module."): tensor for key, tensor in state.items()}
    for name, only in {"nfft": N_FFT, "win_size": N_FFT, "hop_size": HOP, "normalized": True}.items():
        settings.require("model", name, only)
    sizes = _sizes(source, state)
    sizes["shares"], standardized = _published(source, settings, (sizes["dims"][-1], sizes["pairs"]))
    stems = tuple(settings.stems()) or STEMS
    if len(stems) != sizes["stems"]:
        where = settings.path or source
        raise ModelError(
            f"{where}: names for {len(stems)} stems of {sizes['stems']}",
            f"put its settings beside it as {source.stem}.yaml",
        )
    window, overlap = settings.overlap("audio", WINDOW, WINDOWS)
    weights = {"extractor." + key: tensor for key, tensor in fitting(source, state, "scnet", sizes).items()}
    return weights, separator_spec(
        source.stem,
        "scnet",
        sizes,
        sample_rate=RATE,
        normalise="deviation" if standardized else "none",
        window_seconds=window / RATE,
        overlap=overlap,
        stems=stems,
        channels=CHANNELS,
    )


def _published(source: Path, settings: Settings, size: tuple[int, int]) -> tuple[list[float], bool]:
    """Return the shares of the bands and whether the file is standardized. Raises ModelError if they are unknown."""
    shares = settings.get("model", "band_SR", [])
    if shares:
        return [float(share) for share in shares], settings.get("inference", "normalize", False)
    if size not in PUBLISHED:
        raise ModelError(
            f"{source}: an SCNet of none of the published sizes", f"put its settings beside it as {source.stem}.yaml"
        )
    return PUBLISHED[size]


def _sizes(source: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of networks.scnet that follow from the shapes.

    Use `fitting` to check that they fit. Raises ModelError.
    """
    try:
        levels, first = count(state, "encoder."), "encoder.0.conv_modules."
        convs = [
            state[f"encoder.0.SDlayer.convs.{n}.weight"].shape for n in range(count(state, "encoder.0.SDlayer.convs."))
        ]
        kernels = [shape[2] for shape in convs]
        lstm, width = state["separation_net.dp_modules.0.lstm_layers.0.weight_hh_l0"], convs[0][0]
        dims = [convs[0][1], *(rows(state, f"encoder.{n}.SDlayer.convs.0.weight") for n in range(levels))]
        return {
            "stems": state[f"decoder.{levels - 1}.1.convtrs.0.weight"].shape[1] // (2 * CHANNELS),
            "channels": CHANNELS,
            "dims": dims,
            "strides": [1 if kernel == 3 else kernel for kernel in kernels],
            "kernels": kernels,
            "conv_depths": [count(state, f"{first}{n}.layers.") for n in range(len(kernels))],
            "compress": width // rows(state, f"{first}0.layers.0.3.weight"),
            "conv_kernel": state[f"{first}0.layers.0.1.weight"].shape[2],
            "pairs": count(state, "separation_net.dp_modules."),
            "expand": lstm.shape[1] // dims[-1],
            "n_fft": N_FFT,
            "hop": HOP,
        }
    except (KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{source}: not the weights of scnet: {error} is missing or has no size", "choose another --from"
        ) from error
