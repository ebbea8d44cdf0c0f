"""Apply DeepFilterNet's estimates to a spectrogram: gains for bands, and complex filters over time for the low bins."""

import numpy as np

from enhance_cli.audio.spectra import erb

AHEAD, TAPS = 2, 5  # frames of look-ahead of the filters, and frames that they span


def apply(spectra: np.ndarray, gains: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Return the filtered spectra of T frames, (C, T, 481) complex64.

    Args:
        spectra: frames -2 to T + 1 around them, (C, T + 4, 481), zeros outside the signal.
        gains: of the T frames, (C, T, 32).
        taps: real and imaginary parts (C, T, 96, 5, 2), oldest frame first.
    """
    frames = gains.shape[1]
    result = spectra[:, AHEAD : AHEAD + frames] * erb.to_bins(gains)
    weights = np.ascontiguousarray(taps).view(np.complex64)[..., 0]
    low = spectra[..., : erb.FILTERED_BINS]
    result[..., : erb.FILTERED_BINS] = sum(weights[..., k] * low[:, k : k + frames] for k in range(TAPS))
    return result
