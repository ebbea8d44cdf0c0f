"""SI-SDR improvement and SDR by frames of stems, against values worked out by hand."""

import numpy as np
import pytest

from enhance_cli.metrics import frame_sdr, si_sdri

RATE = 1000
CHUNK = 11889  # samples of 11.889 s at this rate


def tones(seconds, *frequencies):
    """(K, N): sines of whole periods per second, so that any two differ and are orthogonal over whole seconds."""
    time = np.arange(int(seconds * RATE)) / RATE
    return np.stack([np.sin(2 * np.pi * f * time) for f in frequencies])


def test_improvement_of_an_estimate_with_a_tenth_of_the_disturbing_energy_is_10_db():
    bass, drums = stems = tones(4, 10, 50)
    # In the mix the other stem is as loud (0 dB); in the estimates a tenth of its energy is left (10 dB).
    estimates = np.stack([bass + np.sqrt(0.1) * drums, drums + np.sqrt(0.1) * bass])
    scores = si_sdri.score(bass + drums, stems, estimates, RATE)
    assert scores["msdm"] == scores["active"]
    assert np.concatenate(scores["active"]) == pytest.approx(10.0, abs=1e-6)


def test_gain_of_an_estimate_is_forgiven_by_si_sdr_and_not_by_sdr():
    (tone,) = tones(2, 10)
    other = tones(2, 30)[0]
    assert si_sdri.si_sdr(0.5 * (tone + 0.1 * other), tone) == pytest.approx(20.0, abs=1e-4)
    # Half the stem is missing: 10 log10(1 / 0.25).
    assert frame_sdr.score(tone, 0.5 * tone, RATE) == pytest.approx(6.0206, abs=1e-4)


def test_the_values_added_to_zeros_are_those_of_the_published_numbers():
    # <p, t> = 0, |t|^2 = 0: a = 1, target silent, so 10 log10(1e-8 / (|p|^2 + 1e-8)).
    assert si_sdri.si_sdr(np.full(100, 0.1), np.zeros(100)) == pytest.approx(-80.0, abs=1e-3)
    assert si_sdri.si_sdr(np.zeros(100), np.zeros(100)) == pytest.approx(0.0)


def test_a_chunk_has_five_windows_and_the_tail_behind_the_last_chunk_none():
    stems = tones(2.5 * CHUNK / RATE, 10, 50)
    found = si_sdri.windows(stems, RATE)
    starts = [0, 2000, 4000, 6000, 8000]
    assert [w.start for w in found] == starts + [CHUNK + s for s in starts]
    assert [w.stop - w.start for w in found[:5]] == [4000, 4000, 4000, 4000, CHUNK - 8000]


def test_windows_where_a_stem_alone_plays_and_chunks_that_are_mostly_silent_do_not_count():
    stems = tones(CHUNK / RATE, 10, 50, 70, 90)
    stems[1:, 6000:] = 0  # from 6 s on one stem alone
    assert [w.start for w in si_sdri.windows(stems, RATE)] == [0, 2000, 4000]
    stems[1:] = 0  # three of four silent
    assert si_sdri.windows(stems, RATE) == []


def test_silent_stems_count_in_one_mean_and_not_in_the_other():
    stems = tones(4, 10, 50, 70)
    stems[2] = 0
    estimates = stems.copy()
    estimates[2] += 1e-3 * stems[0]  # 60 dB below the mix's other stems: an energy ratio and nothing else
    scores = si_sdri.score(stems.sum(axis=0), stems, estimates, RATE)
    assert scores["active"][2] == [] and len(scores["msdm"][2]) == 1
    # Energies 2000e-6 against 4000, both over 1e-8.
    assert scores["msdm"][2][0] == pytest.approx(10 * np.log10(4000 / 2000e-6), abs=0.01)


@pytest.mark.parametrize("level, quiet", [(1.49e-5, True), (1.51e-5, False)])
def test_silence_is_measured_by_the_norm_over_the_number_of_samples(level, quiet):
    assert si_sdri.silent(np.full(400, level * 20)) is quiet  # norm = value sqrt(400), over 400 = value / 20


def test_median_of_frames_and_silent_frames_left_out():
    (tone,) = tones(4, 10)
    estimate = tone.copy()
    for second, part in enumerate((0.9, 0.5, 0.99)):  # 20, 6.02 and 40 dB
        estimate[second * RATE : (second + 1) * RATE] *= part
    tone[3 * RATE :] = 0
    assert frame_sdr.score(tone, estimate, RATE) == pytest.approx(20.0, abs=1e-6)
    assert np.isnan(frame_sdr.score(np.zeros(RATE), np.ones(RATE), RATE))


def test_frames_follow_each_other_from_the_first_sample_and_a_tail_is_no_frame():
    ones = np.ones(3 * RATE)
    estimate = np.repeat([0.9, 0.5, 0.99], RATE)  # 20, 6.02 and 40 dB
    assert frame_sdr.score(ones, estimate, RATE) == pytest.approx(20.0, abs=1e-9)
    assert frame_sdr.score(ones[: 2 * RATE], estimate[: 2 * RATE], RATE) == pytest.approx((20 + 6.0206) / 2, abs=1e-4)
    for tail in (500, RATE - 1):
        assert frame_sdr.score(ones[: RATE + tail], estimate[: RATE + tail], RATE) == pytest.approx(20.0, abs=1e-9)
    assert frame_sdr.score(ones[:500], estimate[:500], RATE) == pytest.approx(20.0)  # what is shorter is one frame
    assert frame_sdr.score(ones, ones, RATE) > 200


def test_an_estimate_as_quiet_as_the_value_that_is_added():
    quiet = np.full(4, 0.5e-4)  # its energy is 1e-8: the factor is 2e-8 / 2e-8, the value 2e-8 / 1e-8
    assert si_sdri.si_sdr(quiet, quiet) == pytest.approx(10 * np.log10(2), abs=1e-6)


def test_a_recording_shorter_than_a_chunk_is_one_from_its_beginning():
    for seconds in (1.5, 2.0, 3.0):
        assert si_sdri.windows(tones(seconds, 10, 50), RATE) == [slice(0, int(seconds * RATE))]
    almost_two = tones(2.5 * CHUNK / RATE, 10, 50)[:, : 2 * CHUNK - 1]
    assert {w.start for w in si_sdri.windows(almost_two, RATE)} == {0, 2000, 4000, 6000, 8000}


def test_a_chunk_counts_with_half_of_its_stems_and_one_that_does_not_is_no_end():
    stems = tones(2 * CHUNK / RATE + 0.01, 10, 50, 70, 90)
    stems[2:, CHUNK:] = 0  # half of them
    stems[1:, :CHUNK] = 0  # three of four
    assert [w.start for w in si_sdri.windows(stems, RATE)] == [CHUNK + s for s in (0, 2000, 4000, 6000, 8000)]


def test_a_window_is_active_where_the_stem_plays_whatever_the_estimate_does():
    """A stem that was not found at all counts, and one that was made out of nothing does not."""
    bass, drums, piano = stems = tones(4, 10, 50, 70)
    estimates = np.stack([0 * bass, drums, piano])
    assert [len(scores) for scores in si_sdri.score(stems.sum(0), stems, estimates, RATE)["active"]] == [1, 1, 1]
    stems, estimates = np.stack([0 * bass, drums, piano]), np.stack([bass, drums, piano])
    assert [len(scores) for scores in si_sdri.score(stems.sum(0), stems, estimates, RATE)["active"]] == [0, 1, 1]
