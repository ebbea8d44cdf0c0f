"""Describe sound at 48 kHz by the levels of narrow bands, and make a band above a frequency from given levels.

Frames have 960 samples every 480, with a square-root Hann window for analysis and synthesis. Bins are 50 Hz wide, bands
are 2 bins or a sixteenth of their frequency wide. A missing band is made from two carriers: copies of the bins below it,
moved up by an even number of bins (so that their phases are continuous from frame to frame), and noise. Both are scaled to the
wanted levels, as in spectral band replication (Dietz et al., 2002). Spectra are complex (..., F, T), levels in dB (..., K, T).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from enhance_cli.audio.spectra.fine_bands_numpy import (
    BANDS,
    BIN_HZ,
    BINS,
    EULER,
    FLOOR_DB,
    FRAME,
    HOP,
    MOST_GAIN,
    band_starts,
    octave_bins,
)
from enhance_cli.audio.spectra.stft import make_window


def analyze(wave: Tensor) -> Tensor:
    """Return the spectra (..., 481, T + 1) of waves (..., 480 T): white noise of variance 1 has a mean power of 1."""
    flat = wave.reshape(-1, wave.shape[-1])
    window = make_window("sqrthann", FRAME, wave.device)
    spectra = torch.stft(flat, FRAME, HOP, window=window, pad_mode="constant", return_complex=True)
    return (spectra * (2 / FRAME) ** 0.5).unflatten(0, wave.shape[:-1])


def synthesize(spectra: Tensor, samples: int) -> Tensor:
    """Return the waves (..., samples) of spectra (..., 481, T)."""
    window = make_window("sqrthann", FRAME, spectra.device)
    flat = spectra.reshape(-1, *spectra.shape[-2:]) * (FRAME / 2) ** 0.5
    return torch.istft(flat, FRAME, HOP, window=window, length=samples).unflatten(0, spectra.shape[:-2])


def band_means(values: Tensor) -> Tensor:
    """Return the mean of (..., F, T) over the bins of each band, (..., K, T)."""
    return torch.einsum("kf,...ft->...kt", _averaging(values.device), values)


@lru_cache(maxsize=4)
def _averaging(device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        starts, matrix = band_starts(), torch.zeros(BANDS, BINS)
        for band, (start, stop) in enumerate(zip(starts, starts[1:])):
            matrix[band, start:stop] = 1 / (stop - start)
        return matrix.to(device)


def to_bins(bands: Tensor) -> Tensor:
    """Return (..., F, T) where every bin has the value of its band in (..., K, T)."""
    starts = torch.tensor(band_starts(), device=bands.device)
    return bands.repeat_interleave(starts.diff(), dim=-2, output_size=BINS)


def levels(power: Tensor) -> Tensor:
    """Return the levels of a power spectrum (..., F, T) in dB (..., K, T)."""
    return 10 * torch.log10(band_means(power) + 10 ** (FLOOR_DB / 10))


def peakiness(power: Tensor) -> Tensor:
    """Return the level of each band minus the mean of the levels of its bins, in dB (..., K, T).

    A pure tone has a high value, noise about 2 dB. The value is averaged over a band and its two neighbors.
    """
    logarithm = 10 * torch.log10(power + 10 ** (FLOOR_DB / 10))
    difference = levels(power) - band_means(logarithm)
    padded = torch.cat([difference[..., :1, :], difference, difference[..., -1:, :]], dim=-2)
    return (padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]) / 3


@lru_cache(maxsize=4)
def _noise_peakiness(device: torch.device) -> Tensor:
    """Return the expected peakiness (K, 1) of noise, whose powers are exponentially distributed."""
    with torch.inference_mode(False):
        widths = torch.tensor(band_starts()).diff().double()
        expected = 10 / math.log(10) * (torch.digamma(widths) - widths.log() + EULER)
        return expected.float()[:, None].to(device)


def moved_up(spectra: Tensor, edge: float) -> Tensor:
    """Return spectra (..., F, T) in which the bins from `edge` Hz on are repeated copies of the octave below it."""
    first = int(edge / BIN_HZ)
    patch = octave_bins(first)
    bins = torch.arange(BINS, device=spectra.device)
    source = torch.where(bins < first, bins, first - patch + (bins - first) % patch)
    return spectra[..., source, :]


def fill(spectra: Tensor, edge: float, wanted: Tensor, peaks: Tensor, noise: Tensor) -> Tensor:
    """Return spectra (C, F, T) with new bins from `edge` Hz on.

    All channels get the same gains and the same noise, so that the positions of sources in the stereo image are kept.

    Args:
        spectra: of the channels.
        wanted: levels (K, T) of the mean power of the channels.
        peaks: its peakiness (K, T), by which the carriers are mixed.
        noise: spectra (F, T) of white noise.
    """
    first = int(edge / BIN_HZ)
    copies = moved_up(spectra, edge)
    power = copies.abs().square().mean(dim=0)
    carrier = levels(power)
    of_noise = _noise_peakiness(spectra.device)
    tonal = ((peaks - of_noise) / (peakiness(power) - of_noise).clamp_min(0.1)).clamp(0, 1)
    tonal = torch.where(carrier > FLOOR_DB + 3, tonal, torch.zeros_like(tonal))
    gain = lambda share, level: to_bins(share.sqrt() * 10 ** (torch.clamp(wanted - level, max=MOST_GAIN) / 20))  # noqa: E731
    octave = spectra[:, first - octave_bins(first) : first].abs().square().mean(dim=1, keepdim=True)  # that is copied
    of_channel = (octave / octave.mean(dim=0).clamp_min(1e-20)).sqrt()
    made = copies * gain(tonal, carrier) + of_channel * noise * gain(1 - tonal, levels(noise.abs().square()))
    heard = (wanted > FLOOR_DB + 3).to(made.real.dtype)
    above = torch.arange(BINS, device=spectra.device)[:, None] >= first
    return torch.where(above, made * to_bins(heard), spectra)
