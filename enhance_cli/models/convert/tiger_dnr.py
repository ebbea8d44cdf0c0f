"""Read checkpoints of TIGER-DnR: dialogue, music and effects of films and podcasts.

Widths follow from the shapes of the weights. The number of blocks, which share one set of weights, hop and window are those
of the published settings.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.roformer_shapes import count, rows, weights_of
from enhance_cli.models.convert.separator import separator_spec
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec
from enhance_cli.networks.tiger_dnr import KEPT, band_widths

MARK = "dialog.separator.concat_block.0.weight"
RATE, N_FFT, HOP, BLOCKS, WINDOW_SECONDS = 44100, 2048, 512, 8, 12.0
OVERLAP = {"windows": 3, "fade": 0.0, "mirrored": False}


def is_tiger_dnr(state: Any) -> bool:
    return isinstance(state, dict) and MARK in state


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.stem_pair, and the header. Raises ModelError."""
    state = weights_of(read(source))
    if not is_tiger_dnr(state):
        raise ModelError(f"{source}: no TIGER-DnR in it ({MARK})", "choose another --from, or none")
    sizes = _sizes(source, state)
    weights = {"extractor." + key: tensor for key, tensor in fitting(source, state, "tiger_dnr", sizes).items()}
    return weights, separator_spec(
        source.stem,
        "tiger_dnr",
        sizes,
        sample_rate=RATE,
        window_seconds=WINDOW_SECONDS,
        overlap=OVERLAP,
        stems=tuple(KEPT),
    )


def _sizes(source: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of networks.tiger_dnr. Use `fitting` to check that they fit. Raises ModelError."""
    path = "dialog.separator.freq_path."
    try:
        channels = rows(state, "dialog.BN.0.1.weight")
        widths = [rows(state, f"dialog.BN.{n}.0.weight") // 2 for n in range(count(state, "dialog.BN."))]
        sizes = {
            "channels": channels,
            "hidden": rows(state, path + "0.proj_1x1.conv.weight"),
            "depth": count(state, path + "0.spp_dw."),
            "heads": count(state, path + "1.Queries."),
            "head_channels": rows(state, path + "1.Queries.0.conv.weight"),
            "sources": channels // state["dialog.mask.0.1.weight"].shape[1],
        }
    except (KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{source}: not the weights of tiger_dnr: {error} is missing or has no size", "choose another --from"
        ) from error
    if widths != band_widths(N_FFT, RATE):
        raise ModelError(
            f"{source}: its {len(widths)} bands are not those for windows of {N_FFT} samples at {RATE} Hz",
            "it cannot be run here",
        )
    return sizes | {"blocks": BLOCKS, "n_fft": N_FFT, "hop": HOP, "sample_rate": RATE}
