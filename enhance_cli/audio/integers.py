"""Convert floats to integers exactly: the inverse of libsndfile's and FFmpeg's conversion to floats (x / 2^(b-1))."""

from __future__ import annotations

import numpy as np


def quantize(block: np.ndarray, bits: int) -> np.ndarray:
    """Round (C, n) samples to integers of `bits` bits, clipped at full scale, left-aligned in int16 (<= 16) or int32."""
    top = 2.0 ** (bits - 1)
    exact = block if bits <= 24 and block.dtype == np.float32 else block.astype(np.float64)
    whole = np.clip(np.rint(exact * exact.dtype.type(top)), -top, top - 1)
    width = 16 if bits <= 16 else 32
    return whole.astype(f"int{width}") << (width - bits)
