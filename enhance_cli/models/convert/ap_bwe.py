"""Read checkpoints of AP-BWE: a dictionary with the weights under "generator", one network for each pair of rates.

The weights do not tell the rates. The name of the file does, as in g_16kto48k, or the config.json beside it.
"""

import json
import re
from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.bandwidth import extender_spec
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

MARK = "conv_pre_pha.weight"
WIDE_RATE = 48000
LEVEL = 0.05  # active level of speech in the training data, about


def is_ap_bwe(found: object) -> bool:
    return isinstance(found, dict) and isinstance(found.get("generator"), dict) and MARK in found["generator"]


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.ap_bwe, and the header. Raises ModelError."""
    found = read(source)
    if not is_ap_bwe(found):
        raise ModelError(f"{source}: no weights of AP-BWE (generator with {MARK})", "choose another --from, or none")
    state, (low, high) = found["generator"], rates(source)
    if high != WIDE_RATE:
        raise ModelError(f"{source}: makes {high} Hz of {low} Hz", "use one of the networks that make 48 kHz")
    channels, bins, _ = state["conv_pre_mag.weight"].shape
    args = {
        "channels": channels,
        "hidden": len(state["convnext_mag.0.pwconv1.weight"]) if "convnext_mag.0.pwconv1.weight" in state else 1536,
        "layers": len({key.split(".")[1] for key in state if key.startswith("convnext_mag.")}),
        "n_fft": 2 * (bins - 1),
        "low_rate": low,
    }
    return fitting(source, state, "ap_bwe", args), extender_spec(source, "ap_bwe", args, level=LEVEL)


def rates(source: Path) -> tuple[int, int]:
    """Return the low and the high rate in Hz. Raises ModelError if neither the name nor config.json has them."""
    if named := re.search(r"(\d+)kto(\d+)k", source.name):
        return 1000 * int(named[1]), 1000 * int(named[2])
    try:
        settings = json.loads((source.parent / "config.json").read_text(encoding="utf-8"))
        return int(settings["lr_sampling_rate"]), int(settings["hr_sampling_rate"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            f"{source}: nothing tells between which rates", "name it as published, such as g_16kto48k"
        ) from None
