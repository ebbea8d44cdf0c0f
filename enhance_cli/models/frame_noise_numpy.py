"""Draw with NumPy the numbers of torch's generator on CPUs, for models that run without torch.

torch.randn takes the lower 24 bits of the Mersenne twister's words as uniform numbers, and turns each group of 16 into normal
ones by the transform of Box and Muller: eight radii, then eight angles. The numbers here differ from its by rounding (5e-7).
"""

import hashlib

import numpy as np

GROUP = 16
BLOCK = 64  # frames per generator, as in models.frame_noise


def normal(seed: int, count: int) -> np.ndarray:
    """Return `count` numbers, a multiple of 16, as torch.randn with a generator of this seed."""
    bits = np.random.RandomState(seed & 0xFFFFFFFF).randint(0, 1 << 32, count, np.uint32)
    uniform = (bits & 0xFFFFFF).astype(np.float32) * np.float32(2**-24)
    first, second = uniform.reshape(-1, 2, GROUP // 2).swapaxes(0, 1)
    radius, angle = np.sqrt(np.float32(-2) * np.log(1 - first)), np.float32(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def block_of(seed: int, draw: int, number: int, count: int) -> np.ndarray:
    """Return the `count` numbers of a block of frames in the draw of this number, as models.frame_noise draws them."""
    digest = hashlib.blake2b(f"{seed} {draw} {number}".encode(), digest_size=7).digest()
    return normal(int.from_bytes(digest, "big"), count)


def stretch(seed: int, first: int, length: int, block: int) -> np.ndarray:
    """Return the noise of a file from sample `first` on, as models.frame_noise draws it first for one channel.

    `block`: number of samples from one generator, a multiple of 16.
    """
    numbers = range(first // block, (first + length - 1) // block + 1)
    drawn = [block_of(seed, 0, number, block) for number in numbers]
    skip = first - numbers[0] * block
    return np.concatenate(drawn)[skip : skip + length]


class FrameNoise:
    """Draw normal noise (1, P, T, F) for a window that starts at frame `first`, as models.frame_noise.FrameNoise.

    `shape`: (P, T, F). `scale`: standard deviation of each part.
    """

    def __init__(self, seed: int, first: int, shape: tuple[int, ...], scale: float):
        self._seed, self._first, self._shape, self._scale = seed, first, shape, np.float32(scale)
        self._draws = 0

    def __call__(self) -> np.ndarray:
        parts, length, bins = self._shape
        numbers = range(self._first // BLOCK, (self._first + length - 1) // BLOCK + 1)
        blocks = [block_of(self._seed, self._draws, number, parts * BLOCK * bins) for number in numbers]
        self._draws += 1
        noise = np.concatenate([block.reshape(parts, BLOCK, bins) for block in blocks], axis=1)
        skip = self._first - numbers[0] * BLOCK
        return self._scale * noise[None, :, skip : skip + length]
