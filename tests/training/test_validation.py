"""Scores of a validation: defined whatever a model puts out, and only where there is a voice to score."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from enhance_cli import load_model
from enhance_cli.errors import UsageError
from enhance_cli.models.sampling import Sampling
from enhance_cli.training.denoise.validation import SI_SDR_RANGE_DB, Validation, enhance, score_pairs


def test_a_silent_estimate_among_others_is_no_end_and_does_not_decide_the_mean(pairs_root):
    path = next((pairs_root / "valid" / "clean").iterdir())
    clean, rate = soundfile.read(path, dtype="float32")
    noisy, _ = soundfile.read(pairs_root / "valid" / "noisy" / path.name, dtype="float32")
    alone = score_pairs(clean[None], noisy[None], rate)
    scores = score_pairs(np.stack([clean, clean]), np.stack([noisy, np.zeros_like(noisy)]), rate)
    assert scores["si_sdr"] == pytest.approx((alone["si_sdr"] + SI_SDR_RANGE_DB[0]) / 2, abs=1e-3)
    assert scores.get("pesq") == alone.get("pesq")  # not defined for silence


def test_mixtures_without_a_voice_are_refused(tmp_path):
    noise = np.random.default_rng(0).standard_normal((2, 8000)).astype(np.float32)
    with pytest.raises(UsageError, match="no voice in any of the mixtures.*raise train.validation_items"):
        Validation(SimpleNamespace(), tmp_path, 0, noise, np.zeros_like(noise))


def test_a_mixture_without_noise_does_not_make_the_mean_infinite(pairs_root):
    path = next((pairs_root / "valid" / "clean").iterdir())
    clean, rate = soundfile.read(path, dtype="float32")
    assert score_pairs(clean[None], clean[None], rate)["si_sdr"] == SI_SDR_RANGE_DB[1]


def test_mixtures_are_denoised_as_files_are(identity_model, tiny_model):
    """By the same object: a model that changes nothing returns them to the bit, and an excerpt is that of a file."""
    noisy = 0.1 * np.random.default_rng(0).standard_normal((9, 8000)).astype(np.float32)
    unchanged = enhance(load_model(str(identity_model), device="cpu"), noisy)
    np.testing.assert_array_equal(unchanged, noisy)
    model = load_model(str(tiny_model), device="cpu")
    denoised = enhance(model, noisy)
    denoiser = model.windowed(Sampling())
    for mixture, estimate in zip(noisy, denoised):
        change = denoiser.changes([mixture[None]], [0], [np.ones((1, 1))])[0][0]
        np.testing.assert_allclose(estimate, mixture + change, atol=1e-6)
    assert np.abs(denoised - noisy).max() > 0.01
