"""Bring a result to a loudness by one gain, and by a limiter where peaks would be too high (--loudness, --limiter).

A limiter lowers the loudness too, and a lossy codec changes loudness and peaks. So gain and limiter are corrected until the
written file is right. Several parts share gain and limiter.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from enhance_cli.audio.info import LOSSY
from enhance_cli.audio.levels.level import Meter
from enhance_cli.batch.decibels import decibels, rounded
from enhance_cli.batch.result import Result

MARGIN_DB = 0.2  # by which peaks stay below the limit, since programs differ in measuring true peaks
PEAK_TOLERANCE = 1.005  # factor by which the peak of a lossy file may exceed that, 0.04 dB
LOUDNESS_TOLERANCE = 0.05  # LU by which a file of a lossy codec may miss the requested loudness
CLOSE_LU = 0.02  # largest error of the loudness before encoding
NOTED_LU = 0.1  # a larger error gets a note
MAX_PASSES = 6  # over the result
MAX_CORRECTIONS = 4  # of a lossy file


class LoudnessNormalization:
    """Bring a `result` to the loudness of its options, within their true peak, with peaks lowered as far as they allow.

    `before` has measured the input, whose loudness counts for several parts.
    """

    def __init__(self, before: Meter, result: Result):
        options = result.options
        assert options.loudness is not None
        self._result, self._options, self._aim = result, options, options.loudness
        levels = list(result.levels.values())
        self._measured = (levels[0] if len(levels) == 1 else before).loudness
        peak = max(meter.true_peak for meter in levels)
        self._ceiling = 10 ** ((options.true_peak - MARGIN_DB) / 20)
        self._least = peak / 10 ** (options.limiter / 20)  # threshold of the limiter, before the gain
        self._reached = self._measured

    def write(self, unfinished: Mapping[str, Path]) -> tuple[float, dict[str, float | None]]:
        """Write the parts in `unfinished`.

        Returns the gain, and the loudness in LUFS of each file, if they had to be read back.
        """
        if self._measured is None or not self._least:
            self._result.write(unfinished, 1.0)
            return 1.0, {}
        gain = self._find_gain(self._measured)
        self._result.write(unfinished, gain)
        return self._correct(unfinished, gain) if self._result.format.subtype in LOSSY else (gain, {})

    def _limit(self, gain: float, headroom: float = 1.0) -> float:
        """Limit so that peaks stay a factor `headroom` below the limit after `gain`. Returns the gain that is possible."""
        threshold = max(self._ceiling / (gain * headroom), self._least)
        if self._options.limiter:
            self._result.limit(threshold)
        return min(gain, self._ceiling / (threshold * headroom))

    def _find_gain(self, measured: float) -> float:
        """Return the gain for a result of the loudness `measured`, by the secant method."""
        names, limiter = self._result.names, self._options.limiter
        unlimited = self._result.loudness_of_sum(names) if limiter else None
        wanted, slope, last = self._aim - measured, 1.0, None
        for _ in range(MAX_PASSES):
            gain = self._limit(10 ** (wanted / 20))
            limited = self._result.loudness_of_sum(names) if limiter else None
            lost = unlimited - limited if unlimited is not None and limited is not None else 0.0
            reached = self._reached = measured - lost + decibels(gain)
            at_most = decibels(gain) < wanted - 1e-9
            if abs(self._aim - reached) < CLOSE_LU or (at_most and reached < self._aim):
                break
            if last is not None and wanted != last[0]:
                slope = min(max((reached - last[1]) / (wanted - last[0]), 0.1), 1.0)
            last = wanted, reached
            wanted += (self._aim - reached) / slope
        return gain

    def _correct(self, unfinished: Mapping[str, Path], gain: float) -> tuple[float, dict[str, float | None]]:
        """Correct gain and limiter by the loudness and the highest peak that a lossy codec leaves."""
        result, names, headroom = self._result, tuple(unfinished), 1.0
        known = result.loudness_of_sum(names)
        found, each, peak = result.levels_of_written(unfinished)
        if known is None or found is None:
            return gain, each
        aim = known + decibels(gain)
        for _ in range(MAX_CORRECTIONS):
            over = peak / self._ceiling
            if abs(found - aim) <= LOUDNESS_TOLERANCE and over <= PEAK_TOLERANCE:
                break
            last = gain, headroom
            headroom *= over if over > PEAK_TOLERANCE else 1.0
            wanted = gain * 10 ** ((aim - found) / 20)
            gain = self._limit(wanted, headroom)
            if self._options.limiter:
                limited = result.loudness_of_sum(names) or known
                gain = self._limit(wanted * 10 ** ((known - limited) / 20), headroom)
                known = limited
            if (gain, headroom) == last:  # peaks may be lowered no further
                break
            result.write(unfinished, gain)
            found, each, peak = result.levels_of_written(unfinished)
            found = aim if found is None else found
        self._reached = (self._reached or 0.0) + found - aim
        return gain, each

    def fields(self) -> dict[str, Any]:
        """Return the fields of a record about the limiter."""
        if not self._options.limiter:
            return {}
        limiter = self._result.limiter
        most, share = (limiter.most, limiter.share) if limiter else (0.0, 0.0)
        return {"limited_by": rounded(most), "limited_share": round(share, 6)}

    def notes(self) -> list[str]:
        """Return notes on a loudness that could not be reached, and on peaks that were lowered."""
        if self._reached is None:
            return ["level left as it is: loudness is not defined for silence or less than 0.4 s"]
        notes, limiter, options = [], self._result.limiter, self._options
        if self._reached < self._aim - NOTED_LU:
            below = f"so that peaks stay below {options.true_peak:g} dBTP"
            how = f"lowered by at most {options.limiter:g} dB" if options.limiter else "unless --limiter lowers them"
            notes.append(f"loudness limited to {self._reached:.2f} LUFS, {below}, {how}")
        if limiter and limiter.share:
            notes.append(f"peaks lowered by up to {limiter.most:.1f} dB, in {100 * limiter.share:.2g} % of the time")
        return notes
