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
