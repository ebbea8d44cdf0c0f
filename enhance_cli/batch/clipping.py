"""Keep the peaks of a result within the range of its format, if no loudness is requested."""

from collections.abc import Iterable

from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import FLOATS, LOSSY
from enhance_cli.audio.levels.level import Meter
from enhance_cli.batch.decibels import decibels


def gain_without_clipping(before: Meter, after: Iterable[Meter], fmt: OutputFormat) -> tuple[float, list[str]]:
    """Return a gain for a file, and a note if it is not 1. Several parts share the gain, so that their sum stays right.

    Floats can hold any level. A lossy source may decode to slightly more than full scale, and can be encoded like that again.
    """
    clips = fmt.subtype not in FLOATS and (fmt.subtype not in LOSSY or before.peak <= 1.0)
    peak = max(meter.peak for meter in after)
    if not clips or peak <= 1.0:
        return 1.0, []
    gain = 0.999 / peak
    return gain, [f"level lowered by {-decibels(gain):.2f} dB, or peaks would be clipped"]
