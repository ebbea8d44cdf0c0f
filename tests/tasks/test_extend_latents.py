"""Latent models over long recordings: memory does not grow, no seam is heard, and the own band knows nothing of windows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt

from enhance_cli.audio.spectra.band_edge import BandMeter
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec
from enhance_cli.networks.latent_extender import LatentExtender
from enhance_cli.tasks.extend_bandwidth import BandwidthExtender, ExtendOptions
from enhance_cli.tasks.stream import measured
from tests.models.latent_files import BIGVGAN, SIZES, parts

RATE, SECOND = 48000, 48000


@pytest.fixture(scope="module")
def model() -> Model:
    """FlashSR in small, with the weights of the formula."""
    network = LatentExtender(**SIZES, vocoder=BIGVGAN, scale=0.5)
    for name, weights in parts(BIGVGAN).items():
        getattr(network, name).load_state_dict(weights)
    spec = Spec(
        "tiny",
        "latent_extender",
        "ddpm",
        process_args={"beta_schedule": "cosine", "beta_max": 0.999},
        task="extend-bandwidth",
        frontend=None,
        prediction={"kind": "v"},
        samplers=("ddim",),
        sampler_args={"ddim": {"spacing": "trailing"}},
        max_steps=1,
        window_seconds=5.12,
        sample_rate=RATE,
        level=0.5,
    )
    return Model(spec, network.eval().requires_grad_(False), torch.device("cpu"))


@pytest.fixture(scope="module")
def hiss() -> np.ndarray:
    """Ten seconds of noise (1, N) up to 8 kHz, which can be repeated without a seam."""
    spectrum = np.fft.rfft(0.1 * np.random.default_rng(0).standard_normal((1, 10 * SECOND)))
    spectrum[:, 8000 * 10 :] = 0
    return np.fft.irfft(spectrum).astype(np.float32)


def extended(model: Model, hiss: np.ndarray, *, window: float | None = None, blocks: Iterator) -> Iterator[np.ndarray]:
    level = measured(hiss, RATE)
    level.extra = BandMeter(RATE, 8000.0)
    level.extra.push(hiss)
    extender = BandwidthExtender(model, ExtendOptions(window_seconds=window, threads=1, batch_size=1))
    return extender.process(blocks, RATE, 1, level)


def high(audio: np.ndarray) -> np.ndarray:
    return sosfilt(butter(8, 9500, "high", fs=RATE, output="sos"), audio)


def parts_of(audio: np.ndarray) -> tuple[float, float]:
    """Levels of ten seconds (N,) below .95 of the edge, and above the edge."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.linalg.norm(spectrum[: 7600 * 10])), float(np.linalg.norm(spectrum[9000 * 10 :]))


def memory() -> int:
    """Megabytes of this process."""
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_length_and_no_seam_is_heard(model, hiss):
    seconds, read = 24, 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal read
        for second in range(seconds):
            read += SECOND
            yield hiss[:, second % 10 * SECOND :][:, :SECOND]

    made, ahead, used = [], [], []
    for block in extended(model, hiss, blocks=blocks()):
        made.append(block)
        ahead.append(read - sum(one.shape[1] for one in made))
        used.append(memory())
    wide = np.concatenate(made, axis=1)[0]
    assert len(wide) == seconds * SECOND and max(ahead) < 12 * SECOND  # two windows of 5.12 s and a block
    third = len(used) // 3
    assert max(used[third:]) < max(used[:third]) + 100  # a window takes several times as much
    levels = 10 * np.log10(np.square(high(wide)[SECOND:-SECOND]).reshape(-1, SECOND // 10).mean(axis=1))
    assert np.abs(levels - np.median(levels)).max() < 1.5 and np.median(levels) > -60


@pytest.mark.slow
def test_other_windows_give_another_treble_and_the_same_band_below(model, hiss):
    one, other = (
        np.concatenate(list(extended(model, hiss, window=seconds, blocks=iter([hiss]))), axis=1)[0]
        for seconds in (5.12, 2.56)
    )
    changed, made = parts_of(one - other)
    own = parts_of(hiss[0])[0]
    assert changed < 1e-3 * own < made
    for audio in (one, other):
        assert parts_of(audio - hiss[0])[0] < 1e-3 * own
