"""Weights and inputs of the golden numbers, rebuilt by the formulas in golden/README.md."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"


def load(item: str) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the description of one item."""
    with np.load(FOLDER / f"{item}.npz") as arrays:
        return dict(arrays), json.loads((FOLDER / f"{item}.json").read_text())


def rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def cnormal(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Complex standard normal (unit total variance) times `scale`, complex64."""
    parts = rng(name).standard_normal((2, *shape))
    return ((parts[0] + 1j * parts[1]) / np.sqrt(2) * scale).astype(np.complex64)


def rnormal(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    return (rng(name).standard_normal(shape) * scale).astype(np.float32)


def wave(name: str, samples: int, rate: int) -> np.ndarray:
    """A vowel-like test tone with a little noise, float32 (samples,)."""
    generator = rng(name)
    pitch, time = generator.uniform(90, 250), np.arange(samples) / rate
    x = np.zeros(samples)
    for harmonic in range(1, 6):
        x += np.sin(2 * np.pi * pitch * harmonic * time + generator.uniform(0, 2 * np.pi)) / harmonic
    x *= 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
    return (0.2 * (x + 0.05 * generator.standard_normal(samples))).astype(np.float32)


def band(name: str, samples: int, rate: int, low: float, high: float, scale: float = 0.1) -> np.ndarray:
    """Noise between two frequencies, float32 (samples,)."""
    spectrum = np.fft.rfft(rng(name).standard_normal(samples) * scale)
    frequency = np.arange(len(spectrum)) * rate / samples
    spectrum[(frequency < low) | (frequency >= high)] = 0
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def weight(key: str, shape: tuple[int, ...], salt: str = "", recurrent: bool = True) -> np.ndarray:
    """The value of one parameter, float32, by its name in the checkpoint.

    `recurrent`: whether names that only begin with bias are biases, as in all but the oldest items.
    """
    n = rng(salt + key).standard_normal(shape).astype(np.float32)
    last, tenth, one = key.rpartition(".")[2], np.float32(0.1), np.float32(1)
    if last == "running_mean":
        return tenth * n
    if last == "running_var":
        return one + tenth * np.abs(n)
    if last in ("g", "original0"):
        return one + tenth * n
    if last == "W" and len(shape) == 1:
        return np.float32(16) * n
    if last == "W":
        return n * np.float32(1 / np.sqrt(shape[0]))
    if last == "weights" and len(shape) == 1:
        return n
    if len(shape) >= 2:
        return n * np.float32(1 / np.sqrt(np.prod(shape[1:])))
    bias = last.startswith("bias") if recurrent else last == "bias"
    return tenth * n if bias or last == "b" else one + tenth * n


def weights(state: dict[str, torch.Tensor], salt: str = "", recurrent: bool = True) -> dict[str, torch.Tensor]:
    """The golden values for every floating-point entry of a state dict; the others stay."""
    return {
        k: torch.from_numpy(np.asarray(weight(k, tuple(v.shape), salt, recurrent))) if v.is_floating_point() else v
        for k, v in state.items()
    }


def parts(array: np.ndarray) -> torch.Tensor:
    """Complex (B, 1, F, T) as stored -> our real (B, 2, T, F)."""
    return torch.from_numpy(np.concatenate([array.real, array.imag], axis=1)).transpose(2, 3).contiguous()


def whole(tensor: torch.Tensor) -> np.ndarray:
    """Our real (B, 2, T, F) -> complex (B, 1, F, T)."""
    array = tensor.transpose(2, 3).numpy()
    return array[:, :1] + 1j * array[:, 1:]


def rel_l2(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.asarray(a), np.asarray(b)
    return float(np.linalg.norm((a - b).ravel()) / np.linalg.norm(b.ravel()))


def voice_in_noise(samples: int = 96000, rate: int = 48000) -> np.ndarray:
    """A gliding voice in white noise by integer arithmetic, float32 (samples,)."""
    n = np.arange(samples)
    seconds = n / rate
    phase = 2 * np.pi * np.cumsum(140 + 20 * np.sin(2 * np.pi * 0.7 * seconds)) / rate
    voice = 0.08 * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * seconds)) * sum(np.sin(k * phase) / k for k in range(1, 25))
    h = (2654435761 * n + 12345) % 2**32
    h = ((h ^ (h >> 15)) * 2246822519) % 2**32
    h ^= h >> 13
    return (voice + 0.05 * (h / 2**31 - 1)).astype(np.float32)


class Noise:
    """Stand in for FrameNoise with the draws of the golden files, one after the other."""

    def __init__(self, seed, frames, like, scale):
        self.shape, self.draws = (like.shape[0], 1, like.shape[3], like.shape[2]), -1

    def __call__(self) -> torch.Tensor:
        self.draws += 1
        return parts(cnormal(f"noise{self.draws}", self.shape))
