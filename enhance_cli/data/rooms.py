"""Simulated rooms: image-source impulse responses (pyroomacoustics), each with its early part as the target's room.

The direct sound lies at sample 0 of both, so convolving never shifts the target. Early means the direct path and the
reflections of the next 50 ms, which fuse with it in hearing.
"""

from pathlib import Path

import numpy as np

from enhance_cli.atomic import replace_file
from enhance_cli.errors import UsageError

EARLY_SECONDS = 0.05


def load(count: int, rate: int, cache: Path, seed: int = 0, log=print) -> tuple[np.ndarray, np.ndarray]:
    """(full, early), each float32 (count, samples), unit energy of the early part; simulated once per cache."""
    path = cache / f"rooms-{count}-{rate}-{seed}.npz"
    if not path.exists():
        log(f"simulating {count} rooms")
        full = simulate(count, rate, seed)
        early = full * _fade(full.shape[1], rate)
        scale = 1 / np.sqrt((early**2).sum(axis=1, keepdims=True))
        with replace_file(path) as file:
            np.savez(file, full=(full * scale).astype(np.float32), early=(early * scale).astype(np.float32))
    with np.load(path) as stored:
        return stored["full"], stored["early"]


def simulate(count: int, rate: int, seed: int, longest: float = 0.6) -> np.ndarray:
    """(count, longest * rate) impulse responses of random shoebox rooms, dry to live (wall
    absorption 0.7 to 0.15), speaker at 0.3 to 3 m."""
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise UsageError("simulating rooms needs pyroomacoustics", "pip install 'enhance-cli[train]'") from error
    rng = np.random.default_rng(seed)
    responses = np.zeros((count, int(longest * rate)))
    for row in responses:
        size = rng.uniform((3, 3, 2.3), (9, 7, 3.5))
        walls = pra.Material(float(rng.uniform(0.15, 0.7)))
        room = pra.ShoeBox(size, fs=rate, materials=walls, max_order=12)
        microphone = rng.uniform(0.5, size - 0.5)
        direction = rng.normal(size=3)
        source = microphone + direction / np.linalg.norm(direction) * rng.uniform(0.3, 3)
        room.add_source(np.clip(source, 0.3, size - 0.3))
        room.add_microphone(microphone)
        room.compute_rir()
        response = room.rir[0][0]
        response = response[np.argmax(np.abs(response)) :][: row.size]
        row[: response.size] = response
    return responses


def _fade(samples: int, rate: int) -> np.ndarray:
    """1 for the early part, then a 10 ms cosine fade to 0."""
    early, fade = int(EARLY_SECONDS * rate), int(0.01 * rate)
    window = np.zeros(samples)
    window[:early] = 1
    window[early : early + fade] = 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, fade))
    return window
