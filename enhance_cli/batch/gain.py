"""Choose the gain for a whole file once its result is complete, with a note if it is not the expected one."""

import math

from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.info import FLOATS, LOSSY
from enhance_cli.audio.levels.level import Meter
from enhance_cli.batch.decibels import decibels


def choose_gain(
    before: Meter, after: list[Meter], fmt: OutputFormat, loudness: float | None, true_peak: float
) -> tuple[float, list[str]]:
    """Return (factor, notes).

    Several parts share the same gain, so that their sum stays right. In that case `loudness` (LUFS) is that of the mix.
    `true_peak` (dBTP) limits the gain towards `loudness`.
    """
    if loudness is not None:
        return _to_loudness(after[0] if len(after) == 1 else before, after, loudness, true_peak)
    # Floats can hold any level. A lossy source may decode to slightly more than full scale, and can be encoded like that again.
    clips = fmt.subtype not in FLOATS and (fmt.subtype not in LOSSY or before.peak <= 1.0)
    peak = max(meter.peak for meter in after)
    if clips and peak > 1.0:
        gain = 0.999 / peak
        return gain, [f"level lowered by {-decibels(gain):.2f} dB, or peaks would be clipped"]
    return 1.0, []


def _to_loudness(measured: Meter, after: list[Meter], loudness: float, true_peak: float) -> tuple[float, list[str]]:
    if measured.loudness is None:
        return 1.0, ["level left as it is: loudness is not defined for silence or less than 0.4 s"]
    wanted = 10 ** ((loudness - measured.loudness) / 20)
    peak = max(meter.true_peak for meter in after)
    limit = 10 ** (true_peak / 20) / peak if peak else math.inf
    if wanted <= limit:
        return wanted, []
    reached = measured.loudness + decibels(limit)
    return limit, [
        f"loudness limited to {reached:.2f} LUFS, so that peaks stay below {true_peak:g} dBTP, unless --limiter lowers them"
    ]
