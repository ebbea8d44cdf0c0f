"""The built-in voice activity on a real recording: it finds the voice, leaves out noise, and minds neither level nor cut."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.audio.levels.voice_activity import CONTEXT_SECONDS, voice_probability
from enhance_cli.audio.resample import resample

PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs"
RATE, HOP = 16000, 256


def read(side: str) -> np.ndarray:
    """All clips of one side, with a second of nothing after each."""
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted((PAIRS / side).glob("*.flac"))]
    return np.concatenate([np.pad(clip, (0, RATE)) for clip in clips])


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    audio = torch.from_numpy(read("clean"))[None]
    return 0.1 * audio / audio[audio.abs() > 0.01].square().mean().sqrt()


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return 0.02 * torch.randn(1, 4 * RATE, generator=random)


def loud(audio: torch.Tensor) -> torch.Tensor:
    """(1, N) -> (T,), where the clean speech is within 25 dB of its active level."""
    power = torch.nn.functional.avg_pool1d(audio.square(), 4 * HOP, HOP, 2 * HOP)[0]
    return power > power.square().sum() / power.sum() * 10**-2.5


def test_voices_are_found_in_noise(clean):
    noisy = clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    p, voiced = voice_probability(noisy, RATE, HOP)[0], loud(clean)
    assert p.shape == voiced.shape == (clean.shape[1] // HOP + 1,) and (p > 0).all() and (p < 1).all()
    assert ((p > 0.5) == voiced).float().mean() > 0.8
    assert p[voiced].mean() > 0.7 and p[~voiced].mean() < 0.35


@pytest.mark.parametrize("kind", ["noise", "silence", "rising noise"])
def test_what_is_no_voice_is_not_taken_for_one(noise, kind):
    audio = {"noise": noise, "silence": 0 * noise, "rising noise": noise * torch.linspace(0.1, 2, noise.shape[1])}[kind]
    assert voice_probability(audio, RATE, HOP).mean() < 0.3


def test_level_does_not_matter(clean, noise):
    noisy = clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    one, other = voice_probability(noisy, RATE, HOP), voice_probability(0.5 * noisy, RATE, HOP)
    assert (one - other).abs().max() < 0.02


def test_an_excerpt_gives_what_the_whole_gives(clean):
    context = int(CONTEXT_SECONDS * RATE) // HOP + 1
    whole = voice_probability(clean, RATE, HOP)[0]
    first, last = 100, 400
    part = voice_probability(clean[:, first * HOP : last * HOP], RATE, HOP)[0]
    torch.testing.assert_close(
        part[context:-context], whole[first + context : last + 1 - context], rtol=1e-3, atol=1e-4
    )


def test_the_rate_hardly_matters(clean):
    higher = torch.from_numpy(resample(clean.numpy(), RATE, 48000))
    difference = voice_probability(higher, 48000, 3 * HOP) - voice_probability(clean, RATE, HOP)
    assert difference.abs().mean() < 0.02
