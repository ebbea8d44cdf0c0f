"""The arithmetic around a model that makes a band: where it ends up, how loud it says it is, and what the model is told."""

from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.audio.spectra.band_edge import BandMeter
from enhance_cli.errors import UsageError
from enhance_cli.tasks.extend_bandwidth import BandwidthExtender
from enhance_cli.tasks.options import ExtendOptions
from enhance_cli.tasks.stream import measured

OWN_RATE, EDGE = 48000, 8000.0


def tone(frequency: float, rate: int, samples: int, start: int = 0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * (start + np.arange(samples)) / rate)


class Adding:
    """In place of a model: adds a tone of 15 kHz and .01, to the first channel alone, and remembers what it was told."""

    device = SimpleNamespace(type="cpu")
    rate, grid, reach = OWN_RATE, 480, 960
    spec = SimpleNamespace(
        network="adding",
        name="adding",
        window_seconds=1.0,
        choose=lambda steps, sampler: None,
        choose_guidance=lambda guidance: None,
    )

    def __init__(self):
        self.told = []

    def extender(self, seed):
        return self

    def windows_at_once(self, threads):
        return 1

    def check(self, edge):
        if edge > EDGE:
            raise UsageError("too high", "take another")

    def wide(self, audio, starts, edges, levels):
        self.told += list(zip(starts, edges, levels))
        made = [0.01 * tone(15000, OWN_RATE, x.shape[1], start) for x, start in zip(audio, starts)]
        return [x + np.stack([y, *[0 * y] * (len(x) - 1)]).astype(np.float32) for x, y in zip(audio, made)]


def extended(audio: np.ndarray, rate: int, cutoff: float | None = EDGE, block: int = 5000):
    level, model = measured(audio, rate), Adding()
    level.extra = BandMeter(rate, cutoff)
    level.extra.push(audio)
    blocks = (audio[:, n : n + block] for n in range(0, audio.shape[1], block))
    found = BandwidthExtender(model, ExtendOptions()).process(blocks, rate, len(audio), level)
    return np.concatenate(list(found), axis=1), level, model


@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_made_band_is_added_in_time_and_its_mean_power_is_told(rate):
    n = 3 * rate
    audio = np.stack([0.5 * tone(1000, rate, n), 0.25 * tone(500, rate, n)])
    found, level, model = extended(audio, rate)
    made, inside = found - audio, slice(rate // 4, -rate // 4)
    assert found.shape == audio.shape and found.dtype == audio.dtype
    np.testing.assert_allclose(made[0, inside], 0.01 * tone(15000, rate, n)[inside], atol=2e-4)
    assert np.abs(made[1, inside]).max() < 1e-5
    assert level.extra.made_power == pytest.approx(0.01**2 / 2 / 2, rel=0.05)  # of a sine, in one of two channels
    active = np.sqrt((0.5**2 + 0.25**2) / 2 / 2)
    for start, edge, told in model.told:
        assert edge == EDGE and told == pytest.approx(active, rel=1e-3) and start % 480 == 0
    assert len(model.told) == 3


def test_a_silent_channel_does_not_keep_another_from_its_band():
    audio = np.stack([0.5 * tone(1000, 48000, 96000), np.zeros(96000)])
    found, level, _ = extended(audio, 48000)
    assert np.abs(found - audio)[0, 24000:72000].max() == pytest.approx(0.01, rel=0.05)
    assert not found[1].any() and level.extra.made_power > 0


def test_full_bands_and_silence_pass_through_and_what_cannot_be_continued_is_refused():
    audio = np.random.default_rng(0).standard_normal((1, 48000))
    for given, cutoff in ((audio, None), (0 * audio, EDGE)):
        found, level, model = extended(given, 48000, cutoff)
        assert np.array_equal(found, given) and not model.told and level.extra.made_power == 0
    with pytest.raises(UsageError, match="too high"):
        extended(audio, 48000, 9000.0)


class Doubling(Adding):
    """In place of a model: adds the band below 2 kHz once more, at 14 kHz and above."""

    def wide(self, audio, starts, edges, levels):
        return [
            x + (x * tone(15000, OWN_RATE, x.shape[1], start)).astype(np.float32) for x, start in zip(audio, starts)
        ]


def test_a_clap_does_not_take_the_band_from_the_rest():
    """50 dB above sound that rises and falls as speech does, which beside it would be a pause, and held quiet."""
    t = np.arange(4 * OWN_RATE) / OWN_RATE
    wave = 0.002 * np.clip(np.sin(2 * np.pi * 4.2 * t), 0.05, None) * np.sin(2 * np.pi * 300 * t)
    clap = 0.6 * np.random.default_rng(1).standard_normal(OWN_RATE // 20)
    powers = []
    for audio in (wave, np.concatenate([wave, clap])):
        level, model = measured(audio[None], OWN_RATE), Doubling()
        level.extra = BandMeter(OWN_RATE, EDGE)
        level.extra.push(audio[None])
        found = BandwidthExtender(model, ExtendOptions()).process([audio[None]], OWN_RATE, 1, level)
        made = (np.concatenate(list(found), axis=1) - audio)[0, : 3 * OWN_RATE]
        powers.append(10 * np.log10(np.square(made).mean()))
    assert abs(powers[0] - powers[1]) < 1 and powers[0] > -70
