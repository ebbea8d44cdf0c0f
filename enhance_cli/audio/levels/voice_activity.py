"""Estimate the probability of a voice in every frame of a noisy recording, without a trained network.

Every frame has three features. The first is how far its bands rise above their noise floor (their minimum within a second
on either side), averaged over the third of the bands that rise most. The second is the same for its surroundings. The third
is how periodic the signal is at pitches of voices, within a quarter of a second on either side. The probability is a
logistic function of these, whose weights tests/benchmarks/fit_voice_activity.py has fitted on mixtures of speech and noise.
Nothing farther away than CONTEXT_SECONDS matters, so an excerpt with that much context gives the values of the whole file.

This serves `denoise --guide vad`. For `enhance-embedding --vad`, pauses are found by audio.levels.energy_gate.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

CONTEXT_SECONDS = 1.25
FRAME_SECONDS = 0.064
BLUR, AROUND, SYLLABLE, FLOOR = 0.016, 0.08, 0.25, 1.0  # seconds to either side
BANDS, LOWEST, HIGHEST = 20, 100.0, 7600.0  # Hz
PITCH, PITCHED = (70.0, 400.0), (60.0, 2000.0)  # Hz: of voices, and where it is looked for
QUIET = 1e-8  # power that counts as silence, 60 dB below active speech of 0.1 RMS

WEIGHTS = (1.12, 1.02, 3.61)
BIAS = -4.21


def voice_probability(wave: Tensor, rate: int, hop: int) -> Tensor:
    """Return the probability of a voice around every multiple of `hop`, (B, N // hop + 1), for waves (B, N)."""
    return torch.sigmoid(features(wave, rate, hop) @ torch.tensor(WEIGHTS, device=wave.device) + BIAS)


def features(wave: Tensor, rate: int, hop: int) -> Tensor:
    """Return (B, T, 3) of (B, N): rise above the floor in powers of ten, the same around, and periodicity from 0 to 1."""
    blur, around, syllable, floor = (round(seconds * rate / hop) for seconds in (BLUR, AROUND, SYLLABLE, FLOOR))
    n = 2 * round(FRAME_SECONDS * rate / 2)
    window = torch.hann_window(n, device=wave.device)
    spectrum = torch.stft(wave, n, hop, window=window, pad_mode="constant", return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2) / (n * window.square().sum())
    energy = mean((power @ band_matrix(n, rate).to(power) + QUIET).log10(), blur)
    rise = (energy + highest(-mean(energy, around), floor)).topk(BANDS // 3, dim=2).values.mean(dim=2, keepdim=True)
    voiced = highest(mean(periodicity(power, window, rate), 2 * blur), syllable)
    return torch.cat([rise, mean(rise, around), voiced], dim=2)


def periodicity(power: Tensor, window: Tensor, rate: int) -> Tensor:
    """Return the highest normalized autocorrelation at the pitch of a voice, (B, T, 1), of power spectra (B, T, bins)."""
    n = len(window)
    hz = torch.fft.rfftfreq(n, 1 / rate, device=power.device)
    correlation = torch.fft.irfft(power * ((hz > PITCHED[0]) & (hz < PITCHED[1])))
    own = torch.fft.irfft(torch.fft.rfft(window, 2 * n).abs().square())  # the loss by the window alone
    lags = slice(int(rate / PITCH[1]), int(rate / PITCH[0]) + 1)
    best = (correlation[..., lags] * (own[0] / own[lags])).amax(dim=2, keepdim=True)
    return (best / (correlation[..., :1] + QUIET / n)).clamp(0, 1)


@lru_cache(maxsize=4)
def band_matrix(n: int, rate: int) -> Tensor:
    """Return (n / 2 + 1, BANDS): means over bands evenly spaced on a mel scale."""
    lowest, highest = (torch.tensor([LOWEST, HIGHEST]) / 700).log1p().tolist()
    mel = torch.linspace(lowest, highest, BANDS + 1)
    edges, hz = 700 * mel.expm1(), torch.linspace(0, rate / 2, n // 2 + 1)[:, None]
    inside = ((hz >= edges[:-1]) & (hz < edges[1:])).float()
    return inside / inside.sum(dim=0)


def mean(x: Tensor, reach: int) -> Tensor:
    """Return the moving average of x (B, T, K) over `reach` frames on either side, fewer at the ends."""
    return F.avg_pool1d(x.transpose(1, 2), 2 * reach + 1, 1, reach, count_include_pad=False).transpose(1, 2)


def highest(x: Tensor, reach: int) -> Tensor:
    """Return the largest value of x (B, T, K) within `reach` frames."""
    return F.max_pool1d(x.transpose(1, 2), 2 * reach + 1, 1, reach).transpose(1, 2)
