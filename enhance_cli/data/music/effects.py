"""Apply studio effects to a stem: drive, tone and room."""

import numpy as np
from scipy.fft import next_fast_len
from scipy.signal import oaconvolve

from enhance_cli.data.mixing import active_level, equalize


def color(audio: np.ndarray, stem: str, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Apply drive, tone and room to `audio` (N,), each by chance and as suits the stem."""
    level, samples = active_level(audio, rate // 50), audio.size
    if level <= 1e-5:
        return audio
    ringing = next_fast_len(samples + rate) - samples  # so that it does not come round to the front
    audio = np.pad(audio, (0, ringing))
    drive = {"guitar": 0.45, "bass": 0.25, "other": 0.1}.get(stem, 0.05)
    if rng.random() < drive:
        audio = amplified(audio / level, rate, rng) * level
    if rng.random() < 0.8:
        audio = equalize(audio, rng, 4.0)
    if rng.random() < (0.2 if stem == "bass" else 0.55):
        audio = in_a_room(audio, rate, rng)
    return audio[:samples].astype(np.float32)


def amplified(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return `audio` (N,) of RMS 1 through an overdriven amplifier and, most often, its loudspeaker."""
    bias = rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0  # even harmonics
    gain = 10 ** (rng.uniform(-10, 30) / 20)
    driven = (np.tanh(equalize(audio, rng, 3.0) * gain + bias) - np.tanh(bias)) / min(gain, 1.0)
    if rng.random() < 0.7:
        spectrum, frequency = np.fft.rfft(driven), np.fft.rfftfreq(driven.size, 1 / rate)
        low, high = rng.uniform(50, 120), rng.uniform(3000, 6500)
        passed = 1 / (1 + (low / np.maximum(frequency, 1)) ** 4) / (1 + (frequency / high) ** 6)
        driven = np.fft.irfft(spectrum * passed, driven.size)
    return driven


def in_a_room(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return `audio` (N,) with a room's tail, decaying noise of random tone."""
    decay, wet = rng.uniform(0.1, 1.2), 10 ** (rng.uniform(-22, -6) / 20)
    time = np.arange(int(decay * rate)) / rate
    tail = equalize(rng.standard_normal(time.size) * 10 ** (-3 * time / decay), rng, 3.0)
    tail[: int(rng.uniform(0, 0.03) * rate)] = 0
    return audio + wet * oaconvolve(audio, tail / max(float(np.linalg.norm(tail)), 1e-6))[: audio.size]
