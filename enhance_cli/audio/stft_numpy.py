"""Compute the spectrograms of audio.stft with NumPy, for models that run without torch. The shapes are the same."""

from dataclasses import dataclass
from functools import cache

import numpy as np

FLOOR = np.float32(1e-12)  # of |S|^2, as audio.stft.power has it


@cache
def make_window(name: str, n_fft: int) -> np.ndarray:
    """Return the window (n_fft,), float32: "hann" (periodic) or its square root, "sqrthann"."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return (np.sqrt(hann) if name == "sqrthann" else hann).astype(np.float32)


@dataclass(frozen=True)
class NumpyFrontend:
    """Set an STFT with the same window both ways, and magnitude compression. Fields as in audio.stft.Frontend."""

    n_fft: int = 512
    hop: int = 256
    exponent: float = 0.5
    scale: float = 0.6
    window: str = "sqrthann"
    transform: str = "exponent"
    pad_mode: str = "constant"

    def analyze(self, wave: np.ndarray) -> np.ndarray:
        """Return the compressed spectrogram (B, 2, T, F) of `wave` (B, N), float32."""
        half = self.n_fft // 2
        reflect = self.pad_mode == "reflect" and wave.shape[-1] > half  # too short for a mirror image
        padded = np.pad(wave, ((0, 0), (half, half)), mode="reflect" if reflect else "constant")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft, axis=-1)[:, :: self.hop]
        spectrum = np.fft.rfft(frames * make_window(self.window, self.n_fft), axis=-1)
        return self.compress(np.stack([spectrum.real, spectrum.imag], axis=1).astype(np.float32))

    def synthesize(self, compressed: np.ndarray, samples: int) -> np.ndarray:
        """Return the waveform (B, samples) of a compressed spectrogram (B, 2, T, F), float32."""
        parts = self.expand(compressed)
        shape = make_window(self.window, self.n_fft)
        frames = np.fft.irfft(parts[:, 0] + np.complex64(1j) * parts[:, 1], self.n_fft, axis=-1).astype(np.float32)
        wave = self._overlapped(frames * shape)
        weight = self._overlapped(np.broadcast_to(shape * shape, (1, *frames.shape[1:])))
        half = self.n_fft // 2
        length = min(samples, wave.shape[1] - half)
        kept = slice(half, half + length)
        return np.pad(wave[:, kept] / np.maximum(weight[:, kept], FLOOR), ((0, 0), (0, samples - length)))

    def compress(self, spectrum: np.ndarray) -> np.ndarray:
        if self.transform == "log":
            magnitude = np.sqrt(power(spectrum))
            return spectrum * (np.float32(self.scale) * np.log1p(magnitude) / magnitude)
        return spectrum * (np.float32(self.scale) * power(spectrum) ** np.float32((self.exponent - 1) / 2))

    def expand(self, compressed: np.ndarray) -> np.ndarray:
        c = compressed / np.float32(self.scale)
        if self.transform == "log":
            magnitude = np.sqrt(power(c))
            return c * (np.expm1(magnitude) / magnitude)
        return c * power(c) ** np.float32((1 / self.exponent - 1) / 2)

    def _overlapped(self, frames: np.ndarray) -> np.ndarray:
        """Return the sum (B, n_fft + (T - 1) hop) of frames (B, T, n_fft), each `hop` samples after the one before."""
        rows, count, size = frames.shape
        pieces = -(-size // self.hop)
        frames = np.pad(frames, ((0, 0), (0, 0), (0, pieces * self.hop - size)))
        total = np.zeros((rows, (count - 1 + pieces) * self.hop), np.float32)
        for k in range(pieces):  # the piece k of all frames at a time
            piece = frames[..., k * self.hop : (k + 1) * self.hop]
            total[:, k * self.hop : (k + count) * self.hop] += piece.reshape(rows, -1)
        return total[:, : size + (count - 1) * self.hop]


def power(spectrum: np.ndarray) -> np.ndarray:
    """Return |S|^2 of (B, 2, T, F) as (B, 1, T, F), floored."""
    return np.maximum(np.square(spectrum).sum(axis=1, keepdims=True), FLOOR)
