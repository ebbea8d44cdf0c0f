"""Measures of a band that was made, against values worked out by hand."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics.made_band import FRAME, HOP, RATE, score

CUTOFF = 10000.0


@pytest.fixture
def hiss():
    return 0.1 * np.random.default_rng(0).standard_normal(RATE)


def louder(audio, gain, low, high=RATE):
    """`audio` with a gain between `low` and `high` Hz."""
    spectrum = np.fft.rfft(audio)
    frequencies = np.fft.rfftfreq(audio.size, 1 / RATE)
    spectrum[(frequencies >= low) & (frequencies < high)] *= gain
    return np.fft.irfft(spectrum, audio.size)


def measured(reference, estimate, low=None, cutoff=CUTOFF):
    return score(reference, estimate, reference if low is None else low, cutoff)


def test_a_gain_of_20_db_is_a_distance_of_2_unless_the_level_is_matched(hiss):
    found = measured(hiss, 10 * hiss)
    assert found["lsd"] == found["lsd_high"] == pytest.approx(2.0)
    assert found["level_error"] == pytest.approx(20.0) and found["lsd_matched"] == pytest.approx(0, abs=1e-6)
    assert "added" not in found  # there is no quiet frame
    assert measured(hiss, hiss) == {"lsd": 0, "lsd_high": 0, "lsd_matched": 0, "level_error": 0}


def test_below_the_cutoff_only_the_distance_of_the_whole_counts(hiss):
    found = measured(hiss, louder(hiss, 10, 0, CUTOFF - 300))
    assert found["lsd_high"] < 0.01 and found["level_error"] < 0.01
    assert found["lsd"] == pytest.approx(
        2 * np.sqrt((CUTOFF - 300) / (RATE / 2)), abs=0.02
    )  # a root mean square over bins


def test_the_distance_is_the_mean_of_the_frames_and_its_level_that_of_all_of_them(hiss):
    """Half of the time the band is 20 dB too loud: 2 and 0, or 1 and 1 once the mean of 1 is taken away."""
    half = np.where(np.arange(hiss.size) < hiss.size // 2, 10 * hiss, hiss)
    found = measured(hiss, half)
    assert found["lsd_high"] == pytest.approx(1.0, abs=0.05) and found["lsd_matched"] == pytest.approx(1.0, abs=0.05)


def tones(gains):
    """A second of tones {Hz: gain}, each at the middle of a bin."""
    time = np.arange(RATE) / RATE
    middle = lambda frequency: round(frequency * FRAME / RATE) * RATE / FRAME
    return sum(gain * np.sin(2 * np.pi * middle(frequency) * time) for frequency, gain in gains.items())


@pytest.mark.parametrize(
    "cutoff, thirds",
    [
        (10000.0, (11000, 14000, 18000)),  # from 10, 12.6 and 15.9 kHz
        (8000.0, (9000, 11000, 14000, 18000)),  # the last from 16 to 20 kHz is wide enough to count
        (9500.0, (10500, 13500, 17000)),  # the rest from 19 to 20 kHz is not
    ],
)
def test_the_level_error_is_the_mean_over_thirds_of_an_octave(cutoff, thirds):
    plain = dict.fromkeys((1000, *thirds, 19500), 0.1)
    for third in thirds:
        for gain in (10**0.5, 10**-0.5):
            found = measured(tones(plain), tones(plain | {third: 0.1 * gain}), cutoff=cutoff)["level_error"]
            if third != 18000 or cutoff == 9500:  # else it has another tone beside it
                assert found == pytest.approx(10 / len(thirds), abs=0.01)
            assert found > 0.5
    beyond = measured(tones(plain), tones(plain | {19500: 1.0}), cutoff=cutoff)["level_error"]
    assert beyond == pytest.approx(0, abs=0.01) if cutoff == 9500 else beyond > 1


def test_above_20_khz_no_level_counts(hiss):
    assert measured(hiss, louder(hiss, 10, 20300))["level_error"] < 0.05


def with_pause(hiss, frames, depth):
    """`hiss`, and as much of it as `frames` hold `depth` dB lower, with a frame between the two that is neither."""
    quiet = np.zeros(hiss.size, bool)
    quiet[hiss.size - (frames - 1) * HOP - FRAME :] = True
    return np.where(quiet, 10 ** (-depth / 20) * hiss, hiss), quiet


@pytest.mark.parametrize("gain, decibels", [(10, 20), (1, 0), (0.1, -20)])
def test_level_added_to_pauses_is_that_of_the_quiet_frames(hiss, gain, decibels):
    reference, quiet = with_pause(hiss, 40, 50)
    found = measured(reference, np.where(quiet, gain * reference, 3 * reference))["added"]
    assert found == pytest.approx(decibels, abs=0.01)


def test_added_level_is_compared_with_the_recording_before(hiss):
    reference, quiet = with_pause(hiss, 40, 50)
    assert measured(reference, reference, np.where(quiet, 0.1 * reference, reference))["added"] == pytest.approx(
        20, abs=0.01
    )
    assert "added" not in measured(reference, reference, np.where(quiet, 0, reference))  # more than nothing is no ratio


def test_frames_35_db_below_the_active_level_are_quiet_and_ten_of_them_are_enough(hiss):
    size = FRAME + HOP * 80
    for depth, quiet in ((36.5, True), (33.5, False)):
        assert ("added" in measured(*[with_pause(hiss[:size], 20, depth)[0]] * 2)) is quiet
    for frames, enough in ((10, True), (9, False)):
        assert ("added" in measured(*[with_pause(hiss[:size], frames, 50)[0]] * 2)) is enough


def test_spectra_are_of_windowed_frames(hiss):
    """A tone that ends between two bins leaks nothing worth a word into the band above."""
    tone = np.sin(2 * np.pi * 1011.0 * np.arange(RATE) / RATE)
    assert measured(tone + 1e-3 * hiss, 1e-3 * hiss)["lsd_high"] < 0.1


def test_silence_and_less_than_a_frame_are_refused(hiss):
    for reference in (0 * hiss, hiss[: FRAME - 1]):
        with pytest.raises(AudioError, match="nothing to score"):
            measured(reference, reference)
    assert measured(hiss[:FRAME], hiss[:FRAME])["lsd"] == 0


def test_the_band_begins_at_the_cutoff_itself(hiss):
    """60 Hz, three bins of 427, are 20 dB too loud."""
    assert measured(hiss, louder(hiss, 10, CUTOFF, CUTOFF + 60))["lsd_high"] == pytest.approx(
        2 * (3 / 427) ** 0.5, rel=0.3
    )


def test_the_level_is_matched_above_the_cutoff_whatever_happened_below(hiss):
    both = louder(louder(hiss, 10, 0, CUTOFF - 300), 3, CUTOFF - 300)
    assert measured(hiss, both)["lsd_matched"] < 0.01


def test_a_pause_is_where_the_reference_is_quiet_not_the_recording_before(hiss):
    """What a low-pass takes away of a hissing sound leaves no pause."""
    _, quiet = with_pause(hiss, 40, 50)
    assert "added" not in measured(hiss, hiss, np.where(quiet, 1e-3 * hiss, hiss))


def test_the_distance_is_that_of_whole_frames_with_a_periodic_window(hiss):
    reference, estimate = hiss[:20000], hiss[20000:40000] * np.linspace(0.5, 2, 20000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    values = []
    for start in range(0, 20000 - FRAME + 1, HOP):
        one, other = (np.abs(np.fft.rfft(window * x[start : start + FRAME])) ** 2 for x in (reference, estimate))
        values.append(np.sqrt(np.mean((np.log10(other) - np.log10(one)) ** 2)))
    assert measured(reference, estimate)["lsd"] == pytest.approx(np.mean(values), rel=1e-6)
