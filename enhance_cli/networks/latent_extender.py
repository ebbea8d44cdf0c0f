"""Combine the networks of AudioSR (Liu et al., 2023) and FlashSR (Im and Nam, 2025), which make treble by diffusion of latents.

The log mel spectrum of the narrow wave is encoded to a latent, which is the condition of a U-Net. The latent sampled with it is
decoded to the log mel spectrum of the wide wave, of which a vocoder makes the wave. Waves are (B, N) at 48 kHz, with a multiple
of `multiple` samples, spectra (B, 1, T, M), latents (B, Z, T / 8, M / 8). All parts but the vocoder see the whole window.
"""

import torch
from torch import Tensor, nn

from enhance_cli.networks import NETWORKS
from enhance_cli.networks.autoencoder_kl import AutoencoderKL
from enhance_cli.networks.conditioning import concatenate
from enhance_cli.networks.latent_unet import LatentUNet
from enhance_cli.networks.mel import triangles

RATE, N_FFT, HOP, MELS, LOWEST_HZ = 48000, 2048, 480, 256, 20.0
LOG_FLOOR = 1e-5  # magnitude
NO_CONDITION = -11.4981  # value of all latents of the condition for a network that runs without one
WIDTH = 0.05  # of the edge that a narrow wave ends at


class LatentExtender(nn.Module):
    """Hold `unet`, `autoencoder` and `vocoder`, each made with its arguments, the vocoder with its "network" besides.

    `scale`: factor of the latents that the U-Net sees. `keeps_bands`: bands of the spectrum that the narrow wave has go to the
    vocoder as they are.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, unet: dict, autoencoder: dict, vocoder: dict, scale: float, keeps_bands: bool = False):
        super().__init__()
        self.scale, self.keeps_bands = scale, keeps_bands
        self.unet = LatentUNet(**unet)
        self.autoencoder = AutoencoderKL(**autoencoder)
        self.vocoder = NETWORKS[vocoder["network"]](**{k: v for k, v in vocoder.items() if k != "network"})
        self.factor = self.autoencoder.factor
        self.grid = HOP * self.factor  # samples of a column of the latents
        self.multiple = self.grid * self.unet.factor
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        filters = triangles(N_FFT, RATE, MELS, LOWEST_HZ, RATE / 2, scale="slaney", area=True)
        self.register_buffer("filters", filters, persistent=False)

    def narrow(self, wave: Tensor, edge: float) -> Tensor:
        """Return the part of waves (B, N) below `edge` Hz. The cut is steep, as in training, and without delay."""
        padded = 2 * wave.shape[-1]  # so that the end does not run into the beginning
        spectrum = torch.fft.rfft(wave, padded)
        frequency = torch.linspace(0, RATE / 2, spectrum.shape[-1], device=wave.device)
        fall = ((edge - frequency) / (WIDTH * edge)).clamp(0, 1)
        return torch.fft.irfft(spectrum * (0.5 - 0.5 * (torch.pi * fall).cos()), padded)[..., : wave.shape[-1]]

    def analyze(self, wave: Tensor) -> Tensor:
        """Return the log mel spectrum (B, 1, N / 480, M) of waves (B, N)."""
        edge = (N_FFT - HOP) // 2
        padded = nn.functional.pad(wave, (edge, edge), mode="reflect")
        spectrum = torch.stft(padded, N_FFT, HOP, window=self.window, center=False, return_complex=True)
        return (spectrum.abs().transpose(1, 2) @ self.filters).clamp_min(LOG_FLOOR).log()[:, None]

    def known_bands(self, edge: float) -> int:
        """Return how many bands of the spectrum lie below the cut at `edge` Hz as a whole."""
        tops = (self.filters > 0).float().mul(torch.arange(len(self.filters), device=self.filters.device)[:, None])
        return int((tops.amax(dim=0) * RATE / N_FFT <= (1 - WIDTH) * edge).sum())

    def condition(self, mel: Tensor, noise: Tensor) -> Tensor:
        """Return the latent condition of spectra (B, 1, T, M), drawn by standard normal `noise` of its shape."""
        return self.scale * self.autoencoder.draw(mel, noise)

    def no_condition(self, condition: Tensor) -> Tensor:
        """Return the condition that stands for none, shaped like `condition`."""
        return torch.full_like(condition, self.scale * NO_CONDITION)

    def forward(self, x: Tensor, condition: Tensor, t: Tensor) -> Tensor:
        """Return the U-Net's prediction for the state x (B, Z, T, F), under a condition of its shape, at times t (B,)."""
        return self.unet(concatenate(x, condition), t)

    def decode(self, z: Tensor) -> Tensor:
        """Return the log mel spectra (B, 1, T, M) of latents."""
        return self.autoencoder.decode(z / self.scale)

    def vocode(self, mel: Tensor, wave: Tensor) -> Tensor:
        """Return wide waves (B, N) of spectra (B, 1, T, M) and the narrow waves (B, N)."""
        return self.vocoder(mel[:, 0].transpose(1, 2), wave)
