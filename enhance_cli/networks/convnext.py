"""Define the ConvNeXt block over frames that AP-BWE and LavaSR are made of (Liu et al., 2022, in one dimension)."""

import torch
from torch import Tensor, nn

KERNEL = 7


class ConvNeXtBlock(nn.Module):
    """Map (B, C, T) to (B, C, T): a convolution of each channel over 7 frames, then two layers over `hidden` channels."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 0.125))
        self.dwconv = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, hidden)
        self.pwconv2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.dwconv(x).transpose(1, 2))
        hidden = self.pwconv2(nn.functional.gelu(self.pwconv1(hidden)))
        return x + (self.gamma * hidden).transpose(1, 2)
