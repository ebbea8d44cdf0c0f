"""The K-weighting is that of SciPy's filter with the sections of pyloudnorm, at any rate and in blocks of any size."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pyloudnorm import IIRfilter
from scipy.signal import sosfilt

from enhance_cli.audio.levels.k_weighting import KWeighting

SPEECH, _ = soundfile.read(Path(__file__).parents[1] / "audio_files" / "noisy_speech.flac", frames=70_000)
NOISE = np.random.default_rng(0).standard_normal((2, 150_000))
SIGNALS = {
    "noise": NOISE,
    "speech": np.stack([SPEECH, 1e-3 * SPEECH[::-1]]),
    "offset": 1 + 0.01 * NOISE[:, :20_000],
    "silence": np.pad(NOISE[:, :1000], ((0, 0), (0, 70_000))),
}


def weighted(rate, x, sizes):
    """Return x weighted in blocks of these sizes, as often as needed."""
    edges = np.cumsum(np.resize(sizes, x.shape[1]))
    filtered = KWeighting(rate, len(x))
    return np.concatenate([filtered.push(block) for block in np.split(x, edges[edges < x.shape[1]], axis=1)], axis=1)


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS)
@pytest.mark.parametrize("rate", [8000, 44100, 48000, 192000])
@pytest.mark.parametrize("sizes", [[10**6], [4096], [1, 31, 33, 999], [0, 480]], ids=str)
def test_it_is_the_filter_of_scipy(signal, rate, sizes):
    shelf = IIRfilter(4.0, 1 / math.sqrt(2), 1500.0, rate, "high_shelf")
    high_pass = IIRfilter(0.0, 0.5, 38.0, rate, "high_pass")
    expected = sosfilt([[*part.b, *part.a] for part in (shelf, high_pass)], signal)
    np.testing.assert_allclose(weighted(rate, signal, sizes), expected, rtol=0, atol=1e-9 * np.abs(signal).max())


def test_silence_leaves_zeros_and_no_numbers_that_take_long():
    filtered = KWeighting(48000, 1)
    filtered.push(NOISE[:1, :1000])
    assert np.count_nonzero(filtered.push(np.zeros((1, 10_000))))
    for _ in range(10):
        after = filtered.push(np.zeros((1, 10_000)))
    assert not after.any()
