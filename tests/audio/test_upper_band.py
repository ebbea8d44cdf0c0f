"""Noise above the band of a 16 kHz model, on real pairs at 48 kHz and on signals whose answer is known."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.resample import resample
from enhance_cli.audio.spectra.upper_band import UpperBand
from enhance_cli.metrics import load

PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs_48k"
EDGE = 8000
hf_si_sdr, hf_lsd = load("hf_si_sdr"), load("hf_lsd")


def pair(name: str, rate: int = 48000) -> tuple[np.ndarray, np.ndarray]:
    return tuple(resample(soundfile.read(PAIRS / k / f"{name}.flac")[0][None], 48000, rate) for k in ("clean", "noisy"))


def as_a_model_would(noisy: np.ndarray, cleaned: np.ndarray, rate: int) -> tuple[np.ndarray, ...]:
    """What lies above, the band of a model at 16 kHz, and the change that makes it `cleaned`, (C, N) each."""
    band, goal = (resample(resample(a, rate, 16000), 16000, rate) for a in (noisy, cleaned))
    return noisy - band, band, goal - band


def whole(rows: tuple[np.ndarray, ...], rate: int) -> np.ndarray:
    return UpperBand(rate, EDGE, len(rows[0])).push(*rows, last=True)


def test_two_real_recordings_become_better_by_both_measures():
    better = []
    for name in ("p228_restaurant", "p254_waterfall"):
        clean, noisy = pair(name)
        rows = as_a_model_would(noisy, clean, 48000)
        out = noisy + rows[2] + whole(rows, 48000)
        better.append([m(clean[0], out[0], 48000) - m(clean[0], noisy[0], 48000) for m in (hf_si_sdr, hf_lsd)])
    restaurant, waterfall = better  # clatter and voices have no steady noise floor, falling water is all of it
    assert restaurant[0] > 0 and restaurant[1] < 0.01
    assert waterfall[0] > 3 and waterfall[1] < -2


@pytest.mark.parametrize("rate", [22050, 24000, 44100, 96000, 192000])
def test_steady_noise_falls_in_pauses_at_any_rate(rate):
    """Noise alone, of which the model leaves nothing: all of it is a pause, above the band too."""
    noise = 0.05 * np.random.default_rng(0).standard_normal((1, 3 * rate)).astype(np.float32)
    rows = as_a_model_would(noise, 0 * noise, rate)
    out = rows[0] + whole(rows, rate)
    later = slice(rate, None)
    assert 10 * np.log10(np.mean(out[0, later] ** 2) / np.mean(rows[0][0, later] ** 2)) < -9


def test_hiss_stays_where_the_noise_has_no_treble():
    """A hum is added to the recording: what it holds above 8 kHz, hiss included, is its own."""
    clean, _ = pair("p228_restaurant")
    rumble = np.cumsum(np.random.default_rng(1).standard_normal(clean.shape), axis=1)
    rumble = resample(resample(rumble - rumble.mean(), 48000, 12000), 12000, 48000)
    noisy = clean + 0.05 * (rumble / rumble.std()).astype(np.float32)
    rows = as_a_model_would(noisy, clean, 48000)
    change = whole(rows, 48000)
    assert hf_si_sdr(clean[0], (noisy + rows[2] + change)[0], 48000) > 40
    assert hf_lsd(clean[0], (noisy + rows[2] + change)[0], 48000) < 0.3


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 192000])
@pytest.mark.parametrize("channels", [1, 3])
def test_where_the_model_changes_nothing_nothing_changes(rate, channels):
    noise = np.random.default_rng(2).standard_normal((channels, rate)).astype(np.float32)
    rows = as_a_model_would(noise, noise, rate)
    change = whole((rows[0], rows[1], 0 * noise), rate)
    assert change.shape == noise.shape and not change.any()


@pytest.mark.parametrize("rate", [44100, 48000])
def test_blocks_of_any_size_give_the_same_samples(rate):
    clean, noisy = (np.concatenate([a, 0.3 * a[:, ::-1]]) for a in pair("p254_waterfall", rate))
    rows = as_a_model_would(noisy, clean, rate)
    expected = whole(rows, rate)
    assert np.abs(expected).max() > 1e-3
    rng, upper, done, start = np.random.default_rng(3), UpperBand(rate, EDGE, 2), [], 0
    while start < noisy.shape[1]:
        end = start + int(rng.choice([1, 7, 500, 512, 5000, 40000]))
        done.append(upper.push(*(row[:, start:end] for row in rows), last=end >= noisy.shape[1]))
        start = end
    np.testing.assert_array_equal(np.concatenate(done, axis=1), expected)


def test_channels_do_not_hear_each_other():
    clean, noisy = (np.concatenate([a, np.roll(a, 9999)]) for a in pair("p228_restaurant"))
    rows = as_a_model_would(noisy, clean, 48000)
    alone = [whole(tuple(row[c : c + 1] for row in rows), 48000) for c in (0, 1)]
    np.testing.assert_array_equal(whole(rows, 48000), np.concatenate(alone))


def test_level_does_not_matter():
    clean, noisy = pair("p228_restaurant")
    rows = as_a_model_would(noisy, clean, 48000)
    loud = whole(rows, 48000)
    np.testing.assert_allclose(whole(tuple(row / 64 for row in rows), 48000) * 64, loud, atol=1e-3 * np.abs(loud).max())


def test_memory_does_not_grow_with_time():
    noise = np.random.default_rng(4).standard_normal((1, 48000)).astype(np.float32)
    rows, upper = as_a_model_would(noise, 0 * noise, 48000), UpperBand(48000, EDGE, 1)
    sizes = []
    for _ in range(40):
        upper.push(*rows)
        sizes.append(len(pickle.dumps(upper)))
    assert max(sizes[20:]) < 1.1 * max(sizes[:20])


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 513, 20000])
@pytest.mark.parametrize("kind", ["silence", "constant", "square"])
def test_strange_signals_stay_finite_and_of_their_length(samples, kind):
    signal = {"silence": np.zeros, "constant": np.ones, "square": lambda n: np.sign(np.sin(np.arange(n) * 0.3))}[kind]
    audio = signal(samples).astype(np.float32)[None]
    for change in (-audio, -0.5 * audio, 0 * audio):
        out = UpperBand(48000, EDGE, 1).push(audio, audio, change, last=True)
        assert out.shape == audio.shape and np.isfinite(out).all()


def test_it_needs_a_band_above_the_model():
    assert UpperBand.fits(22050, EDGE) and UpperBand.fits(96000, 24000)
    assert not UpperBand.fits(16000, EDGE) and not UpperBand.fits(48000, 24000)
