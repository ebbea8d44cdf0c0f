"""Predict DNSMOS, the opinion of listeners on speech, 1 to 5, after ITU-T P.835 and P.808 (Reddy et al., 2021, 2022).

The networks are those of Microsoft's package `speechmos`, run here with onnxruntime in one session that stays open.
Only its weight files are used, because the package itself needs librosa and pandas. No reference is needed. Windows of
9.01 s every second are scored and averaged, and short clips are repeated, as in the published scripts, so that the
numbers are theirs.
"""

from functools import cache
from importlib.resources import files

import numpy as np
import onnxruntime

from enhance_cli.errors import AudioError

MODELS = files("speechmos") / "dnsmos_models"
RATE = 16000
WINDOW = 144160  # 9.01 s
# Raw outputs to opinion scores (Microsoft's fit; highest power first).
SIGNAL = (-0.08397278, 1.22083953, 0.0052439)
BACKGROUND = (-0.13166888, 1.60915514, -0.39604546)
OVERALL = (-0.06766283, 1.11546468, 0.04602535)
# The P.808 network listens to a mel spectrogram, made with librosa's conventions.
FFT, HOP, BANDS = 321, 160, 120


def score(reference: np.ndarray | None, estimate: np.ndarray, rate: int) -> dict[str, float]:
    """Return the predicted opinions of `estimate` (N,) at 16 kHz: `ovrl`, `sig`, `bak` (P.835) and `p808`.

    `reference` is not used. Samples beyond -1..1 are clipped, as in a file of integers. Raises AudioError at another
    rate and for an empty signal.
    """
    if rate != RATE:
        raise AudioError(f"DNSMOS is defined at 16 kHz, not {rate} Hz", "resample first")
    if estimate.size == 0:
        raise AudioError("DNSMOS is not defined", "the signal is empty")
    audio = np.clip(estimate, -1, 1).astype(np.float32)
    while len(audio) < WINDOW:
        audio = np.tile(audio, 2)
    scores = [_score_window(audio[start : start + WINDOW]) for start in _window_starts(len(audio))]
    return {name: float(np.mean([window[name] for window in scores])) for name in scores[0]}


def _window_starts(length: int) -> list[int]:
    """Return the window starts of the published scripts: one a second, except those that their rounding loses.

    They end window i at int((i + 9.01) * 16000), one sample early for i = 7..23 and 119..122, and drop windows that are
    short. A better average would not be DNSMOS as others report it, so these windows are left out here too.
    """
    count = max(length // RATE - 9, 1)
    return [i * RATE for i in range(count) if int((i + 9.01) * RATE) - i * RATE == WINDOW]


def _score_window(audio: np.ndarray) -> dict[str, float]:
    p835, p808 = _sessions()
    signal, background, overall = p835.run(None, {"input_1": audio[None]})[0][0]
    opinion = p808.run(None, {"input_1": _mel_spectrogram(audio[:-HOP])[None]})[0][0, 0]
    return {
        "ovrl": np.polyval(OVERALL, overall),
        "sig": np.polyval(SIGNAL, signal),
        "bak": np.polyval(BACKGROUND, background),
        "p808": opinion,
    }


@cache
def _sessions() -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    return tuple(
        onnxruntime.InferenceSession(str(MODELS / name), providers=["CPUExecutionProvider"])
        for name in ("sig_bak_ovr.onnx", "model_v8.onnx")
    )


def _mel_spectrogram(audio: np.ndarray) -> np.ndarray:
    """Return the mel spectrogram (T, 120) float32 of audio (N,): dB below its maximum, limited to 80 dB, scaled to -1..1."""
    padded = np.pad(audio, FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    decibels = 10 * np.log10(np.maximum(power @ _mel_bands().T, 1e-10))
    decibels = np.maximum(decibels - decibels.max(), -80)
    return ((decibels + 40) / 40).astype(np.float32)


@cache
def _mel_bands() -> np.ndarray:
    """Return (120, 161) triangles of equal area on Slaney's mel scale, 0 to 8 kHz."""
    # Linear to 1 kHz (15 mel), logarithmic above: 27 mel for a factor of 6.4.
    mel_top = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, mel_top, BANDS + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))
    low, center, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.fft.rfftfreq(FFT, 1 / RATE)
    triangles = np.minimum((bins - low) / (center - low), (high - bins) / (high - center))
    return np.maximum(triangles, 0) * 2 / (high - low)
