"""SI-SDR and log-spectral distance above 8 kHz against values worked out by hand."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics import load
from enhance_cli.metrics.high_band import band_pass, has_high_band

hf_si_sdr, hf_lsd = load("hf_si_sdr"), load("hf_lsd")
RATE = 48000
TIME = np.arange(2 * RATE) / RATE


def tone(frequency, rate=RATE):
    """Two seconds that fade in and out: a sudden start would be heard at all frequencies."""
    return np.hanning(2 * rate) * np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate)


@pytest.fixture
def hiss():
    return 0.1 * np.random.default_rng(0).standard_normal(TIME.size)


def test_a_disturbing_tone_counts_in_its_own_band_only():
    reference = tone(1000) + 0.1 * tone(10000)
    # In the band the tone at 12 kHz is a tenth as large as the wanted one: 20 dB. The loud one at 5 kHz is outside.
    estimate = reference + 0.01 * tone(12000) + tone(5000)
    assert hf_si_sdr(reference, estimate, RATE) == pytest.approx(20.0, abs=0.05)
    assert load("si_sdr")(reference, estimate, RATE) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    "frequency, gain", [(7900, -60), (8500, 0), (12000, 0), (15700, 0), (16300, -60), (20000, -60)]
)
def test_the_band_reaches_from_8200_to_16000_hz(frequency, gain):
    audio = tone(frequency)
    decibels = 10 * np.log10(np.sum(band_pass(audio, RATE) ** 2) / np.sum(audio**2))
    assert decibels == pytest.approx(0, abs=0.05) if gain == 0 else decibels < gain


def test_at_lower_rates_the_band_ends_at_half_the_rate():
    reference = tone(1000, 22050) + 0.1 * tone(10000, 22050)
    assert hf_si_sdr(reference, reference + 0.01 * tone(10500, 22050), 22050) == pytest.approx(20.0, abs=0.1)
    assert hf_lsd(reference, reference, 22050) == 0


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_a_gain_is_its_own_distance_in_db(hiss, gain):
    assert hf_lsd(hiss, gain * hiss, RATE) == pytest.approx(abs(20 * np.log10(gain)), abs=0.01)
    assert hf_si_sdr(hiss, gain * hiss, RATE) > 200


def test_half_of_the_bins_changed_by_6_db_is_a_root_mean_square(hiss):
    spectrum = np.fft.rfft(hiss)
    frequencies = np.fft.rfftfreq(hiss.size, 1 / RATE)
    spectrum[(frequencies > 12100) & (frequencies < 20000)] *= 2
    changed = np.fft.irfft(spectrum, hiss.size)
    assert hf_lsd(hiss, changed, RATE) == pytest.approx(6.0206 * np.sqrt(0.5), abs=0.05)


def test_frames_40_db_below_the_loudest_do_not_count(hiss):
    quiet = np.where(TIME < 1, hiss, 10 ** (-41 / 20) * hiss)
    estimate = np.where(TIME < 1.03, quiet, 5 * quiet)
    assert hf_lsd(quiet, estimate, RATE) == pytest.approx(0, abs=0.01)
    louder = np.where(TIME < 1, hiss, 10 ** (-38 / 20) * hiss)
    assert hf_lsd(louder, np.where(TIME < 1.03, louder, 5 * louder), RATE) > 5


def test_what_is_cut_off_is_as_far_as_the_floor(hiss):
    """Spectra of hiss of .1 have magnitudes near 2.5, and nothing has 1e-4: some 88 dB, less 2.5 dB as logarithms average."""
    assert hf_lsd(hiss, 0 * hiss, RATE) == pytest.approx(20 * np.log10(0.1 * np.sqrt(768) / 1e-4) - 2.5, abs=1)
    assert hf_si_sdr(hiss, 0 * hiss, RATE) == -np.inf


@pytest.mark.parametrize("rate, frequency", [(16000, 7000), (19200, 9000), (48000, 7000)])
@pytest.mark.parametrize("score", [hf_si_sdr, hf_lsd])
def test_without_anything_above_8_khz_it_is_not_defined(score, rate, frequency):
    audio = tone(frequency, rate)
    assert not has_high_band(audio, rate)
    name = "SI-SDR" if score is hf_si_sdr else "log-spectral distance"
    with pytest.raises(AudioError) as refused:
        score(audio, audio, rate)
    reason = f"the reference, at {rate} Hz, has nothing above 8 kHz"
    assert str(refused.value) == f"{name} above 8 kHz is not defined: {reason}"


def test_at_32_khz_the_band_ends_where_everything_does():
    reference = tone(1000, 32000) + 0.1 * tone(10000, 32000)
    assert hf_si_sdr(reference, reference + 0.01 * tone(12000, 32000), 32000) == pytest.approx(20.0, abs=0.1)


def test_less_than_a_ten_millionth_of_the_energy_is_no_band():
    for decibels, there in ((-69, True), (-71.5, False)):
        assert has_high_band(tone(1000) + 10 ** (decibels / 20) * tone(12000), RATE) is there


def test_20_khz_is_the_lowest_rate_with_a_high_band(hiss):
    assert has_high_band(hiss, 20000) and not has_high_band(hiss, 19999)


def test_the_distance_is_that_of_whole_frames_with_a_periodic_window(hiss):
    """Half a second of two draws of hiss, frame by frame. What follows the last whole frame does not count."""
    reference, estimate = hiss[:24000], hiss[24000:48000] * np.linspace(0.5, 2, 24000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    bins = slice(350, 683)  # 8203 to 15984 Hz
    values = []
    for start in range(0, 24000 - 2047, 1024):
        one, other = (np.abs(np.fft.rfft(window * x[start : start + 2048]))[bins] for x in (reference, estimate))
        values.append(np.sqrt(np.mean((20 * np.log10((other + 1e-4) / (one + 1e-4))) ** 2)))
    assert hf_lsd(reference, estimate, RATE) == pytest.approx(np.mean(values), rel=1e-9)
    changed = np.where(np.arange(3071) < 2048, 1, 5) * hiss[:3071]  # one sample less than two frames
    assert hf_lsd(hiss[:3071], changed, RATE) == 0
    assert hf_lsd(hiss[:3072], np.append(changed, 5 * hiss[3071]), RATE) > 1


def test_speech_that_was_16_khz_once_has_no_high_band_whatever_its_dither(clean):
    import soxr

    fast = soxr.resample(clean, 16000, RATE)
    stored = np.round(fast * 32768) / 32768
    assert not has_high_band(stored, RATE)
    assert has_high_band(stored + 1e-4 * np.sin(2 * np.pi * 12000 * np.arange(stored.size) / RATE), RATE)


def test_frames_count_by_all_that_is_heard_in_them_not_by_their_high_band(hiss):
    """Hiss after a voice 60 dB above it is a pause."""
    reference = hiss + np.where(TIME < 1, 100 * np.sin(2 * np.pi * 1000 * TIME), 0)
    assert hf_lsd(reference, np.where(TIME < 1.03, reference, 5 * reference), RATE) == pytest.approx(0, abs=0.01)


def test_a_recording_shorter_than_a_frame_is_one_frame(hiss):
    assert hf_lsd(hiss[:1500], 2 * hiss[:1500], RATE) == pytest.approx(6.02, abs=0.05)
