"""Compute the SI-SDR improvement of separated stems over the mix, in dB, as published tables for Slakh2100 do.

The recording is cut into chunks of 11.9 s, each into windows of 4 s every 2 s (the last one shorter). A chunk counts if
at most half of the stems are silent in it, a window if at least two play. Per stem, a window's value is the SI-SDR of
the estimate less that of the mix, with 1e-8 added where something could be zero. The published numbers ("msdm") also
count windows in which the stem itself is silent, where the value says little but can be large. "active" leaves these
out. (Mariani et al., 2024, "Multi-source diffusion models". Manilow et al., 2022, "Improving source separation by
explicitly modeling dependencies".)
"""

import numpy as np

EPS = 1e-8
SILENT = 1.5e-5  # of the norm over the number of samples, about -59 dB RMS for 4 s at 22,050 Hz
CHUNK = 262144 / 22050  # s
WINDOW, HOP = 4.0, 2.0  # s


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Return the SI-SDR in dB of `estimate` against `reference`, both (N,), finite for silence too."""
    estimate, reference = estimate.astype(np.float64), reference.astype(np.float64)
    target = (estimate @ reference + EPS) / (reference @ reference + EPS) * reference
    return float(10 * np.log10((np.sum(target**2) + EPS) / (np.sum((target - estimate) ** 2) + EPS)))


def silent(audio: np.ndarray) -> bool:
    """Return whether `audio` (N,) is silent by the definition of the published tables."""
    return bool(np.linalg.norm(audio.astype(np.float64)) / audio.shape[-1] < SILENT)


def windows(stems: np.ndarray, rate: int) -> list[slice]:
    """Return the windows of stems (K, N) that count. A recording shorter than a chunk is one chunk."""
    chunk, size, hop = round(CHUNK * rate), round(WINDOW * rate), round(HOP * rate)
    length, found = stems.shape[1], []
    for begin in range(0, length - chunk + 1, chunk) if length >= chunk else [0]:
        end = min(begin + chunk, length)
        if 2 * sum(silent(stem[begin:end]) for stem in stems) > len(stems):
            continue
        for start in range(begin, max(begin + 1, end - hop), hop):
            window = slice(start, min(start + size, end))
            if sum(not silent(stem[window]) for stem in stems) >= 2:
                found.append(window)
    return found


def score(mix: np.ndarray, stems: np.ndarray, estimates: np.ndarray, rate: int) -> dict[str, list[list[float]]]:
    """Return {"msdm": improvements of each stem by window, "active": the same of windows where the stem plays}.

    mix: (N,). stems, estimates: (K, N).
    """
    scores: dict[str, list[list[float]]] = {"msdm": [[] for _ in stems], "active": [[] for _ in stems]}
    for window in windows(stems, rate):
        for number, (stem, estimate) in enumerate(zip(stems, estimates)):
            gain = si_sdr(estimate[window], stem[window]) - si_sdr(mix[window], stem[window])
            scores["msdm"][number].append(gain)
            if not silent(stem[window]):
                scores["active"][number].append(gain)
    return scores
