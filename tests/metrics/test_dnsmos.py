"""DNSMOS must give the numbers of Microsoft's package speechmos 0.0.1.1; these were computed with it."""

import numpy as np
import pytest

from enhance_cli.errors import AudioError
from enhance_cli.metrics import load

pytestmark = pytest.mark.slow

score = load("dnsmos")


def test_equals_the_reference_package_on_clean_speech(clean):
    expected = {"ovrl": 3.318903, "sig": 3.620495, "bak": 4.049386, "p808": 3.953092}
    assert score(clean, clean, 16000) == pytest.approx(expected, abs=2e-4)


def test_equals_the_reference_package_on_noisy_speech(noisy):
    expected = {"ovrl": 1.978175, "sig": 3.296601, "bak": 1.929346, "p808": 2.481311}
    assert score(None, noisy, 16000) == pytest.approx(expected, abs=2e-4)


def test_equals_the_reference_package_on_silence_where_the_mel_floor_decides():
    expected = {"ovrl": 1.839863, "sig": 2.513565, "bak": 3.472424, "p808": 2.146801}
    assert score(None, np.zeros(160000, np.float32), 16000) == pytest.approx(expected, abs=2e-4)


def test_equals_the_reference_package_on_many_windows(clean, noisy):
    # 17.6 s: eight windows, of which the published scripts drop the last (see `_window_starts`).
    audio = np.concatenate([clean, noisy] * 3)
    expected = {"ovrl": 2.580770, "sig": 3.382156, "bak": 2.871116, "p808": 2.901964}
    assert score(None, audio, 16000) == pytest.approx(expected, abs=2e-4)


def test_what_it_is_not_defined_for_is_refused(clean):
    with pytest.raises(AudioError, match="8000 Hz"):
        score(None, clean, 8000)
    with pytest.raises(AudioError, match="empty"):
        score(None, clean[:0], 16000)
