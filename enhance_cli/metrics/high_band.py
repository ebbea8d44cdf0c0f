"""Extract the band above 8 kHz, which models at 16 kHz do not have: 8.2 to 16 kHz, or to half the sample rate if lower."""

import numpy as np

from enhance_cli.errors import AudioError

LOW, HIGH = 8200.0, 16000.0  # Hz
LOWEST_RATE = 20000  # Hz: below it the band would be less than two kHz wide
TAPS = 513
EMPTY = -70.0  # dB of the whole signal: dither of 16 bits and the skirts of resamplers lie below


def band_pass(audio: np.ndarray, rate: int, *, window: str = "hamming") -> np.ndarray:
    """Return the band of `audio` (N,) at `rate` Hz as (N + 512,), through a linear-phase filter of 513 taps.

    `window` shapes the taps. With the default one other bands are about 60 dB down.
    """
    from scipy.signal import firwin, oaconvolve  # a second, which recordings without such a band need not wait for

    edges = [LOW, HIGH] if rate / 2 > HIGH else [LOW]
    return oaconvolve(audio.astype(np.float64), firwin(TAPS, edges, pass_zero=False, window=window, fs=rate))


def has_high_band(reference: np.ndarray, rate: int) -> bool:
    """Return whether `reference` (N,) at `rate` Hz has sound in the band, and not only the residue of a resampler."""
    if rate < LOWEST_RATE or not reference.any():
        return False
    energy = np.square(reference, dtype=np.float64).sum()
    band = band_pass(reference, rate, window="blackmanharris")  # nothing of a loud voice below leaks through
    return bool(np.square(band).sum() > energy * 10 ** (EMPTY / 10))


def require_high_band(reference: np.ndarray, rate: int, metric: str) -> None:
    """Raise AudioError in the name of `metric` if `reference` (N,) at `rate` Hz has nothing in the band."""
    if not has_high_band(reference, rate):
        raise AudioError(f"{metric} is not defined", f"the reference, at {rate} Hz, has nothing above 8 kHz")
