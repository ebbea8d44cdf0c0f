"""PESQ of real speech: the top of its scale, its order, and what it cannot judge."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics import load

score = load("pesq")


def test_a_file_against_itself_scores_the_maximum(clean):
    assert score(clean, clean, 16000) == pytest.approx(4.644, abs=0.001)


def test_less_noise_scores_higher(clean, noisy):
    assert score(clean, noisy, 16000) == pytest.approx(1.139, abs=0.01)
    assert score(clean, 0.9 * clean + 0.1 * noisy, 16000) > 2.0


def test_what_it_is_not_defined_for_is_refused(clean):
    with pytest.raises(AudioError, match="no speech"):
        score(np.zeros(16000, np.float32), clean[:16000], 16000)
    for estimate in (np.zeros_like(clean), np.full_like(clean, np.nan)):
        with pytest.raises(AudioError, match="the estimate is digital silence, or not finite"):
            score(clean, estimate, 16000)
    with pytest.raises(AudioError, match="0.25 s"):
        score(clean[:2000], clean[:2000], 16000)
    with pytest.raises(AudioError, match="48000 Hz"):
        score(clean, clean, 48000)


@pytest.mark.slow
def test_a_long_recording_has_the_mean_of_its_pieces(clean, noisy):
    """The reference code alone crashes the process at more than 50 utterances."""
    word, bad_word, pause = clean[8000:24000], noisy[8000:24000], np.zeros(8000, np.float32)
    good, bad = (np.concatenate([one, pause] * 80) for one in (word, bad_word))
    once = score(good[: 20 * 16000], bad[: 20 * 16000], 16000)
    assert score(good, bad, 16000) == pytest.approx(once, abs=0.02)
    good, bad = good[: 39 * 16000], bad[: 39 * 16000]  # two pieces
    half = np.concatenate([good, np.zeros_like(bad)]), np.concatenate([bad, np.zeros_like(bad)])
    assert score(*half, 16000) == pytest.approx(once, abs=0.02), "pieces without speech must not count"
    lost = np.concatenate([good, good]), np.concatenate([bad, np.zeros_like(bad)])
    assert score(*lost, 16000) == pytest.approx((once + 1) / 2, abs=0.02), "speech that is missing must count"
