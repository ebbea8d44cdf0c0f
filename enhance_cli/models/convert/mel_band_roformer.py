"""Read checkpoints of Mel-Band RoFormer: vocals of stereo music as published, or any stems with their settings beside them.

Plain dictionaries of weights, as Music-Source-Separation-Training writes them. Most sizes follow from the shapes of the
weights. Hop, window, names of the stems and options without weights come from NAME.yaml beside NAME.ckpt
(published_settings), and without one they are those of the model for vocals by Kimberley Jensen.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import roformer_shapes as shapes
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.published_settings import REST, read_settings
from enhance_cli.models.convert.separator import separator_spec
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec
from enhance_cli.networks.mel_band_roformer import mel_bands

RATE, N_FFT, WINDOW, HOP, WINDOWS = 44100, 2048, 352800, 441, 2
MEL_MARK, BS_MARK = "layers.0.0.norm.gamma", "final_norm.gamma"


def is_mel_band_roformer(state: Any) -> bool:
    return shapes.is_roformer(state) and MEL_MARK in state and BS_MARK not in state


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.stem_pair and mapped into memory from the file, and the header.

    Raises ModelError.
    """
    state, settings = shapes.weights_of(read(source)), read_settings(source)
    if not is_mel_band_roformer(state):
        raise ModelError(
            f"{source}: no Mel-Band RoFormer in it ({MEL_MARK} without {BS_MARK})", "choose another --from, or none"
        )
    sizes = _sizes(source, state)
    for name, only in {"sample_rate": RATE, "stft_n_fft": N_FFT, "stft_win_length": N_FFT}.items():
        settings.require("model", name, only)
    settings.require("model", "stft_normalized", False)
    settings.require("model", "use_pope", False)
    sizes["hop"] = settings.get("model", "stft_hop_length", HOP)
    for option in ("skip_connection", "zero_dc"):
        sizes[option] = settings.get("model", option, False)
    stems = settings.stems_of(source, sizes["stems"], ["vocals"])
    sizes["rest"] = stems[-1] == REST
    state = shapes.without_frequencies(source, state, sizes["dim_head"])
    fitted = fitting(source, state, "mel_band_roformer", sizes)
    window, overlap = settings.overlap("audio", WINDOW, WINDOWS)
    return {"extractor." + key: tensor for key, tensor in fitted.items()}, separator_spec(
        source.stem,
        "mel_band_roformer",
        sizes,
        sample_rate=RATE,
        window_seconds=window / RATE,
        overlap=overlap,
        stems=stems,
        channels=sizes["channels"],
    )


def _sizes(source: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of networks.mel_band_roformer that follow from the shapes.

    Use `fitting` to check that they fit. Raises ModelError.
    """
    try:
        linear = "layers.0.0.layers.0.0.temperature" in state
        along_time, along_bands = f"layers.0.{int(linear)}.", f"layers.0.{1 + linear}."
        sizes: dict[str, Any] = shapes.attention_sizes(state, along_time)
        sizes["time_layers"] = shapes.count(state, along_time + "layers.")
        sizes["band_layers"] = shapes.count(state, along_bands + "layers.")
        sizes["linear_layers"] = shapes.count(state, "layers.0.0.layers.") if linear else 0
        widths = shapes.band_widths(state)
    except (KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{source}: not the weights of mel_band_roformer: {error} is missing or has no size",
            "choose another --from",
        ) from error
    try:
        bins = [count for _, count in mel_bands(len(widths), N_FFT, RATE)]
    except ValueError as error:
        raise ModelError(f"{source}: {error}", "it cannot be run here") from error
    channels = next((c for c in (1, 2) if widths == [2 * c * count for count in bins]), 0)
    if not channels:
        raise ModelError(
            f"{source}: its bands are not {len(widths)} of the mel scale for windows of {N_FFT} samples at {RATE} Hz",
            "it cannot be run here",
        )
    return sizes | {"bands": len(widths), "channels": channels}
