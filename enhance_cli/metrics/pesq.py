"""Compute wide-band PESQ, the perceptual evaluation of speech quality (ITU-T P.862.2): 1.0 to 4.64 (identical).

The package `pesq` wraps the ITU's reference code. Narrow band (P.862) gives other numbers and is not offered, so that
figures can be compared.
"""

import numpy as np
import pesq

from enhance_cli.errors import AudioError

LONGEST_SECONDS = 20.0  # that are scored at once: the reference code has room for 50 utterances, and crashes at more


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the PESQ (MOS-LQO) of `estimate` (N,) against `reference` (N,), both at 16 kHz.

    A longer recording than 20 s is scored in pieces of equal length, and has their mean. Those without speech do not count.

    Raises AudioError at another rate, for an estimate that is silent or not finite, and where the reference code finds
    no speech or fewer than 0.25 s.
    """
    if rate != 16000:
        raise AudioError(f"wide-band PESQ is defined at 16 kHz, not {rate} Hz", "resample first")
    if not estimate.any() or not np.isfinite(estimate).all():  # the reference code divides by its power
        raise AudioError("PESQ is not defined", "the estimate is digital silence, or not finite")
    count = max(1, int(np.ceil(len(reference) / (LONGEST_SECONDS * rate))))
    scores, reason = [], ""
    for pieces in zip(np.array_split(reference, count), np.array_split(estimate, count)):
        try:
            scores.append(_score_of_piece(*pieces, rate))
        except pesq.NoUtterancesError:
            reason = "it finds no speech"
        except pesq.BufferTooShortError:
            reason = "it needs at least 0.25 s"
    if not scores:
        raise AudioError("PESQ is not defined", reason)
    return float(np.mean(scores))


def _score_of_piece(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the PESQ of at most 20 s. An estimate that is silent where the reference is not has the lowest score, 1."""
    if not reference.any():
        raise pesq.NoUtterancesError
    if estimate.any():
        return float(pesq.pesq(rate, reference, estimate, "wb"))
    pesq.pesq(rate, reference, reference, "wb")  # raises where there is no speech that is missing
    return 1.0
