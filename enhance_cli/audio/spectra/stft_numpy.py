"""Compute the spectrograms of audio.spectra.stft with NumPy, for models that run without torch. The shapes are the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from enhance_cli.audio.spectra.frontend_settings import FrontendSettings

FRAMES = 64  # of a long spectrogram that are computed at a time
FLOOR = np.float32(1e-12)  # of |S|^2, as audio.spectra.stft.power has it


@cache
def make_window(name: str, n_fft: int) -> np.ndarray:
    """Return the window (n_fft,), float32: "hann" (periodic) or its square root, "sqrthann"."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return (np.sqrt(hann) if name == "sqrthann" else hann).astype(np.float32)


@dataclass(frozen=True)
class NumpyFrontend(FrontendSettings):
    """Compute the spectrograms of audio.spectra.stft.Frontend and their waveforms, on a CPU and without gradients."""

    def analyze(self, wave: np.ndarray) -> np.ndarray:
        """Return the compressed spectrogram (B, 2, T, F) of `wave` (B, N), float32."""
        reflect = self.pad_mode == "reflect" and wave.shape[-1] > self.n_fft // 2  # else too short for a mirror image
        window = make_window(self.window, self.n_fft)
        frames = _frames(wave, self.n_fft, self.hop, reflect=reflect)
        made = np.empty((len(wave), 2, frames.shape[1], self.n_fft // 2 + 1), np.float32)
        for part in _parts(frames.shape[1]):
            spectrum = _spectra(frames[:, part], window)
            made[:, :, part] = self.compress(np.stack([spectrum.real, spectrum.imag], axis=1))
        return made

    def synthesize(self, compressed: np.ndarray, samples: int) -> np.ndarray:
        """Return the waveform (B, samples) of a compressed spectrogram (B, 2, T, F), float32."""
        window = make_window(self.window, self.n_fft)
        frames = np.empty((len(compressed), compressed.shape[2], self.n_fft), np.float32)
        for part in _parts(compressed.shape[2]):
            real, imaginary = np.moveaxis(self.expand(compressed[:, :, part]), 1, 0)
            frames[:, part] = _waves(real + np.complex64(1j) * imaginary, window)
        return _joined(frames, window, self.hop, samples)

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


def stft(wave: np.ndarray, window: np.ndarray, hop: int, *, reflect: bool = False) -> np.ndarray:
    """Return the spectra (..., N / hop + 1, F), complex64, of frames of `wave` (..., N) centered on multiples of `hop`.

    Outside, the signal is zero, or mirrored with `reflect`.
    """
    return _spectra(_frames(wave, len(window), hop, reflect=reflect), window)


def istft(spectrum: np.ndarray, window: np.ndarray, hop: int, samples: int) -> np.ndarray:
    """Return the waves (..., samples), float32, whose `stft` (..., T, F) is closest to `spectrum`."""
    return _joined(_waves(spectrum, window), window, hop, samples)


def _parts(count: int) -> Iterator[slice]:
    """Return the slices of `count` frames that are computed at a time: all of them at once take three times the memory."""
    return (slice(begin, begin + FRAMES) for begin in range(0, count, FRAMES))


def _frames(wave: np.ndarray, size: int, hop: int, *, reflect: bool) -> np.ndarray:
    """Return frames (..., T, size) of `wave` (..., N), a view, as `stft` says."""
    border = [(0, 0)] * (wave.ndim - 1) + [(size // 2, size // 2)]
    padded = np.pad(wave, border, mode="reflect" if reflect else "constant")
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[..., ::hop, :]


def _spectra(frames: np.ndarray, window: np.ndarray) -> np.ndarray:
    return np.fft.rfft(frames * window, axis=-1).astype(np.complex64, copy=False)


def _waves(spectrum: np.ndarray, window: np.ndarray) -> np.ndarray:
    frames = np.fft.irfft(spectrum, len(window), axis=-1).astype(np.float32, copy=False)
    frames *= window
    return frames


def _joined(frames: np.ndarray, window: np.ndarray, hop: int, samples: int) -> np.ndarray:
    """Return the waves (..., samples) of frames (..., T, n) that `window` was applied to twice."""
    wave = overlapped(frames, hop)
    weight = overlapped(np.broadcast_to(window * window, frames.shape[-2:]), hop)
    half = len(window) // 2
    kept = slice(half, half + min(samples, wave.shape[-1] - half))
    wave = wave[..., kept] / np.maximum(weight[kept], FLOOR)
    return np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(0, samples - wave.shape[-1])])


def overlapped(frames: np.ndarray, hop: int) -> np.ndarray:
    """Return the sum (..., n + (T - 1) hop) of frames (..., T, n), each `hop` samples after the one before."""
    *rows, count, size = frames.shape
    pieces = -(-size // hop)
    total = np.zeros((*rows, count - 1 + pieces, hop), np.float32)
    for k in range(pieces):  # the piece k of all frames at a time
        piece = frames[..., k * hop : (k + 1) * hop]
        total[..., k : k + count, : piece.shape[-1]] += piece
    return total.reshape(*rows, -1)[..., : size + (count - 1) * hop]


def power(spectrum: np.ndarray) -> np.ndarray:
    """Return |S|^2 of (B, 2, T, F) as (B, 1, T, F), floored."""
    return np.maximum(np.square(spectrum).sum(axis=1, keepdims=True), FLOOR)
