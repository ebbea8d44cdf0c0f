"""Define the vocoder HiFi-GAN, which makes waves of log mel spectra (Kong et al., 2020), in AudioSR's size for 48 kHz.

190 M parameters, 3,541 GFLOP for 5.12 s. A frame of 256 bands becomes 480 samples, by transposed convolutions with several
dilated convolutions after each. A sample depends on 22 frames on either side.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import convolution_pairs, mean_of

SLOPE, LAST_SLOPE = 0.1, 0.01  # of the leaky rectifiers


class HiFiGAN(nn.Module):
    """Map log mel spectra (B, mels, T) to waves (B, 480 T). `rates`: factors by which the stages raise the rate."""

    reach = 22  # frames on either side that a sample depends on

    def __init__(
        self,
        mels: int = 256,
        channels: int = 1536,
        rates: Sequence[int] = (6, 5, 4, 2, 2),
        kernels: Sequence[int] = (12, 10, 8, 4, 4),
        block_kernels: Sequence[int] = (3, 7, 11, 15),
        dilations: Sequence[int] = (1, 3, 5),
    ):
        super().__init__()
        self.hop = math.prod(rates)
        self.conv_pre = nn.Conv1d(mels, channels, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(rates, kernels):
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2))
            channels //= 2
            self.resblocks.extend(DilatedBlock(channels, size, dilations) for size in block_kernels)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, mel: Tensor, wave: Tensor | None = None) -> Tensor:
        """Return waves (B, 480 T). The narrow `wave` is not used here (networks.bigvgan_sr has the same form)."""
        x = self.conv_pre(mel)
        count = len(self.resblocks) // len(self.ups)
        for number, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            x = mean_of(self.resblocks[number * count : (number + 1) * count], x)
        x = self.conv_post(F.leaky_relu(x, LAST_SLOPE)).tanh()
        return x[:, 0, : self.hop * mel.shape[2]]  # odd rates leave some samples more at the end


class DilatedBlock(nn.Module):
    """Map (B, C, N) to the same shape by pairs of convolutions, the first of each dilated."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]):
        super().__init__()
        self.convs1, self.convs2 = convolution_pairs(channels, kernel, dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x
