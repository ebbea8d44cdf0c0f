"""Draw the numbers of torch's generator on CPUs with NumPy, for models that run without torch.

torch.randn takes the lower 24 bits of the Mersenne twister as uniform numbers, and makes normal ones of each 16 of them by
Box and Muller's transform: eight radii, then eight angles. Equal to it up to rounding, 5e-7.
"""

import hashlib

import numpy as np

GROUP = 16


def normal(seed: int, count: int) -> np.ndarray:
    """Return `count` numbers, a multiple of 16, as torch.randn with a generator of this seed."""
    bits = np.random.RandomState(seed & 0xFFFFFFFF).randint(0, 1 << 32, count, np.uint32)
    uniform = (bits & 0xFFFFFF).astype(np.float32) * np.float32(2**-24)
    first, second = uniform.reshape(-1, 2, GROUP // 2).swapaxes(0, 1)
    radius, angle = np.sqrt(np.float32(-2) * np.log(1 - first)), np.float32(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def stretch(seed: int, first: int, length: int, block: int) -> np.ndarray:
    """Return the noise of a file from sample `first` on, as models.frame_noise draws it first for one channel.

    `block`: number of samples from one generator, a multiple of 16.
    """
    numbers = range(first // block, (first + length - 1) // block + 1)
    drawn = []
    for number in numbers:
        digest = hashlib.blake2b(f"{seed} 0 {number}".encode(), digest_size=7).digest()
        drawn.append(normal(int.from_bytes(digest, "big"), block))
    skip = first - numbers[0] * block
    return np.concatenate(drawn)[skip : skip + length]
