"""The crossover changes nothing below the edge, joins without a gap, and adds next to nothing in pauses."""

import numpy as np
import pytest

from enhance_cli.audio.spectra import crossover


def noise(channels: int, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, round(48000 * seconds))).astype(np.float32)


def band(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    spectrum = np.fft.rfft(audio * np.hanning(audio.shape[1]))
    frequencies = np.fft.rfftfreq(audio.shape[1], 1 / 48000)
    return np.abs(spectrum[:, (frequencies >= low) & (frequencies < high)])


@pytest.mark.parametrize("edge", [3400.0, 8000.0, 16000.0])
def test_below_the_edge_nothing_changes_and_above_it_the_other_signal_is_there(edge):
    low, wide = 0.1 * noise(1), 0.1 * noise(1, seed=1)
    out = low + crossover.joined(low, wide, edge, np.array([0.1]))
    level = lambda part: 20 * np.log10(np.linalg.norm(part))
    changed = level(band(out - low, 0, 0.95 * edge)) - level(band(low, 0, 0.95 * edge))
    missed = level(band(out - wide, edge, 24000)) - level(band(wide, edge, 24000))
    assert changed < -60 and missed < -60


def test_two_equal_signals_join_to_themselves():
    low = 0.1 * noise(2)
    assert np.abs(crossover.joined(low, low, 8000.0, np.array([0.1]))).max() < 1e-6


def test_a_band_above_pauses_adds_less_than_a_decibel_and_stays_where_there_is_sound():
    low, wide = 0.1 * noise(1, 2.0), 0.1 * noise(1, 2.0, seed=1)
    low[:, 24000:72000] *= 1e-3  # a pause, 60 dB down, above which the model goes on as before
    out = low + crossover.joined(low, wide, 4000.0, np.array([0.1]))
    power = lambda x, part: 10 * np.log10(np.square(x[:, part]).mean())
    pause, voice = slice(28000, 68000), slice(80000, 96000)
    assert 0 < power(out, pause) - power(low, pause) < 0.5
    assert power(out - low, voice) > power(0.1 * noise(1, 2.0), voice) - 2


def test_a_silent_channel_stays_silent():
    low, wide = 0.1 * noise(2), 0.1 * noise(2, seed=1)
    low[1] = 0
    joined = crossover.joined(low, wide, 8000.0, np.array([0.1]))
    assert not joined[1].any() and joined[0].any()


def test_an_attack_after_silence_has_its_band_from_its_beginning_and_not_before():
    low, wide = 0.1 * noise(1), 0.1 * noise(1, seed=1)
    low[:, :24000], wide[:, :24000] = 0, 0
    wide[:, 23040:24000] = 0.1 * noise(1)[:, :960]  # frames of a network spread an attack by 20 ms
    made = crossover.joined(low, wide, 8000.0, np.array([0.1]))
    power = lambda first, last: 10 * np.log10(np.square(made[:, first:last]).mean())
    assert power(24000, 24240) == pytest.approx(power(30000, 48000), abs=1.5)
    assert power(23040, 23760) < power(30000, 48000) - 40


@pytest.mark.parametrize("peak", [0.95, 3.0])
def test_the_sum_does_not_exceed_full_scale_or_the_peak_of_the_recording_by_much(peak):
    low, wide = noise(2), 0.3 * noise(2, seed=1)
    low *= peak / np.abs(low).max()
    wide[:, ::480] = 1.5 * peak  # pulses that would double the peak
    made = crossover.joined(low, wide + low, 8000.0, np.array([0.1]), peak=peak)
    assert np.abs(low + made).max() < 1.15 * max(1, peak)
    assert np.square(made).mean() > 0.1 * np.square(crossover.high_pass(wide, 8000.0)).mean()
