"""Damage recordings other than by noise: clipping, lossy codecs and gaps. Waveforms (N,) float32 in, same out."""

import io

import numpy as np
import soundfile

GAPS, GAP_SECONDS = (1, 4), (0.005, 0.3)  # number, and shortest and longest
CODECS = (("OGG", "VORBIS"), ("OGG", "OPUS"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"))


def codec(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Encode and decode `audio` by a lossy codec of libsndfile at low quality. All of the codecs keep the timing."""
    container, subtype = CODECS[rng.integers(len(CODECS))]
    peak = max(np.abs(audio).max(), 1e-4)
    quality = {"compression_level": rng.uniform(0.7, 1.0)} if container == "OGG" else {}
    stream = io.BytesIO()
    soundfile.write(stream, audio / peak * 0.9, rate, format=container, subtype=subtype, **quality)
    stream.seek(0)
    decoded = soundfile.read(stream, dtype="float32")[0][: audio.size] * (peak / 0.9)
    return np.pad(decoded, (0, audio.size - decoded.size))


def clip(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clip `audio` at 0.2 to 0.8 of its peak."""
    limit = np.abs(audio).max() * rng.uniform(0.2, 0.8)
    return audio.clip(-limit, limit)


def cut(audio: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return `audio` with some gaps of digital silence, as lost packets leave them. Short ones are as likely as long ones."""
    audio = audio.copy()
    for _ in range(rng.integers(GAPS[0], GAPS[1] + 1)):
        length = min(int(np.exp(rng.uniform(*np.log(GAP_SECONDS))) * rate), audio.size)
        start = rng.integers(audio.size - length + 1)
        audio[start : start + length] = 0
    return audio
