"""Extending bandwidth: what a model is told, how its windows are cut, what its last samples and its fades are."""

from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.audio.spectra import crossover
from enhance_cli.audio.spectra.band_edge import BandMeter
from enhance_cli.errors import UsageError
from enhance_cli.tasks.extend_bandwidth import FADE, LATENT_NETWORK, BandwidthExtender, windows_of
from enhance_cli.tasks.options import ExtendOptions
from enhance_cli.tasks.stream import measured
from enhance_cli.tasks.windows import WindowPlan
from tests.tasks.test_extend_parts import EDGE, OWN_RATE, Adding, tone
from tests.tasks.whole import extend_bandwidth as run

CROSSOVER = 2401 + 8 * 120  # samples that the crossover depends on


class Told(Adding):
    """Remembers the choices of the user."""

    def __init__(self, **fields):
        super().__init__()
        self.choices = {}
        choose = lambda steps, sampler: self.choices.update(steps=steps, sampler=sampler)
        guide = lambda guidance: self.choices.update(guidance=guidance)
        plain = dict(network="adding", name="adding", window_seconds=None, choose=choose, choose_guidance=guide)
        self.spec = SimpleNamespace(**plain | fields)

    def extender(self, seed):
        self.choices.update(seed=seed)
        return self


@pytest.mark.parametrize("asked, of_model, seconds", [(None, None, 2), (None, 3.0, 3), (1.0, 3.0, 1)])
def test_windows_hear_what_the_network_and_the_crossover_hear_and_steps_are_the_models_business(
    asked, of_model, seconds
):
    model = Told(window_seconds=of_model)
    _, plan = windows_of(model, ExtendOptions(window_seconds=asked, seed=7, steps=1, guidance=1.5))
    reach = -(-(model.reach + CROSSOVER) // 480) * 480
    assert crossover.reach_of_all() == CROSSOVER and plan == WindowPlan(seconds * OWN_RATE, reach, 0)
    assert model.choices == {"steps": 1, "sampler": None, "guidance": 1.5, "seed": 7}
    with pytest.raises(UsageError, match="adding takes no steps"):
        windows_of(model, ExtendOptions(spacing="uniform"))


class Latent(Told):
    """In place of a model of fixed windows: other noise in each of them."""

    grid = 480

    def __init__(self, window=245760, reach=0):
        super().__init__(network=LATENT_NETWORK)
        self.window, self.reach = window, reach

    def latent_windows(self, **settings):
        self.choices = settings
        return self

    def wide(self, audio, starts, edges, levels):
        self.told += list(zip(starts, [x.shape[1] for x in audio], levels))
        return [
            x + 0.01 * np.random.default_rng(s).standard_normal(x.shape).astype(np.float32)
            for x, s in zip(audio, starts)
        ]


@pytest.mark.parametrize("reach, around", [(0, CROSSOVER), (9600, 9600)])
def test_windows_of_one_length_overlap_by_a_fade_and_what_is_heard_around_it(reach, around):
    choices = dict(seed=3, steps=4, guidance=2.0, spacing="trailing", window_seconds=5.12)
    model = Latent(reach=reach)
    _, plan = windows_of(model, ExtendOptions(**choices))
    margin = -(-(15360 + around) // 480) * 480
    assert model.choices == choices and FADE == 15360
    assert plan == WindowPlan((245760 - 2 * margin) // 480 * 480, margin, 15360) and plan.whole <= 245760
    shortest = 2 * margin + 480
    assert windows_of(Latent(shortest, reach), ExtendOptions())[1].core == 480
    with pytest.raises(UsageError, match="window_seconds 0.7: too short"):
        windows_of(Latent(shortest - 1, reach), ExtendOptions(window_seconds=0.7))


def test_a_made_band_is_as_loud_between_two_windows_as_within_them():
    """Two draws of noise that fade linearly into each other have half the power in the middle."""
    model, rate = Latent(), OWN_RATE
    audio = 0.5 * tone(1000, rate, 12 * rate)[None]
    level = measured(audio, rate)
    level.extra = BandMeter(rate, EDGE)
    extender = BandwidthExtender(model, ExtendOptions())
    blocks = (audio[:, n : n + 48000] for n in range(0, audio.shape[1], 48000))
    made = np.concatenate(list(extender.process(blocks, rate, 1, level)), axis=1)[0] - audio[0]
    border, half = extender.plan.core, FADE // 3
    power = lambda middle: np.square(made[middle - half : middle + half]).mean()
    assert power(border) == pytest.approx(power(border // 2), rel=0.1) and power(border) > 1e-5


@pytest.mark.parametrize("rate", [44100, OWN_RATE])
def test_the_band_is_made_to_the_last_sample(rate):
    model = Adding()
    audio = 0.5 * tone(1000, rate, 100_000)[None]
    level = measured(audio, rate)
    level.extra = BandMeter(rate, EDGE)
    blocks = (audio[:, n : n + 7000] for n in range(0, audio.shape[1], 7000))
    made = (
        np.concatenate(list(BandwidthExtender(model, ExtendOptions()).process(blocks, rate, 1, level)), axis=1) - audio
    )
    assert made.shape == audio.shape
    assert np.abs(made[0, -600:-100]).max() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("rate", [44100, 96000])
def test_no_sample_is_lost_where_resampling_there_and_back_ends_early(rate):
    for samples in (1, 2, 3, 4999, 5000, 5001, 44101):
        audio = np.random.default_rng(0).uniform(-0.5, 0.5, (1, samples))
        level = measured(audio, rate)
        level.extra = BandMeter(rate, EDGE)
        found = list(BandwidthExtender(Adding(), ExtendOptions()).process(iter([audio]), rate, 1, level))
        assert sum(block.shape[1] for block in found) == samples


def test_a_recording_whose_band_was_not_measured_passes_through():
    audio = 0.5 * tone(1000, OWN_RATE, 9600)[None]
    found = list(
        BandwidthExtender(Adding(), ExtendOptions()).process(iter([audio]), OWN_RATE, 1, measured(audio, OWN_RATE))
    )
    assert len(found) == 1 and found[0] is audio


@pytest.mark.parametrize("rate, wide_rate", [(16000, 48000), (48000, 48000), (96000, 96000)])
def test_an_array_comes_back_at_48_khz_or_its_own_higher_rate(rate, wide_rate):
    model, samples = Adding(), 2 * rate
    audio = 0.5 * tone(1000, rate, samples)[None]
    found, found_rate = run(audio, rate, model, ExtendOptions(cutoff=7000.0))
    assert (found_rate, found.shape) == (wide_rate, (1, samples * wide_rate // rate))
    assert {edge for _, edge, _ in model.told} == {7000.0}
    inside = slice(wide_rate // 4, -wide_rate // 4)
    wanted = 0.5 * tone(1000, wide_rate, 2 * wide_rate) + 0.01 * tone(15000, wide_rate, 2 * wide_rate)
    np.testing.assert_allclose(found[0, inside], wanted[inside], atol=1e-3)


def test_without_a_cutoff_the_end_of_the_band_is_found_in_the_array():
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(6 * 16000))
    spectrum[4000 * 6 :] = 0
    model = Adding()
    run(0.1 * np.fft.irfft(spectrum)[None], 16000, model)
    assert model.told and all(edge == pytest.approx(4000, rel=0.05) for _, edge, _ in model.told)


@pytest.mark.parametrize("loud", [0.5, 0.01])
def test_in_pauses_the_made_band_is_held_below_the_level_of_the_recording(loud):
    """A model that makes as much in a pause as in speech would add hiss where there was none. A soft voice is no pause."""
    rate = OWN_RATE
    audio = loud * tone(1000, rate, 4 * rate)
    audio[2 * rate :] *= 1e-3
    level, model = measured(audio[None], rate), Adding()
    level.extra = BandMeter(rate, EDGE)
    made = (
        np.concatenate(
            list(BandwidthExtender(model, ExtendOptions()).process(iter([audio[None]]), rate, 1, level)), axis=1
        )[0]
        - audio
    )
    assert np.abs(made[rate // 2 : rate]).max() == pytest.approx(0.01, rel=0.05)
    assert np.abs(made[3 * rate : -rate // 4]).max() < 1e-4
