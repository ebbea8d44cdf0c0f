"""Denoising without files: timing, level, stereo image and sameness, however the audio is cut into windows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from enhance_cli.audio.levels.level import Meter
from enhance_cli.errors import UsageError
from enhance_cli.models.load import Model, load_file
from enhance_cli.tasks.denoise import DenoiseOptions, Denoiser
from tests.tasks.whole import denoise as run

LENGTHS = [1, 2, 255, 256, 257, 511, 12345, 16001]
RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]


@pytest.fixture(scope="module")
def identity(identity_model) -> Model:
    return load_file(identity_model, torch.device("cpu"))


@pytest.fixture(scope="module")
def tiny(tiny_model) -> Model:
    return load_file(tiny_model, torch.device("cpu"))


def speech(seconds: float, rate: int = 16000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(C, N) of something with pauses, pitch and noise, a different one in every channel."""
    random = np.random.default_rng(seed)
    n = round(seconds * rate)
    t = np.arange(n) / rate
    loud = np.clip(np.sin(2 * np.pi * 0.7 * t) + 0.3, 0, None)
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    return np.stack([0.1 * loud * voice + 0.02 * random.standard_normal(n) for _ in range(channels)]).astype(np.float32)


def decibels(ratio) -> float:
    return float(20 * np.log10(ratio))


# --- what a model leaves alone comes back as it was ---------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_model_that_changes_nothing_returns_every_sample(identity, rate, channels):
    for n in LENGTHS if rate in (16000, 44100) and channels < 6 else [1, 257, 4999]:
        audio = speech(n / rate, rate, channels)
        np.testing.assert_array_equal(run(audio, rate, identity), audio)


@pytest.mark.parametrize("sampler", ["bridge_ode", "bridge_sde"])
def test_neither_steps_nor_windows_nor_blocks_shift_or_scale_anything(identity, sampler):
    audio = speech(2.0, 22050, 2)
    denoiser = Denoiser(identity, DenoiseOptions(steps=3, sampler=sampler, batch_size=4, window_seconds=0.5))
    blocks = np.split(audio, [1, 2, 1000, 1001, 30000], axis=1)
    out = list(denoiser.process(iter(blocks), 22050, 2, measured(audio, 22050)))
    np.testing.assert_array_equal(np.concatenate(out, axis=1), audio)


def measured(audio: np.ndarray, rate: int) -> Meter:
    meter = Meter(rate, audio.shape[0])
    meter.push(audio)
    return meter


@pytest.mark.parametrize("rate", RATES)
def test_a_model_that_changes_everything_still_returns_every_length(tiny, rate):
    for n in (1, 257, rate // 20 + 1, rate // 3 + 7):
        out = run(speech(n / rate, rate), rate, tiny)
        assert out.shape == (1, n) and np.isfinite(out).all() and out.dtype == np.float32


def test_double_precision_input_is_not_rounded(identity):
    audio = speech(0.3).astype(np.float64) * (1 + 1e-12)
    np.testing.assert_array_equal(run(audio, 16000, identity), audio)


# --- windows, batches and seeds -----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize(("sampler", "steps"), [("bridge_ode", 1), ("bridge_ode", 3), ("bridge_sde", 3)])
def test_in_windows_is_as_whole(tiny, sampler, steps, rate):
    audio = speech(4.13, rate, 2)
    options = DenoiseOptions(steps=steps, sampler=sampler)
    whole = run(audio, rate, tiny, options)
    assert np.abs(whole - audio).max() > 0.05, "this model was to change something"
    in_windows = replace(options, window_seconds=0.25)
    np.testing.assert_allclose(run(audio, rate, tiny, in_windows), whole, atol=1e-5)


def test_there_are_no_seams(tiny):
    """A steady tone is treated steadily: no step at a join is larger than the tone's own steps."""
    audio = (0.3 * np.sin(2 * np.pi * 220 * np.arange(48000) / 16000)).astype(np.float32)[None]
    steps = np.abs(np.diff(run(audio, 16000, tiny, DenoiseOptions(window_seconds=0.3))[0, 4000:-4000]))
    core = int(0.3 * 16000) // 256 * 256
    joins = np.array([k * core - 4000 + i for k in range(1, 9) for i in (-2, -1, 0, 1)])
    assert steps[joins].max() <= np.delete(steps, joins).max() * 1.0001


@pytest.mark.parametrize("sampler", ["bridge_ode", "bridge_sde"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_batch_size_changes_nothing(tiny, sampler, channels):
    audio = speech(3.0, 16000, channels)
    options = DenoiseOptions(steps=2, sampler=sampler, window_seconds=0.25)
    one, eight = (run(audio, 16000, tiny, replace(options, batch_size=size)) for size in (1, 8))
    np.testing.assert_array_equal(eight, one)


def test_the_seed_decides_and_nothing_else_does(tiny):
    audio = speech(1.0)
    first, again, other = (
        run(audio, 16000, tiny, DenoiseOptions(steps=2, sampler="bridge_sde", seed=seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    ode = [run(audio, 16000, tiny, DenoiseOptions(steps=2, seed=seed)) for seed in (1, 2)]
    np.testing.assert_array_equal(*ode)


def test_what_comes_later_does_not_change_what_came_before(tiny):
    """The noise belongs to its place in the file: an excerpt from the beginning sounds as the beginning did."""
    audio = speech(3.0)
    options = DenoiseOptions(steps=2, sampler="bridge_sde")
    level = measured(audio, 16000)
    outs = [
        np.concatenate(list(Denoiser(tiny, options).process(iter([part]), 16000, 1, level)), axis=1)
        for part in (audio, audio[:, :24000])
    ]
    np.testing.assert_allclose(outs[1][:, :16000], outs[0][:, :16000], atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_all_that_can_be_asked_together_keeps_shape_and_is_finite(tiny, rate):
    options = DenoiseOptions(2, "bridge_sde", 3, strength=0.7, max_attenuation=12, full_band=False, batch_size=3)
    audio = speech(0.5, rate, 2)
    out = run(audio, rate, tiny, options)
    assert out.shape == audio.shape and np.isfinite(out).all()


# --- strength -----------------------------------------------------------------------------------------------


def test_strength_zero_is_the_input_and_between_lies_the_mixture(tiny):
    audio = speech(1.0, 44100, 2)
    full, half, none = (run(audio, 44100, tiny, DenoiseOptions(strength=s)) for s in (1, 0.5, 0))
    np.testing.assert_array_equal(none, audio)
    np.testing.assert_allclose(half, (full + audio) / 2, atol=1e-6)


def test_max_attenuation_leaves_that_much_of_the_input(tiny):
    audio = speech(1.0)
    full = run(audio, 16000, tiny)
    for limit in (0, 6, 20):
        kept = 10 ** (-limit / 20)
        out = run(audio, 16000, tiny, DenoiseOptions(max_attenuation=limit))
        np.testing.assert_allclose(out, kept * audio + (1 - kept) * full, atol=1e-6)
    np.testing.assert_array_equal(run(audio, 16000, tiny, DenoiseOptions(max_attenuation=0)), audio)


# --- level --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.1, 0.003, 10.0])
def test_a_louder_or_softer_input_gives_the_same_result_louder_or_softer(tiny, factor):
    audio = speech(2.0)
    reference = run(audio, 16000, tiny)
    out = run((audio * np.float32(factor)), 16000, tiny) / factor
    assert np.abs(out - reference).max() < 1e-4 * np.abs(reference).max()


def test_an_offset_beside_quiet_sound_stays_and_changes_nothing_else(tiny):
    audio, offset = 0.003 * speech(2.0, channels=2), np.array([[0.1], [0]], np.float32)
    audio -= audio.mean(axis=1, keepdims=True)
    reference = run(audio, 16000, tiny)
    assert np.abs(run(audio + offset, 16000, tiny) - offset - reference).max() < 1e-3 * np.abs(reference).max()


@pytest.mark.parametrize("rate", [16000, 48000])
def test_silence_stays_silence(tiny, rate):
    audio = np.zeros((2, rate), np.float32)
    np.testing.assert_array_equal(run(audio, rate, tiny), audio)


def test_a_silent_channel_and_a_silent_stretch_stay_finite(tiny):
    audio = speech(3.0, 16000, 2)
    audio[1] = 0
    audio[0, 16000:32000] = 0
    assert np.isfinite(run(audio, 16000, tiny)).all()


# --- channels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["bridge_ode", "bridge_sde"])
def test_equal_channels_stay_equal(tiny, sampler):
    audio = np.repeat(speech(1.5, 44100), 2, axis=0)
    out = run(audio, 44100, tiny, DenoiseOptions(steps=2, sampler=sampler))
    np.testing.assert_array_equal(out[0], out[1])


@pytest.mark.parametrize("factor", [0.5, 0.03, 20.0])
def test_a_source_keeps_its_place_between_the_channels(tiny, factor):
    one = speech(1.5, 22050)
    out = run(np.concatenate([one, np.float32(factor) * one]), 22050, tiny)
    assert np.abs(out[1] / factor - out[0]).max() < 1e-4 * np.abs(out[0]).max()


def test_channels_do_not_leak_into_each_other(tiny):
    audio = speech(1.0, 16000, 2)
    changed = audio.copy()
    changed[1] = np.roll(changed[1], 1000)  # another signal of the same level
    level = measured(audio, 16000)
    first, second = (
        np.concatenate(list(Denoiser(tiny).process(iter([a]), 16000, 2, level)), axis=1) for a in (audio, changed)
    )
    np.testing.assert_allclose(first[0], second[0], atol=1e-6)


# --- above the model's band ---------------------------------------------------------------------------------


def in_band(audio: np.ndarray, rate: int, low: float, high: float = np.inf) -> float:
    """RMS (of no particular scale) of what lies between two frequencies."""
    spectrum = np.abs(np.fft.rfft(audio[0] * np.hanning(audio.shape[1])))
    frequency = np.fft.rfftfreq(audio.shape[1], 1 / rate)
    return float(np.sqrt((spectrum[(frequency >= low) & (frequency < high)] ** 2).sum()))


def test_content_above_the_band_is_passed_on_or_cut(identity):
    audio = speech(1.0, 48000)  # its noise reaches up to 24 kHz
    kept, cut = (run(audio, 48000, identity, DenoiseOptions(full_band=full)) for full in (True, False))
    np.testing.assert_array_equal(kept, audio)
    assert decibels(in_band(cut, 48000, 9000) / in_band(audio, 48000, 9000)) < -60
    assert decibels(in_band(cut, 48000, 0, 7000) / in_band(audio, 48000, 0, 7000)) == pytest.approx(0, abs=0.01)


def test_noise_above_the_band_goes_where_the_model_takes_it_away_and_not_where_it_does_not(tiny):
    """Networks that take 24 and 3 dB away everywhere: one hears noise alone, the other a voice."""
    audio = (0.05 * np.random.default_rng(0).standard_normal((1, 3 * 48000))).astype(np.float32)
    taken = {}
    for factor in (4, 2**0.25):  # of magnitudes to the power 0.5
        quieter = Model(tiny.spec, tiny.network, tiny.device)
        quieter.bind = lambda y, factor=factor: (y, lambda x, t: y / factor)
        out = run(audio, 48000, quieter)[:, 48000:]
        bands = ((0, 7000), (7300, 7900), (9000, 24000))
        taken[factor] = [decibels(in_band(out, 48000, *b) / in_band(audio[:, 48000:], 48000, *b)) for b in bands]
    assert taken[4][:2] == [pytest.approx(-24.1, abs=0.2), pytest.approx(-24.1, abs=1.0)]
    assert taken[4][2] < -9
    assert taken[2**0.25] == [pytest.approx(-3.0, abs=0.1), pytest.approx(-3.0, abs=0.2), pytest.approx(0, abs=0.01)]


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "takes 1 to 5 steps"),
        ({"steps": 1000}, "takes 1 to 5 steps"),
        ({"sampler": "euler"}, "does not run with it: choose from bridge_ode, bridge_sde"),
    ],
)
def test_steps_and_samplers_the_model_does_not_have_are_refused(tiny, options, message):
    with pytest.raises(UsageError, match=message):
        Denoiser(tiny, DenoiseOptions(**options))
