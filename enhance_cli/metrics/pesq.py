"""Compute wide-band PESQ, the perceptual evaluation of speech quality (ITU-T P.862.2): 1.0 to 4.64 (identical).

The package `pesq` wraps the ITU's reference code. Narrow band (P.862) gives other numbers and is not offered, so that
figures can be compared.
"""

import numpy as np
import pesq

from enhance_cli.errors import AudioError


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the PESQ (MOS-LQO) of `estimate` (N,) against `reference` (N,), both at 16 kHz.

    Raises AudioError at another rate, for an estimate that is silent or not finite, and where the reference code finds
    no speech or fewer than 0.25 s.
    """
    if rate != 16000:
        raise AudioError(f"wide-band PESQ is defined at 16 kHz, not {rate} Hz", "resample first")
    if not estimate.any() or not np.isfinite(estimate).all():  # the reference code divides by its power
        raise AudioError("PESQ is not defined", "the estimate is digital silence, or not finite")
    try:
        return float(pesq.pesq(rate, reference, estimate, "wb"))
    except pesq.NoUtterancesError as error:
        raise AudioError("PESQ is not defined", "it finds no speech") from error
    except pesq.BufferTooShortError as error:
        raise AudioError("PESQ is not defined", "it needs at least 0.25 s") from error
