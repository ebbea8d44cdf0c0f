"""Read the GE2E weights of the package resemblyzer (pretrained.pt in its wheel, Apache-2.0): {"step", "model_state", ...}."""

from pathlib import Path

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.speakers import extractor_spec, fitting
from enhance_cli.models.spec import Spec

MIN_LEVEL = 10 ** (-30 / 20)  # RMS; quieter recordings are raised to it
WINDOW_SECONDS = 1.6  # the length that it was trained on


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.ge2e, and the header. Raises ModelError."""
    found = read(source)
    state = found.get("model_state") if isinstance(found, dict) else None
    if not isinstance(state, dict):
        raise ModelError(f"{source}: no weights of resemblyzer (no model_state)", "choose another --from")
    weights = fitting(source, state, "ge2e", {}, ignored=("similarity_",))
    return weights, extractor_spec(
        source, "ge2e", "ge2e-resemblyzer", 256, normalise="raise", level=MIN_LEVEL, window_seconds=WINDOW_SECONDS
    )
