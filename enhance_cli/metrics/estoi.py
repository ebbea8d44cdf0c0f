"""Compute ESTOI, the extended short-time objective intelligibility (Jensen and Taal, 2016), 0 to 1.

The package `pystoi` drops silent frames of the reference and correlates third-octave spectrograms over 384 ms.
"""

import warnings

import numpy as np
from pystoi import stoi

from enhance_cli.errors import AudioError


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the ESTOI of `estimate` (N,) against `reference` (N,) at any rate (pystoi resamples to 10 kHz).

    Raises AudioError where the reference is digital silence or holds less than 0.4 s of speech.
    """
    if not reference.any():
        raise AudioError("ESTOI is not defined", "the reference is digital silence")
    too_short = AudioError("ESTOI is not defined", "it needs at least 0.4 s of speech")
    if len(reference) < 0.4 * rate:
        raise too_short
    with warnings.catch_warnings():
        # With too little speech pystoi warns and answers 1e-5, which would spoil a mean unseen.
        warnings.filterwarnings("error", message="Not enough STFT frames")
        try:
            return float(stoi(reference, estimate, rate, extended=True))
        except RuntimeWarning as error:
            raise too_short from error
