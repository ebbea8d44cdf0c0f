"""Read checkpoints of BS-RoFormer: drums, bass, other and vocals of stereo music, or any stems with their settings beside them.

Plain dictionaries of weights, as Music-Source-Separation-Training writes them, and Lightning files of DiCoSe's
extractor for MUSDB18-HQ. All sizes follow from the shapes of the weights. Names of the stems, hop and windows come from
NAME.yaml beside NAME.ckpt (published_settings), and without one they are those of the published settings for four stems.
DiCoSe's files with a refiner of this type hold a network that is not here, and are refused.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import roformer_shapes as shapes
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.published_settings import REST, Settings, read_settings
from enhance_cli.models.convert.separator import separator_spec
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

STEMS = ("drums", "bass", "other", "vocals")
RATE, WINDOW, WINDOWS, HOP = 44100, 485100, 2, 441
LIGHTNING = "model.unet."
REFINED = ("pre_trained_mixture_feature_extractor_model.", "net.model.unet.")
SETTINGS = {"skip_connection": False, "stft_normalized": False}
"""Arguments of the network that the weights do not show."""


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.stem_pair and mapped into memory from the file, and the header.

    Raises ModelError.
    """
    found = read(source)
    lightning = isinstance(found, dict) and isinstance(found.get("state_dict"), dict)
    state = found["state_dict"] if lightning else found
    if not shapes.is_roformer(state):
        raise ModelError(f"{source}: no BS-RoFormer in it (...{shapes.MARK})", "choose another --from, or none")
    if any(str(key).startswith(REFINED) for key in state):
        raise ModelError(
            f"{source}: holds a refiner of a kind that this version cannot run",
            "use the file of DiCoSe's deterministic model",
        )
    settings = _settings(found, source, lightning)
    for name, value in SETTINGS.items():
        settings.require("model", name, value)
    state = {str(key).removeprefix(LIGHTNING if lightning else ""): tensor for key, tensor in state.items()}
    sizes = _sizes(source, state)
    sizes["hop"] = _hop(source, settings, sizes["n_fft"])
    sizes["zero_dc"] = settings.get("model", "zero_dc", lightning)
    stems = settings.stems_of(source, sizes["stems"], STEMS)
    sizes["rest"] = stems[-1] == REST
    window, overlap = (WINDOW, {}) if lightning else settings.overlap("audio", WINDOW, WINDOWS)
    state = shapes.without_frequencies(source, state, sizes["dim_head"])
    weights = {"extractor." + key: tensor for key, tensor in fitting(source, state, "bs_roformer", sizes).items()}
    return weights, separator_spec(
        source.stem,
        "bs_roformer",
        sizes,
        sample_rate=RATE,
        window_seconds=window / RATE,
        overlap=overlap,
        frames_multiple=sizes["hop"] if lightning else 1,
        stems=stems,
        channels=sizes["channels"],
        training={key: found[key] for key in ("epoch", "global_step") if lightning and isinstance(found.get(key), int)},
    )


def _sizes(source: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of networks.bs_roformer that follow from the shapes.

    Use `fitting` to check that they fit.
    """
    try:
        sizes: dict[str, Any] = shapes.attention_sizes(state, "layers.0.0.")
        sizes |= {"layers": shapes.count(state, "layers.0.0.layers."), "dim": shapes.rows(state, "final_norm.gamma")}
        bands = shapes.band_widths(state)
    except (KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{source}: not the weights of bs_roformer: {error} is missing or has no size", "choose another --from"
        ) from error
    channels = next((c for c in (1, 2) if _is_power_of_two(sum(bands) / c - 2)), 0)
    if not channels or any(width % (2 * channels) for width in bands):
        raise ModelError(
            f"{source}: its bands do not tile a spectrum, as in a Mel-band RoFormer", "choose --from mel-band-roformer"
        )
    return sizes | {
        "bands": [width // (2 * channels) for width in bands],
        "channels": channels,
        "n_fft": sum(bands) // channels - 2,
    }


def _is_power_of_two(number: float) -> bool:
    return number >= 2 and number == int(number) and not int(number) & (int(number) - 1)


def _settings(found: Any, source: Path, lightning: bool) -> Settings:
    """Return the settings in a Lightning file, or those beside a plain one."""
    if not lightning:
        return read_settings(source)
    given = found.get("hyper_parameters")
    return Settings(source, {"model": given if isinstance(given, dict) else {}})


def _hop(source: Path, settings: Settings, n_fft: int) -> int:
    hop = settings.get("model", "stft_hop_length", HOP)
    if not 0 < hop <= n_fft // 2:
        raise ModelError(f"{source}: a hop of {hop!r} for windows of {n_fft} samples", "it cannot be run here")
    return hop
