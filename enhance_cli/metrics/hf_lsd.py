"""Compute the log-spectral distance of the band above 8 kHz in dB, 0 for equal spectra. Lower is better, unlike elsewhere.

Frames of 2048 samples every 1024 with a Hann window. Magnitudes get 1e-4 added, for full scale 1. Frames count whose
energy in the reference is at most 40 dB below that of the loudest. Of each, the root mean square over the bins from 8.2
to 16 kHz of the difference in dB (20 log10), and of these the mean (Gray and Markel, 1976). The level matters.
"""

import numpy as np
from scipy.signal.windows import hann

from enhance_cli.metrics.high_band import HIGH, LOW, require_high_band

FRAME, HOP = 2048, 1024
FLOOR = 1e-4  # magnitude
QUIETEST = -40.0  # dB of the loudest frame's energy


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Return the distance in dB of `estimate` (N,) from `reference` (N,), both at the same rate of 20 kHz or more.

    Raises AudioError where the reference has nothing above 8 kHz.
    """
    require_high_band(reference, rate, "log-spectral distance above 8 kHz")
    truth, found = _magnitudes(reference), _magnitudes(estimate)
    energy = np.square(truth).sum(axis=1)
    loud = energy >= energy.max() * 10 ** (QUIETEST / 10)
    frequencies = np.fft.rfftfreq(FRAME, 1 / rate)
    band = (frequencies >= LOW) & (frequencies <= HIGH)
    difference = 20 * np.log10((found[:, band] + FLOOR) / (truth[:, band] + FLOOR))[loud]
    return float(np.sqrt(np.square(difference).mean(axis=1)).mean())


def _magnitudes(audio: np.ndarray) -> np.ndarray:
    """Return the magnitudes (T, 1025) of every whole frame of `audio` (N,).

    A shorter signal is padded with zeros to one frame.
    """
    padded = np.pad(audio.astype(np.float64), (0, max(FRAME - audio.size, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    return np.abs(np.fft.rfft(frames * hann(FRAME, sym=False)))
