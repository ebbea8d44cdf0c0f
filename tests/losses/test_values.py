"""The distances are what their formulas say, item by item, on batches whose items differ."""

import numpy as np
import pytest
import torch

from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.losses import DISTANCES, LOSSES
from enhance_cli.losses.hybrid_spectral import negative_si_snr
from enhance_cli.processes import PROCESSES
from enhance_cli.processes.brownian_bridge import BrownianBridge

FRONTEND = Frontend()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def waves(seed: int) -> torch.Tensor:
    """(3, 1, 4096): three items of very different loudness."""
    return draw(3, 1, 4096, seed=seed) * torch.tensor([1.0, 0.3, 0.1])[:, None, None]


def test_signal_to_noise_is_the_mean_over_items_of_the_log_ratio_of_their_powers():
    estimate, target = waves(0).double().numpy(), waves(1).double().numpy()
    error, power = (np.square(x).mean(axis=-1) + 0.01 for x in (estimate - target, target))
    found = DISTANCES["signal_to_noise"](torch.tensor(estimate), torch.tensor(target))
    assert float(found) == pytest.approx(np.log10(error / power).mean(), rel=1e-4)
    assert float(DISTANCES["signal_to_noise"](torch.zeros(2, 1, 4096), waves(1)[:2])) == pytest.approx(0, abs=1e-6)


def test_waveform_spectral_is_the_mean_difference_of_samples_and_of_bins_at_both_resolutions():
    estimate, target = waves(0), waves(1)
    error = (estimate - target)[:, 0]
    expected = float(error.abs().mean())
    for n_fft in (2048, 512):
        padded = np.pad(error.double().numpy(), ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        starts = range(0, padded.shape[1] - n_fft + 1, n_fft // 2)
        bins = [np.fft.rfft(padded[:, s : s + n_fft] * window) / np.sqrt(n_fft) for s in starts]
        expected += 0.5 * np.abs(bins).mean() / 2
    assert float(DISTANCES["waveform_spectral"](estimate, target)) == pytest.approx(expected, rel=1e-4)
    assert float(DISTANCES["waveform_spectral"](target, target)) < 2e-6


def test_scale_invariant_counts_every_item_that_plays_once_and_knows_its_floor():
    estimate, target = waves(0) + 2 * waves(1), waves(1)
    target[2] = 0
    values = []
    for e, t in zip(estimate[:2, 0].double(), target[:2, 0].double()):
        c = float((e * t).sum() ** 2 / (e.square().sum() * t.square().sum()))
        values.append(np.log10((1 - c + 1e-3) / (c + 1e-3)))
    assert float(DISTANCES["scale_invariant"](estimate, target)) == pytest.approx(np.mean(values), rel=1e-4)
    only = DISTANCES["scale_invariant"](estimate[:1], target[:1])
    assert float(only) == pytest.approx(values[0], rel=1e-4)
    assert float(DISTANCES["scale_invariant"](estimate, torch.zeros_like(target))) == 0


def test_si_snr_is_taken_of_every_item_by_itself():
    estimate, target = (waves(0) + waves(1))[:, 0], waves(1)[:, 0]
    values = []
    for e, t in zip(estimate.double(), target.double()):
        projection = (e @ t) / (t @ t) * t
        values.append(-np.log10(float(projection.square().sum() / (e - projection).square().sum())))
    assert float(negative_si_snr(estimate, target)) == pytest.approx(np.mean(values), rel=1e-4)
    quiet = 1e-2 * target / target.norm(dim=1, keepdim=True) * 64  # the sum of squares is 0.4, below one
    assert float(negative_si_snr(3 * quiet, quiet)) < -6


def test_hybrid_spectral_is_the_weighted_sum_of_magnitudes_spectra_and_si_snr():
    """By the waveforms: the front end's compression is undone and the exponent 0.3 taken here, in numpy."""
    first, second = ((0.1 * draw(2, 256 * 20, seed=seed)) for seed in (0, 1))
    estimate, target = (FRONTEND.analyze(wave) for wave in (first + second, first))

    def compressed(spectrum):
        plain = FRONTEND.expand(spectrum).double().numpy()
        whole = plain[:, 0] + 1j * plain[:, 1] if plain.shape[1:2] == (2,) else plain
        return np.abs(whole) ** 0.3, np.abs(whole) ** 0.3 * np.exp(1j * np.angle(whole))

    (a, b), (c, d) = compressed(estimate), compressed(target)
    expected = 70 * np.square(a - c).mean() + 30 * np.square(np.abs(b - d)).mean()
    expected += float(negative_si_snr(first + second, first))
    assert float(DISTANCES["hybrid_spectral"](estimate, target, FRONTEND)) == pytest.approx(expected, rel=1e-3)


def test_times_of_data_prediction_never_lie_beyond_the_noisy_end():
    times = []

    def estimate(x, t):
        times.extend(t.tolist())
        return x

    x0, y = draw(500, 2, 2, 2), draw(500, 2, 2, 2, seed=1)
    noise = lambda: torch.randn_like(y)
    LOSSES["data_prediction"](estimate, BrownianBridge(), x0, y, noise, lambda a, b: a.mean(), at_end=0.0)
    assert 0.02 <= min(times) < 0.05 and 0.95 < max(times) < 1
    times.clear()
    LOSSES["data_prediction"](estimate, BrownianBridge(), x0, y, noise, lambda a, b: a.mean(), at_end=1.0)
    assert set(times) == {1.0}


@pytest.mark.parametrize("near, last", [(0.0, 999), (1.0, 200)])
def test_cross_reconstruction_trains_every_time_up_to_the_last(near, last):
    times = []

    def estimate(x, t):
        times.extend(t.tolist())
        return x

    y = draw(20_000, 2)
    LOSSES["cross_reconstruction"](estimate, PROCESSES["ddpm"](), y, y, lambda: torch.zeros_like(y), near=near)
    assert set(times) == set(range(last + 1))


def test_the_perceptual_distance_leaves_out_silent_items_whichever_side_is_silent():
    pytest.importorskip("torch_pesq")
    wave, noise = 0.1 * draw(3, 16384), 0.03 * draw(3, 16384, seed=1)
    distance = lambda e, t: float(DISTANCES["perceptual"](FRONTEND.analyze(e), FRONTEND.analyze(t), FRONTEND))
    estimate, target = wave + noise, wave.clone()
    alone = distance(estimate[:1], target[:1])
    target[1], estimate[2] = 0, 0
    assert alone > 0 and distance(estimate, target) == pytest.approx(alone, rel=1e-4)
    assert distance(estimate[1:2], target[1:2]) == 0


def test_waveforms_that_are_equal_teach_nothing_and_break_nothing():
    """A silent stem that is found to be silent: the root of nothing has no slope, and one item would end the training."""
    estimate = torch.zeros(1, 4096, requires_grad=True)
    DISTANCES["waveform_spectral"](estimate, torch.zeros(1, 4096)).backward()
    assert torch.equal(estimate.grad, torch.zeros(1, 4096))


def test_the_power_of_half_precision_does_not_overflow():
    estimate, target = 300 * draw(2, 1, 64).half(), 300 * draw(2, 1, 64, seed=1).half()
    found = DISTANCES["signal_to_noise"](estimate, target)
    assert float(found) == pytest.approx(
        float(DISTANCES["signal_to_noise"](estimate.float(), target.float())), abs=1e-2
    )


def test_the_perceptual_distance_is_the_mean_of_what_the_package_says_at_16_khz_and_quiet_items_count():
    """The target comes first: what was added to it weighs more than what is missing of it."""
    package = pytest.importorskip("torch_pesq")
    target = 0.1 * draw(2, 16384) * torch.tensor([[1.0], [0.03]])
    estimate = target + 0.3 * target.abs().mean(1, keepdim=True) * draw(2, 16384, seed=1)
    spectra = [FRONTEND.analyze(wave) for wave in (estimate, target)]
    found = DISTANCES["perceptual"](*spectra, FRONTEND)
    estimate, target = (FRONTEND.synthesize(spectrum, 16384) for spectrum in spectra)  # but for the last bits
    own = package.PesqLoss(1.0, sample_rate=16000)
    values = own(target, estimate)
    assert float(found) == pytest.approx(float(values.mean()), rel=1e-3)
    assert float(values[0]) != pytest.approx(float(values[1]), rel=0.01)
    assert float(own(estimate, target).mean()) != pytest.approx(float(found), rel=0.01)
