"""Define AP-BWE, which estimates the amplitudes and the phases of a wide band by two streams that exchange their states.

Both are ConvNeXt blocks over frames of 80 samples. 29.8 M parameters, 17.9 GFLOP per second of 48 kHz audio. (Lu et al., 2024,
"Towards high-quality and efficient speech bandwidth extension with parallel amplitude and phase prediction".)
"""

import math

import torch
from torch import Tensor, nn

from enhance_cli.networks.convnext import KERNEL, ConvNeXtBlock

LOG_FLOOR = 1e-4  # magnitude
SAME_AS_PI = 1e-5  # a phase so close to -pi is pi


class APBWE(nn.Module):
    """Map waves (B, N) at the high rate, empty above half of `low_rate`, to waves (B, N) with that band filled."""

    window: Tensor

    def __init__(
        self,
        channels: int = 512,
        hidden: int = 1536,
        layers: int = 8,
        n_fft: int = 1024,
        hop: int = 80,
        window: int = 320,
        low_rate: int = 16000,
        high_rate: int = 48000,
    ):
        super().__init__()
        self.n_fft, self.hop, self.low_rate, self.high_rate = n_fft, hop, low_rate, high_rate
        bins = n_fft // 2 + 1
        self.conv_pre_mag = nn.Conv1d(bins, channels, KERNEL, padding=KERNEL // 2)
        self.norm_pre_mag = nn.LayerNorm(channels, eps=1e-6)
        self.conv_pre_pha = nn.Conv1d(bins, channels, KERNEL, padding=KERNEL // 2)
        self.norm_pre_pha = nn.LayerNorm(channels, eps=1e-6)
        self.convnext_mag = nn.ModuleList(ConvNeXtBlock(channels, hidden) for _ in range(layers))
        self.convnext_pha = nn.ModuleList(ConvNeXtBlock(channels, hidden) for _ in range(layers))
        self.norm_post_mag = nn.LayerNorm(channels, eps=1e-6)
        self.norm_post_pha = nn.LayerNorm(channels, eps=1e-6)
        self.linear_post_mag = nn.Linear(channels, bins)
        self.linear_post_pha_r = nn.Linear(channels, bins)
        self.linear_post_pha_i = nn.Linear(channels, bins)
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    @property
    def receptive_field(self) -> int:
        """Return the number of samples on either side that an output depends on."""
        frames = (1 + len(self.convnext_mag)) * (KERNEL // 2)
        return (frames + 1) * self.hop + self.window.numel()

    def forward(self, wave: Tensor) -> Tensor:
        """Return waves (B, N)."""
        padded = nn.functional.pad(wave, (0, -wave.shape[-1] % self.hop))
        amplitude, phase = self.estimate(*self.analyze(padded))
        return self.synthesize(amplitude, phase)[..., : wave.shape[-1]]

    def narrow(self, wave: Tensor) -> Tensor:
        """Return waves (B, N) brought to the low rate and back, by the resampler that the network was trained with."""
        from torchaudio.functional import resample  # slow to import

        low = resample(wave, self.high_rate, self.low_rate)
        return resample(low, self.low_rate, self.high_rate)[..., : wave.shape[-1]]

    def analyze(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log amplitudes ln(|S| + 1e-4) and the phases (B, F, T).

        Below the floor, where phases are rounding errors, they are zero.
        """
        edge = "reflect" if wave.shape[-1] > self.n_fft // 2 else "constant"
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, self.window.numel(), self.window, pad_mode=edge, return_complex=True
        )
        magnitude = spectrum.abs()
        phase = torch.where(magnitude > LOG_FLOOR, spectrum.angle(), 0.0)
        phase = torch.where(phase < SAME_AS_PI - math.pi, math.pi, phase)  # the first frame is real, up to rounding
        return (magnitude + LOG_FLOOR).log(), phase

    def estimate(self, amplitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Return the wide band's log amplitudes and phases (B, F, T) for those of the narrow one."""
        a = self.norm_pre_mag(self.conv_pre_mag(amplitude).transpose(1, 2)).transpose(1, 2)
        p = self.norm_pre_pha(self.conv_pre_pha(phase).transpose(1, 2)).transpose(1, 2)
        for of_amplitude, of_phase in zip(self.convnext_mag, self.convnext_pha):
            a = a + p
            p = p + a
            a, p = of_amplitude(a), of_phase(p)
        a, p = self.norm_post_mag(a.transpose(1, 2)), self.norm_post_pha(p.transpose(1, 2))
        found = torch.atan2(self.linear_post_pha_i(p), self.linear_post_pha_r(p))
        return amplitude + self.linear_post_mag(a).transpose(1, 2), found.transpose(1, 2)

    def synthesize(self, amplitude: Tensor, phase: Tensor) -> Tensor:
        """Return waves (B, hop (T - 1)) of log amplitudes and phases (B, F, T)."""
        spectrum = torch.polar(amplitude.exp(), phase)
        return torch.istft(spectrum, self.n_fft, self.hop, self.window.numel(), self.window)
