"""The spectrograms in NumPy are those of torch, for every window, compression, border and length."""

import numpy as np
import pytest
import torch

from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.audio.spectra.stft_numpy import NumpyFrontend


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_fft": 510, "hop": 128, "window": "hann", "exponent": 0.5, "scale": 0.15},
        {"n_fft": 512, "hop": 160, "window": "hann", "transform": "log", "scale": 1.0},
        {"n_fft": 512, "hop": 256, "pad_mode": "reflect"},
    ],
)
@pytest.mark.parametrize("samples", [100, 5120, 5003])
def test_both_ways_are_those_of_torch(settings, samples):
    wave = 0.1 * np.random.default_rng(0).standard_normal((3, samples)).astype(np.float32)
    wave[1, : samples // 2] = 0
    mine, torchs = NumpyFrontend(**settings), Frontend(**settings)
    spectrum, wanted = mine.analyze(wave), torchs.analyze(torch.from_numpy(wave))
    assert spectrum.dtype == np.float32 and spectrum.shape == wanted.shape
    np.testing.assert_allclose(spectrum, wanted.numpy(), atol=2e-5)
    back = mine.synthesize(spectrum, samples)
    assert back.dtype == np.float32 and back.shape == wave.shape
    if samples >= mine.n_fft:  # the last samples of a shorter one are in no frame
        covered = samples // mine.hop * mine.hop
        np.testing.assert_allclose(
            back[:, :covered], torchs.synthesize(wanted, samples).numpy()[:, :covered], atol=2e-5
        )
