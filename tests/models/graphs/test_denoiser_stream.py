"""The shipped denoisers as streams: nothing depends on blocks, threads and company, and no frame is computed twice."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import enhance_cli
from enhance_cli.models import registry
from enhance_cli.models.graphs.denoiser_stream import CHUNK
from enhance_cli.models.graphs.packaged import load_denoiser_graphs
from enhance_cli.models.sampling import Sampling

RECORDING = Path(__file__).parents[2] / "audio_files" / "noisy_speech.flac"
REACH, HOP = 68, 256


def noisy_speech(samples: int) -> np.ndarray:
    audio, _ = soundfile.read(RECORDING, dtype="float32")
    return np.resize(audio, samples)


def changed(denoiser, audio: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Return the change to one channel (N,) that is pushed in blocks of these sizes, and then the rest."""
    stream, made, position = denoiser.open(), [], 0
    for size in sizes:
        made.append(stream.push(audio[None, position : position + size]))
        position += size
    made.append(stream.push(audio[None, position:], last=True))
    return np.concatenate(made, axis=1)[0]


@pytest.fixture(scope="module")
def model():
    return load_denoiser_graphs(registry.find("denoise-s", "denoise"), 1)


@pytest.mark.parametrize("steps, seconds", [(1, 6.0), (3, 8.0)])
def test_blocks_of_any_size_give_the_same_bits(model, steps, seconds):
    denoiser, audio = model.windowed(Sampling(steps)), noisy_speech(round(seconds * 16000) + 37)
    whole, rng = changed(denoiser, audio, []), np.random.default_rng(0)
    assert whole.shape == audio.shape and np.abs(whole).max() > 0.01
    for _ in range(3):
        assert np.array_equal(changed(denoiser, audio, rng.integers(0, 20_000, size=9).tolist()), whole)


@pytest.mark.parametrize("samples", [1, 255, 256, 257, (REACH + CHUNK) * HOP + 1, (REACH + CHUNK + 1) * HOP])
def test_every_length_has_its_change_at_the_place_where_windows_have_it(samples):
    """Windows, which torch computes, are another way to the same change."""
    audio = noisy_speech(samples)
    mine, windows = (
        enhance_cli.denoise(audio, 16000, model="denoise-s", device="cpu", runtime=runtime, steps=2)
        for runtime in ("onnx", "torch")
    )
    assert mine.shape == audio.shape and np.abs(mine - windows).max() < 1e-5


@pytest.mark.parametrize("steps", [1, 2])
def test_each_frame_is_computed_once_for_each_step(model, steps, monkeypatch):
    frames, run = [], model.graph.run
    monkeypatch.setattr(
        model.graph, "run", lambda outputs, inputs: frames.append(inputs["x"].shape[2]) or run(outputs, inputs)
    )
    changed(model.windowed(Sampling(steps)), noisy_speech(10 * 16000), [])
    assert sum(frames) == steps * (10 * 16000 // HOP + 1)
    assert max(frames) == CHUNK + REACH  # so that an hour takes no more memory than three seconds


@pytest.mark.parametrize("name", ["denoise-s", "denoise-48k"])
def test_channels_and_threads_do_not_change_a_bit(name):
    audio = np.stack([noisy_speech(5 * 16000), 0.3 * np.roll(noisy_speech(5 * 16000), 9000)])
    clean = lambda x, threads: enhance_cli.denoise(  # noqa: E731
        x, 16000, model=name, device="cpu", runtime="onnx", threads=threads
    )
    together = clean(audio, 1)
    assert np.array_equal(clean(audio, 2), together)
    for channel, cleaned in zip(audio, together):
        assert np.abs(clean(channel, 1) - cleaned).max() < 1e-6
