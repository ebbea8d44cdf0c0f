"""Simulate rooms: image-source impulse responses (pyroomacoustics), each with its early part as the target's room.

The direct sound is at sample 0 of both, so a convolution never shifts the target. The early part is the direct sound and the
reflections of the next 50 ms, which the ear fuses with it. Image sources of a low order end after about a tenth of a second.
With `tails` the rest is noise that decays with the reverberation time of the room, faster at high frequencies, as in
diffuse-field models of late reverberation.
"""

from pathlib import Path

import numpy as np

from enhance_cli.atomic import replace_file
from enhance_cli.contracts import Log
from enhance_cli.errors import UsageError

EARLY_SECONDS = 0.05
TAIL_BEGIN, TAIL_FULL = 0.05, 0.08  # seconds after the direct sound between which the tail replaces the images
T60_RANGE = (0.15, 1.0)  # seconds, of rooms with tails
T60_BANDS = ((0, 1.0), (1000, 1.0), (4000, 0.8), (8000, 0.55), (24000, 0.3))  # Hz, share of the T60 there
SHORT_SECONDS, LONG_SECONDS = 0.6, 1.0  # length of the responses without and with tails


def load(
    count: int, rate: int, cache: Path, *, seed: int = 0, tails: bool = False, log: Log = print
) -> tuple[np.ndarray, np.ndarray]:
    """Return (full, early) responses, each float32 (count, samples), of which the early part has unit energy.

    They are simulated once per cache. Raises UsageError if pyroomacoustics is not installed.
    """
    path = cache / f"rooms-{count}-{rate}-{seed}{'-tails' if tails else ''}.npz"
    if not path.exists():
        log(f"simulating {count} rooms, once for all runs with this cache")
        full = simulate_with_tails(count, rate, seed) if tails else simulate(count, rate, seed)
        early = full * _fade(full.shape[1], rate)
        scale = 1 / np.sqrt((early**2).sum(axis=1, keepdims=True))
        early = early[:, : np.flatnonzero(_fade(full.shape[1], rate))[-1] + 1] if tails else early
        with replace_file(path) as file:
            np.savez(file, full=(full * scale).astype(np.float32), early=(early * scale).astype(np.float32))
    with np.load(path) as stored:
        return stored["full"], stored["early"]


def simulate(count: int, rate: int, seed: int) -> np.ndarray:
    """Return (count, samples) responses of random shoebox rooms.

    They are dry to live (wall absorption 0.7 to 0.15), with the speaker at 0.3 to 3 m.
    """
    rng = np.random.default_rng(seed)
    responses = np.zeros((count, int(SHORT_SECONDS * rate)))
    for row in responses:
        size = rng.uniform((3, 3, 2.3), (9, 7, 3.5))
        response = _images(size, float(rng.uniform(0.15, 0.7)), rate, rng)[: row.size]
        row[: response.size] = response
    return responses


def simulate_with_tails(count: int, rate: int, seed: int) -> np.ndarray:
    """Return (count, samples) responses of random shoebox rooms with reverberation times of T60_RANGE."""
    rng = np.random.default_rng(seed)
    responses = np.zeros((count, int(LONG_SECONDS * rate)))
    for row in responses:
        size = rng.uniform((3, 3, 2.3), (9, 7, 3.5))
        t60 = float(np.exp(rng.uniform(*np.log(T60_RANGE))))
        walls = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
        absorption = 1 - np.exp(-0.161 * size.prod() / (walls * t60))  # Eyring's formula
        response = _images(size, float(np.clip(absorption, 0.03, 0.95)), rate, rng)[: row.size]
        row[: response.size] = response
        _add_tail(row, t60, rate, rng)
    return responses


def _add_tail(response: np.ndarray, t60: float, rate: int, rng: np.random.Generator) -> None:
    """Replace the late part of `response` (N,) by decaying noise of the same energy around the border, in place."""
    begin, full = int(TAIL_BEGIN * rate), int(TAIL_FULL * rate)
    spectrum = np.fft.rfft(rng.standard_normal(response.size))
    frequency = np.fft.rfftfreq(response.size, 1 / rate)
    seconds = np.arange(response.size) / rate
    tail, centers = np.zeros(response.size), [f for f, _ in T60_BANDS]
    for index, (_, share) in enumerate(T60_BANDS):  # overlapping bands that add up to the whole
        weight = np.interp(frequency, centers, np.eye(len(centers))[index])
        tail += np.fft.irfft(spectrum * weight, response.size) * 10 ** (-3 * seconds / (share * t60))
    around = slice(int(0.8 * begin), full)
    energy = lambda x: float(np.square(x[around]).sum())  # noqa: E731
    tail *= np.sqrt(energy(response) / max(energy(tail), 1e-20))
    rise = np.clip((np.arange(response.size) - begin) / (full - begin), 0, 1) * (np.pi / 2)
    response *= np.cos(rise)
    response += np.sin(rise) * tail


def _images(size: np.ndarray, absorption: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return the response (n,) of a room of `size` in meters, from the direct sound on."""
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise UsageError("simulating rooms needs pyroomacoustics", "pip install 'enhance-cli[train]'") from error
    room = pra.ShoeBox(size, fs=rate, materials=pra.Material(absorption), max_order=12)
    microphone = rng.uniform(0.5, size - 0.5)
    direction = rng.normal(size=3)
    source = microphone + direction / np.linalg.norm(direction) * rng.uniform(0.3, 3)
    room.add_source(np.clip(source, 0.3, size - 0.3))
    room.add_microphone(microphone)
    room.compute_rir()
    response = room.rir[0][0]
    return response[np.argmax(np.abs(response)) :]


def _fade(samples: int, rate: int) -> np.ndarray:
    """Return weights (samples,): 1 for the early part, then a 10 ms cosine fade to 0."""
    early, fade = int(EARLY_SECONDS * rate), int(0.01 * rate)
    window = np.zeros(samples)
    window[:early] = 1
    window[early : early + fade] = 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, fade))
    return window
