"""The losses: zero for a perfect estimate, finite everywhere, and gradients only where they should flow."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli import metrics
from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.losses import DISTANCES, LOSSES
from enhance_cli.losses.hybrid_spectral import negative_si_snr
from enhance_cli.processes import PROCESSES
from enhance_cli.processes.brownian_bridge import BrownianBridge
from enhance_cli.samplers.bridge_ode import sample

FRONTEND = Frontend()
PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs"


OF_WAVEFORMS = {"scale_invariant", "signal_to_noise", "waveform_spectral"}


def waves(seed: int, batch: int = 3) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 16384, generator=torch.Generator().manual_seed(seed))


def spectra(seed: int, batch: int = 3) -> torch.Tensor:
    return FRONTEND.analyze(waves(seed, batch))


def test_si_snr_is_the_textbook_value_whatever_the_scale():
    target = torch.sin(torch.arange(1000) / 7.0)[None]
    noise = torch.cos(torch.arange(1000) / 3.0)[None]
    noise = noise - (noise * target).sum() / target.square().sum() * target
    noise = noise * (target.norm() / noise.norm()) * 10 ** (-15 / 20)
    assert float(negative_si_snr(3 * (target + noise), target)) == pytest.approx(-1.5, abs=1e-3)


@pytest.mark.parametrize("name", list(DISTANCES))
def test_distance_is_smallest_at_the_target_and_finite_for_silence(name):
    distance = partial(DISTANCES[name], frontend=FRONTEND)
    draw = waves if name in OF_WAVEFORMS else spectra
    target = draw(0)
    near, far = distance(target + 0.01 * draw(1), target), distance(target + 0.3 * draw(1), target)
    assert distance(target, target) < near < far
    for estimate, silent in ((torch.zeros_like(target), target), (target, torch.zeros_like(target))):
        estimate = estimate.clone().requires_grad_()
        value = distance(estimate, silent)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(estimate.grad).all()


@pytest.mark.parametrize("name", list(LOSSES))
def test_loss_reaches_the_network(name):
    weight = torch.ones(1, requires_grad=True)
    constant = lambda x, t: 0.3 * x
    extras = {
        "reverse_process": {"sample": sample, "steps": 3},
        "consistency": {"teacher": constant, "average": constant},
    }
    extra, y = extras.get(name, {}), spectra(1)
    loss = LOSSES[name](
        lambda x, t: weight * 0.5 * (x + y), BrownianBridge(), spectra(0), y, lambda: torch.randn_like(y),
        partial(DISTANCES["hybrid_spectral"], frontend=FRONTEND), **extra,
    )  # fmt: skip
    loss.backward()
    assert torch.isfinite(loss) and weight.grad.abs() > 0


def test_reverse_process_backpropagates_through_the_last_call_only(monkeypatch):
    monkeypatch.setattr("enhance_cli.losses.reverse_process.random.randint", lambda low, high: high)
    tracked = []

    def estimate(x, t):
        tracked.append((float(t), torch.is_grad_enabled(), x.requires_grad))
        return spectra(1) * torch.ones(1, requires_grad=True)

    LOSSES["reverse_process"](
        estimate, BrownianBridge(), spectra(0), spectra(1), None, lambda a, b: (a - b).square().mean(), sample, steps=3
    )
    assert [(grad, inputs) for _, grad, inputs in tracked] == [(False, False), (False, False), (True, False)]


def test_front_end_is_its_own_inverse_and_recompresses_exactly():
    wave = 0.1 * torch.randn(2, 5000, generator=torch.Generator().manual_seed(0))
    spectrum = FRONTEND.analyze(wave)
    assert spectrum.shape == (2, 2, 5000 // 256 + 1, 257)
    padded = FRONTEND.synthesize(FRONTEND.analyze(torch.nn.functional.pad(wave, (0, 120))), 5000)
    assert torch.allclose(padded, wave, atol=1e-6)
    magnitude, same = FRONTEND.recompress(spectrum, 0.5)
    assert torch.allclose(same * FRONTEND.scale, spectrum, atol=1e-5)
    assert torch.allclose(magnitude[:, 0], same.square().sum(1).sqrt(), atol=1e-3)


@pytest.mark.parametrize("process", ["brownian_bridge", "ouve", "schroedinger_bridge_ve", "flow_matching"])
def test_consistency_asks_the_average_one_step_further_on_the_teachers_path(process):
    """With teacher and average that know the truth, the student is compared with the truth, wherever on the path it is."""
    process, (x0, y) = PROCESSES[process](), (spectra(0), spectra(1))
    asked = []

    def average(x, t):
        asked.append((x, t))
        return x0

    def student(x, t):
        asked.append((x, t))
        return x0 + 0

    distance = lambda estimate, aim: (estimate - aim).abs().max()
    draw = lambda: process.noise_scale * torch.randn(x0.shape)
    for _ in range(20):
        loss = LOSSES["consistency"](student, process, x0, y, draw, distance, lambda x, t: x0, average, grid=6)
        assert float(loss) == 0
        (further, r), (state, t) = asked[-2:]
        assert (r <= t).all() and (t - r < 0.25).all()
        for item in range(len(t)):  # on the way there the noise is the same, scaled as the process has it
            if process.std(t[item : item + 1]) > 0 and r[item] < t[item]:
                noises = [
                    (x[item] - process.mean(x0, y, time)[item]) / process.std(time)[item]
                    for x, time in ((further, r), (state, t))
                ]
                assert torch.allclose(*noises, atol=1e-3)


def test_the_last_step_of_consistency_is_anchored_at_the_teacher_and_the_others_at_the_average():
    process, (x0, y), grid = PROCESSES["brownian_bridge"](), (spectra(0, 64), spectra(1, 64)), 4
    last, times, aims = process.levels(grid)[grid - 1], [], []

    def student(x, t):
        times.extend(t.tolist())
        return x

    def distance(estimate, aim):
        aims.extend(aim.mean(dim=(1, 2, 3)).tolist())
        return aim.mean()

    constant = lambda value: lambda x, t: torch.full_like(x, value)
    draw = lambda: process.noise_scale * torch.randn_like(x0)
    LOSSES["consistency"](student, process, x0, y, draw, distance, constant(1.0), constant(-1.0), grid=grid)
    assert aims == [1.0 if t == pytest.approx(last) else -1.0 for t in times]
    assert set(aims) == {1.0, -1.0} and len(aims) == 64


def test_perceptual_distance_ranks_as_pesq_does():
    clean, noisy = (soundfile.read(PAIRS / side / "p232_328.flac", dtype="float32")[0] for side in ("clean", "noisy"))
    samples = clean.size // FRONTEND.hop * FRONTEND.hop
    target = FRONTEND.analyze(torch.from_numpy(clean[:samples])[None])
    distances, scores = [], []
    for share in (0.0, 0.1, 0.3, 1.0):
        mixed = (1 - share) * clean + share * noisy
        estimate = FRONTEND.analyze(torch.from_numpy(mixed[:samples])[None])
        distances.append(float(DISTANCES["perceptual"](estimate, target, FRONTEND)))
        scores.append(metrics.load("pesq")(clean, mixed, 16000))
    assert distances == sorted(distances) and scores == sorted(scores, reverse=True)


def test_perceptual_distance_of_pauses_has_a_finite_gradient():
    target = waves(1)
    target[1:, 8192:] = 0
    estimate = (target + 0.01 * waves(2) * (target != 0)).requires_grad_()
    DISTANCES["perceptual"](FRONTEND.analyze(estimate), FRONTEND.analyze(target), FRONTEND).backward()
    assert estimate.grad.isfinite().all() and estimate.grad[0].any()


def test_scale_invariant_distance_is_the_negative_si_sdr_of_what_plays():
    target, noise = waves(1), waves(2)
    found = [float(DISTANCES["scale_invariant"](gain * (target + 0.3 * noise), target)) for gain in (1.0, 0.01)]
    expected = -np.mean(
        [metrics.load("si_sdr")(t, e, 16000) for t, e in zip(target.numpy(), (target + 0.3 * noise).numpy())]
    )
    assert found == pytest.approx([expected / 10] * 2, abs=0.01)
    silent = target.clone()
    silent[0] = 0
    alone = DISTANCES["scale_invariant"]((target + 0.3 * noise)[1:], target[1:])
    assert float(DISTANCES["scale_invariant"](target + 0.3 * noise, silent)) == pytest.approx(float(alone), abs=1e-6)
