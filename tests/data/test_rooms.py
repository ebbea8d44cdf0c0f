"""Rooms with tails: they decay as their reverberation time says, and the target's part of them is early."""

import numpy as np
import pytest

from enhance_cli.data import rooms

pytest.importorskip("pyroomacoustics")
RATE = 16000


def decay(response: np.ndarray) -> np.ndarray:
    """The level in dB of the energy that is still to come."""
    energy = np.cumsum(np.square(response[::-1]))[::-1]
    return 10 * np.log10(energy / energy[0] + 1e-12)


@pytest.fixture(scope="module")
def responses():
    return rooms.simulate_with_tails(12, RATE, seed=3)


def test_a_tail_falls_off_steadily_to_the_end_of_the_response(responses):
    for response in responses:
        level = decay(response)
        t60 = 3 * (np.argmax(level < -25) - np.argmax(level < -5)) / RATE
        assert 0.05 < t60 < 1.3
        late = level[int(0.1 * RATE) : int(0.3 * RATE)]
        assert np.ptp(np.diff(late[:: RATE // 20])) < 14, "it breaks off"


def test_some_rooms_are_dry_and_some_ring_on(responses):
    at_200_ms = [decay(response)[int(0.2 * RATE)] for response in responses]
    assert min(at_200_ms) < -35 and max(at_200_ms) > -22


def test_full_and_early_part_begin_alike_and_the_early_part_ends(tmp_path):
    full, early = rooms.load(3, RATE, tmp_path, seed=1, tails=True, log=lambda line: None)
    direct = slice(0, int(rooms.EARLY_SECONDS * RATE))
    np.testing.assert_array_equal(full[:, direct], early[:, direct])
    assert early.shape[1] < 0.07 * RATE < full.shape[1]
    np.testing.assert_allclose(np.square(early).sum(axis=1), 1, rtol=1e-3)
    again, _ = rooms.load(3, RATE, tmp_path, seed=1, tails=True, log=lambda line: None)
    np.testing.assert_array_equal(again, full)
