"""Run DeepFilterNet over whole recordings with gradients, to train it.

The samples are those of models.deep_filter_stream, which runs it over streams without gradients.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from enhance_cli.audio.spectra import erb
from enhance_cli.audio.spectra.deep_filter import AHEAD, TAPS
from enhance_cli.networks.deepfilternet import DeepFilterNet


def clean(network: DeepFilterNet, noisy: Tensor) -> Tensor:
    """Return the estimate (B, N) of noisy waveforms (B, N) at 48 kHz, with gradients for the network's weights."""
    samples = noisy.shape[1]
    frames = -(-samples // erb.HOP) + 1
    padded = np.pad(noisy.cpu().numpy(), ((0, 0), (erb.HOP, (frames + AHEAD) * erb.HOP - samples)))
    new = erb.analyze(padded)
    features = erb.Features(len(padded)).push(new)
    gains, taps, _, _ = network(*(torch.from_numpy(feature).to(noisy.device) for feature in features))
    around = torch.from_numpy(np.pad(new, ((0, 0), (AHEAD, 0), (0, 0)))).to(noisy.device)
    spectra = apply(around, gains[:, AHEAD:], taps[:, AHEAD:])
    return synthesize(spectra)[:, erb.HOP :][:, :samples]


def apply(spectra: Tensor, gains: Tensor, taps: Tensor) -> Tensor:
    """Return the filtered spectra (B, T, 481) of audio.spectra.deep_filter.apply, which explains the arguments."""
    frames, low = gains.shape[1], erb.FILTERED_BINS
    weights = torch.view_as_complex(taps.contiguous())
    of_bins = gains.repeat_interleave(torch.from_numpy(erb.band_widths()).to(gains.device), dim=2)
    high = spectra[:, AHEAD : AHEAD + frames, low:] * of_bins[..., low:]
    first, *others = (weights[..., k] * spectra[:, k : k + frames, :low] for k in range(TAPS))
    filtered = sum(others, first)
    return torch.cat([filtered, high], dim=2)


def synthesize(spectra: Tensor) -> Tensor:
    """Return the waveforms (B, 480 T) of spectra (B, T, 481), from the first sample of the first frame on."""
    window = torch.from_numpy(erb.window()).to(spectra.device)
    frames = torch.fft.irfft(spectra, erb.FRAME) * (erb.FRAME * window)
    first, second = frames[..., : erb.HOP], frames[..., erb.HOP :]
    return (first + F.pad(second[:, :-1], (0, 0, 1, 0))).flatten(1)


@cache
def _anti_alias() -> Tensor:
    from scipy.signal import firwin

    return torch.from_numpy(firwin(193, 7700, fs=erb.RATE).astype(np.float32))


def to_16k(wave: Tensor) -> Tensor:
    """Return waveforms (B, N) at 48 kHz as (B, N / 3) at 16 kHz, with gradients."""
    kernel = _anti_alias().to(wave.device)
    return F.conv1d(wave[:, None], kernel[None, None], stride=3, padding=kernel.numel() // 2)[:, 0]


def level_above_8k(wave: Tensor) -> Tensor:
    """Return the RMS (B,) of waveforms (B, N) at 48 kHz above 8.2 kHz."""
    power = torch.fft.rfft(wave).abs().square() * (2 / wave.shape[1] ** 2)
    return power[:, int(8200 / erb.RATE * wave.shape[1]) :].sum(dim=1).sqrt()
