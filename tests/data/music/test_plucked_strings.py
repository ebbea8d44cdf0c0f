"""Modelled guitars and basses: in tune, dying away, unlike each other."""

import numpy as np
import pytest

from enhance_cli.data.music import plucked_strings

RATE = 22050


@pytest.mark.parametrize(("stem", "pitch"), [("bass", 38), ("guitar", 52), ("guitar", 76)])
def test_every_instrument_is_in_tune_and_dies_away(stem, pitch):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        strings = plucked_strings.draw(stem, rng)
        audio = plucked_strings.note(strings, pitch, RATE, rng)
        assert audio.dtype == np.float32 and np.isfinite(audio).all()
        fundamental = 440 * 2 ** ((pitch - 69) / 12)
        spectrum = np.abs(np.fft.rfft(audio[: 2 * RATE] * np.hanning(2 * RATE)))
        frequency = np.fft.rfftfreq(2 * RATE, 1 / RATE)
        loudest = frequency[spectrum.argmax()] / fundamental
        assert abs(loudest / max(1, round(loudest)) - 1) < 0.02, "the loudest partial is one of this note's"
        assert np.square(audio[-RATE:]).sum() < np.square(audio[:RATE]).sum()


@pytest.mark.slow
def test_a_whole_instrument_is_the_same_for_the_same_seed_only():
    one, again, other = (plucked_strings.notes("guitar", RATE, np.random.default_rng(n)) for n in (1, 1, 2))
    assert one.keys() == set(plucked_strings.RANGES["guitar"])
    assert all(np.array_equal(one[pitch], again[pitch]) for pitch in one)
    assert not any(np.allclose(one[pitch], other[pitch], atol=0.01) for pitch in one)
    assert all(abs(np.sqrt(np.mean(audio[: RATE // 2] ** 2)) - 0.1) < 1e-3 for audio in one.values())
