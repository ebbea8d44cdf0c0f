"""Draw noise for stochastic samplers as a function of the position in the file.

The noise of frame k in draw d is the same in every window, batch and shard and on every device, so results do not depend on how
a file was cut.
"""

import torch
from torch import Tensor

from enhance_cli.models.frame_noise_numpy import BLOCK, block_seed


class FrameNoise:
    """Draw normal noise shaped like `like`: (B, 2, T, F), or (B, C, N), where each sample counts as a frame.

    A sampler calls the object once per draw.

    Args:
        frames: position of the first frame of each item in the file.
        scale: standard deviation of each real part: 1, or 2^-1/2 for processes that are defined on complex normal noise.
        block: number of frames from one generator.
    """

    def __init__(self, seed: int, frames: list[int], like: Tensor, scale: float = 1.0, block: int = BLOCK):
        self.seed, self.frames, self.shape, self.device = seed, frames, like.shape, like.device
        self.scale, self.block = scale, block
        self.draws = 0

    def __call__(self) -> Tensor:
        noise = torch.stack([self._stretch(first, *self.shape[1:]) for first in self.frames])
        self.draws += 1
        return self.scale * noise.to(self.device)

    def _stretch(self, first: int, parts: int, length: int, *bins: int) -> Tensor:
        numbers = range(first // self.block, (first + length - 1) // self.block + 1)
        stretch = torch.cat([self._block(number, parts, *bins) for number in numbers], dim=1)
        skip = first - numbers[0] * self.block
        return stretch[:, skip : skip + length]

    def _block(self, number: int, parts: int, *bins: int) -> Tensor:
        generator = torch.Generator().manual_seed(block_seed(self.seed, self.draws, number))
        return torch.randn(parts, self.block, *bins, generator=generator)
