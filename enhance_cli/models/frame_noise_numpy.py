"""Draw with NumPy the numbers of torch's generator on CPUs, for models that run without torch.

torch.randn takes the lower 24 bits of the Mersenne twister's words as uniform numbers, and turns each group of 16 into normal
ones by the transform of Box and Muller: eight radii, then eight angles. The numbers here differ from its by rounding (5e-7).
"""

import hashlib
from math import prod

import numpy as np

GROUP = 16
BLOCK, SAMPLE_BLOCK = 64, 1 << 16  # frames, or samples, per generator


def block_seed(seed: int, draw: int, number: int) -> int:
    """Return the seed of the generator for the block with this number, in a draw of noise of a user's `seed`."""
    digest = hashlib.blake2b(f"{seed} {draw} {number}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def normal(seed: int, count: int) -> np.ndarray:
    """Return `count` numbers, a multiple of 16, as torch.randn with a generator of this seed."""
    bits = np.random.RandomState(seed & 0xFFFFFFFF).randint(0, 1 << 32, count, np.uint32)
    uniform = (bits & 0xFFFFFF).astype(np.float32) * np.float32(2**-24)
    first, second = uniform.reshape(-1, 2, GROUP // 2).swapaxes(0, 1)
    radius, angle = np.sqrt(np.float32(-2) * np.log(1 - first)), np.float32(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


class FrameNoise:
    """Draw normal noise (1, P, T, F) for a window that starts at frame `first`, as models.frame_noise.FrameNoise.

    `shape`: (P, T, F), or (P, T), where each sample counts as a frame. `scale`: standard deviation of each part. `block`:
    number of frames from one generator, with (P, T) a multiple of 16.
    """

    def __init__(self, seed: int, first: int, shape: tuple[int, ...], scale: float = 1.0, block: int = BLOCK):
        self._seed, self._first, self._shape, self._scale = seed, first, shape, np.float32(scale)
        self._block, self._draws = block, 0

    def __call__(self) -> np.ndarray:
        (_, length, *_), block = self._shape, self._block
        numbers = range(self._first // block, (self._first + length - 1) // block + 1)
        noise = np.concatenate([self._frames(number) for number in numbers], axis=1)
        self._draws += 1
        skip = self._first - numbers[0] * block
        return self._scale * noise[None, :, skip : skip + length]

    def _frames(self, number: int) -> np.ndarray:
        """Return the block of frames (P, block, F) with this number."""
        parts, _, *bins = self._shape
        shape = (parts, self._block, *bins)
        return normal(block_seed(self._seed, self._draws, number), prod(shape)).reshape(shape)
