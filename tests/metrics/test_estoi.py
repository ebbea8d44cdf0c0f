"""ESTOI of real speech: the top of its scale, its order, and what it cannot judge."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics import load

score = load("estoi")


def test_a_file_against_itself_is_fully_intelligible(clean):
    assert score(clean, clean, 16000) == pytest.approx(1.0, abs=1e-6)


def test_less_noise_scores_higher(clean, noisy):
    assert score(clean, noisy, 16000) == pytest.approx(0.567, abs=0.01)
    assert score(clean, 0.9 * clean + 0.1 * noisy, 16000) > 0.9


def test_too_little_speech_is_refused(clean):
    for short in (
        clean[20000:20100],
        clean[20000:24000],
        np.concatenate([clean[20000:24000], np.zeros(16000)]),
    ):
        with pytest.raises(AudioError, match="at least 0.4 s"):
            score(short, short, 16000)


def test_silent_reference_is_refused(clean):
    with pytest.raises(AudioError, match="silence"):
        score(np.zeros_like(clean), clean, 16000)
