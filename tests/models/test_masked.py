"""Masked sampling: the known part stays, and the filling goes with it, on a toy problem and through a real network."""

import numpy as np
import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.load import load_file
from enhance_cli.models.masked import masked
from enhance_cli.models.registry import find
from enhance_cli.models.sampling import Sampling
from enhance_cli.models.windowed_inpainter import WindowedInpainter
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS

CORRELATION = 0.9
PAIRS = [
    ("ddim", "ddpm", {"beta_schedule": "cosine", "beta_max": 1.0}, {"eta": 1.0, "spacing": "trailing"}),
    ("bridge_sde", "brownian_bridge", {}, {}),
    ("predictor_corrector", "bbed", {}, {"corrector": "none", "start": 0.5}),
]


def second_of_two(sampler, name, process_args, settings, rounds=1, known=1.0, items=4000):
    """Samples of the second of two normal numbers whose correlation is 0.9, where the first is known."""
    process, generator = PROCESSES[name](**process_args), torch.Generator().manual_seed(0)
    y = torch.zeros(items, 2, dtype=torch.float64)
    covariance = torch.tensor([[1, CORRELATION], [CORRELATION, 1]], dtype=torch.float64)

    def estimate(x, t):
        a, b = process.coefficients(torch.as_tensor(t, dtype=torch.float64))
        spread = (process.std(torch.as_tensor(t, dtype=torch.float64)) * process.noise_scale) ** 2 + 1e-12
        gain = a * covariance @ torch.linalg.inv(a**2 * covariance + spread * torch.eye(2, dtype=torch.float64))
        return (x - b * y) @ gain.T

    noise = lambda: process.noise_scale * torch.randn(items, 2, generator=generator, dtype=torch.float64)
    hints = {"known": y + known, "mask": torch.tensor([[True, False]])}
    estimate = masked(estimate, process, y, **hints, noise=noise, rounds=rounds)
    result = SAMPLERS[sampler](estimate, process, y, 50, noise, **settings)
    return result


@pytest.mark.parametrize("pair", PAIRS, ids=[pair[0] for pair in PAIRS])
def test_the_filling_follows_the_known_part(pair):
    """The mean of the second is 0.9 times the first. More rounds come closer to it."""
    means = [float(second_of_two(*pair, rounds=rounds)[:, 1].mean()) for rounds in (1, 4)]
    assert 0.4 < means[0] < means[1] - 0.15 and means[1] == pytest.approx(CORRELATION, abs=0.15)
    assert float(second_of_two(*pair, known=-1.0)[:, 1].mean()) == pytest.approx(-means[0], abs=0.1)


@pytest.mark.parametrize("pair", PAIRS[:2], ids=[pair[0] for pair in PAIRS[:2]])
def test_samplers_that_end_clean_return_the_known_part(pair):
    assert (second_of_two(*pair, known=0.7)[:, 0] - 0.7).abs().max() < 2e-4  # a bridge ends at t = 1e-4


@pytest.fixture(scope="module")
def voice():
    seconds = np.arange(16384) / 16000
    wave = sum(np.sin(2 * np.pi * 140 * k * seconds) / k for k in range(1, 8))
    return (0.05 * np.stack([wave, 0.5 * wave])).astype(np.float32)


@pytest.fixture(scope="module")
def gap():
    missing = np.zeros(16384, bool)
    missing[6000:7000] = True
    return missing


def fill(path, voice, gap, **settings):
    inpainter = WindowedInpainter(load_file(path, torch.device("cpu")), Sampling(**settings))
    return inpainter.filled([voice, -voice], [gap, gap], [0, 4096], [2.0, 2.0])


@pytest.mark.parametrize("sampler", ["bridge_ode", "bridge_sde"])
def test_known_samples_stay_bit_for_bit_and_only_the_gap_is_made(tiny_model, voice, gap, sampler):
    holed = np.where(gap, np.float32(0), voice)
    first, second = fill(tiny_model, holed, gap, steps=3, sampler=sampler)
    assert np.array_equal(first[:, ~gap], voice[:, ~gap]) and np.array_equal(second[:, ~gap], -voice[:, ~gap])
    assert np.isfinite(first).all() and np.abs(first[:, gap]).max() > 1e-4


class Silencer(torch.nn.Module):
    """Estimates silence, and keeps the states that it is called with."""

    receptive_field = 0

    def forward(self, x, y, t, guide=None):
        self.seen = x
        return torch.zeros_like(x)


def test_the_network_is_led_by_the_known_frames_and_makes_the_others(tiny_model, gap):
    """At a third of the path the known frames hold all of the sound, those of the gap a third of the first filling."""
    model = load_file(tiny_model, torch.device("cpu"))
    model.network = Silencer()
    sound = np.random.default_rng(0).standard_normal((1, len(gap))).astype(np.float32)
    WindowedInpainter(model, Sampling(3, "bridge_sde")).filled([sound], [gap], [0], [1.0])
    whole = model.frontend.analyze(torch.from_numpy(sound))
    seen = lambda frames: float((model.network.seen * whole)[:, :, frames].sum() / whole[:, :, frames].square().sum())
    assert seen(slice(5, 22)) == pytest.approx(1, abs=0.1) == seen(slice(30, 60))
    assert seen(slice(25, 27)) == pytest.approx(1 / 3, abs=0.15)


def test_a_window_without_gaps_comes_back_untouched(tiny_model, voice, gap):
    assert np.array_equal(fill(tiny_model, voice, np.zeros_like(gap))[0], voice)


def test_the_seed_and_the_place_decide_the_filling(tiny_model, voice, gap):
    run = lambda **more: fill(tiny_model, voice, gap, steps=3, sampler="bridge_sde", **more)
    assert np.array_equal(run(seed=1)[0], run(seed=1)[0])
    assert not np.array_equal(run(seed=1)[0], run(seed=2)[0])
    inpainter = WindowedInpainter(load_file(tiny_model, torch.device("cpu")), Sampling(3, "bridge_sde", seed=1))
    alone = inpainter.filled([voice], [gap], [0], [2.0])[0]
    assert np.allclose(alone, run(seed=1)[0], atol=1e-6)


def test_models_that_do_not_sample_are_refused():
    model = load_file(find("deepfilternet3", "denoise").path, torch.device("cpu"))
    with pytest.raises(ModelError, match="deepfilternet3: a model for denoise, not for inpaint"):
        WindowedInpainter(model)
