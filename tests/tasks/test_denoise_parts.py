"""The arithmetic around a denoising model: how loud it hears each channel, and the share of its change that counts."""

from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.tasks.denoise import Denoiser
from enhance_cli.tasks.options import DenoiseOptions
from enhance_cli.tasks.stream import measured
from tests.tasks.whole import denoise as run

RATE = 16000


class Silencer:
    """In place of a model: takes away all that it hears, and remembers how loud that was."""

    stream_network, process = None, object()
    device = SimpleNamespace(type="cpu")
    rate, hop, grid, reach, guide_reach, fills_up, steps = RATE, 256, 256, 512, 0, True, 1

    def __init__(self, normalise="level", level=0.07):
        self.spec = SimpleNamespace(
            normalise=normalise, level=level, sample_rate=RATE, window_seconds=None, converted=False
        )
        self.scales = []

    def windowed(self, sampling, **settings):
        return self

    def windows_at_once(self, threads):
        return 1

    def changes(self, windows, starts, scales):
        self.scales += [(start, np.broadcast_to(s, w.shape)) for start, s, w in zip(starts, scales, windows)]
        return [np.concatenate([-w, w]) for w in windows]


def signs(seconds: float, *levels: float) -> np.ndarray:
    """(C, N) of +-level, whose active level and peak are exactly these."""
    rng = np.random.default_rng(0)
    return np.array(levels)[:, None] * np.where(rng.random((len(levels), round(seconds * RATE))) < 0.5, -1.0, 1.0)


@pytest.mark.parametrize(
    "normalise, wanted", [("level", [0.07 / 0.5, 0.07 / 0.02]), ("peak", [2.0, 2.0]), ("none", [1.0, 1.0])]
)
def test_each_channel_is_heard_at_the_level_of_the_model_or_the_file_at_its_peak_or_as_it_is(normalise, wanted):
    """The first window begins with the file and is as long as the others, and all are heard alike."""
    model = Silencer(normalise)
    run(signs(12, 0.5, 0.02), RATE, model)
    assert [start for start, _ in model.scales][:2] == [0, 5 * RATE // 256 * 256]
    for _, scale in model.scales:
        np.testing.assert_allclose(scale, np.array(wanted)[:, None] * np.ones_like(scale), rtol=1e-6)


def test_a_silent_channel_beside_a_voice_is_heard_as_it_is():
    model = Silencer()
    run(signs(1, 0.5, 0.0), RATE, model)
    np.testing.assert_allclose([scale[:, 0] for _, scale in model.scales], [[0.14, 0.07]], rtol=1e-6)


def test_a_passage_far_below_is_heard_at_its_own_level_wherever_its_window_begins():
    audio, model = signs(30, 0.5), Silencer()
    audio *= np.clip(np.sin(np.arange(audio.shape[1]) * 2 * np.pi * 4 / RATE), 0.03, None)
    audio[:, 17 * RATE :] *= 0.01
    run(audio, RATE, model)
    heard = np.zeros(audio.shape[1])
    for start, scale in model.scales:
        heard[start : start + scale.shape[1]] = scale[0]
    loud, quiet = heard[16 * RATE], heard[18 * RATE]
    assert quiet / loud == pytest.approx(100, rel=0.2)
    (louder,) = np.nonzero(heard > (loud * quiet) ** 0.5)
    assert louder[0] / RATE == pytest.approx(17, abs=0.35) and louder[-1] == audio.shape[1] - 1
    assert louder.size == audio.shape[1] - louder[0]


@pytest.mark.parametrize(
    "strength, attenuation, left",
    [(1.0, None, 0.0), (0.8, None, 0.2), (1.0, 12.0, 10**-0.6), (0.5, 6.0, 1 - (1 - 10**-0.3) / 2)],
)
def test_strength_and_attenuation_leave_their_share_of_what_the_model_takes_away(strength, attenuation, left):
    audio = signs(2, 0.5, 0.1)
    found = run(audio, RATE, Silencer(), DenoiseOptions(strength=strength, max_attenuation=attenuation))
    np.testing.assert_allclose(found, left * audio, atol=1e-6)


@pytest.mark.parametrize("converted", [False, True])
def test_of_a_clip_below_60_ms_less_is_changed_but_by_a_published_model_all_as_by_its_program(converted):
    audio, model = signs(0.03, 0.5), Silencer()
    model.spec.converted = converted
    np.testing.assert_allclose(run(audio, RATE, model), (0 if converted else 0.5) * audio, atol=1e-6)


def test_without_a_share_or_a_step_or_a_sound_blocks_pass_through_untouched():
    blocks, audio = [np.ones((1, 10)), np.zeros((1, 5))], signs(1, 0.5)
    unsampled = Silencer()
    unsampled.steps = 0
    for denoiser, level in (
        (Denoiser(Silencer(), DenoiseOptions(strength=0)), measured(audio, RATE)),
        (Denoiser(unsampled), measured(audio, RATE)),
        (Denoiser(Silencer()), measured(0 * audio, RATE)),
    ):
        passed = list(denoiser.process(iter(blocks), RATE, 1, level))
        assert all(given is found for given, found in zip(blocks, passed, strict=True))
