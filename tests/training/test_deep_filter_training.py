"""Training of DeepFilterNet: the same samples as in use, distances of the right bands, and the recipe for real, but tiny."""

import numpy as np
import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.models import registry
from enhance_cli.models.deep_filter_stream import DeepFilterStream
from enhance_cli.models.load import load_file
from enhance_cli.models.weights import load_network
from enhance_cli.training.denoise import deep_filter
from enhance_cli.training.denoise.stream_objective import StreamObjective
from enhance_cli.training.recipe import load

SMALL = [
    'train.batch_size=2', 'train.validation_items=2', 'train.samples=0', 'train.validate_every=4', 'mix.seconds=0.5',
    'mix.lead_in=0.25', 'data.rooms=0', 'mix.room=0.0', 'stage.0.steps=3', 'stage.0.warmup=1', 'stage.0.ema=0.5',
    'stage.1.steps=1', 'stage.1.warmup=1', 'stage.1.ema=0.5', 'stage.1.distance={ hybrid_spectral = 1.0 }',
    'data.speech=[{ folder = "speech", groups = "folder", held_out = 0.5 }]',
    'data.noise=[{ folder = "noise", held_out = 0.5 }]', 'stage.0.distance={ hybrid_spectral = 1.0 }',
]  # fmt: skip


@pytest.fixture
def network():
    return load_network(registry.find("deepfilternet3", "denoise").path)[1]


@pytest.fixture
def trainer(trainer_in, tmp_path):
    later = [f"stage.{number}.steps=0" for number in range(2, len(load("deepfilternet3-tuned").stage))]
    return trainer_in(tmp_path, load("deepfilternet3-tuned", [*SMALL, *later]))


@pytest.mark.parametrize("samples", [48000, 30011, 480, 1])
def test_training_computes_the_samples_of_the_stream(network, samples):
    noisy = (0.1 * np.random.default_rng(0).standard_normal((2, samples))).astype(np.float32)
    streamed = DeepFilterStream(network, 2).push(noisy, last=True)[0]
    np.testing.assert_allclose(deep_filter.clean(network, torch.from_numpy(noisy)).detach(), streamed, atol=1e-6)


def test_every_weight_that_is_heard_gets_a_gradient(network):
    noisy = 0.1 * torch.randn(2, 24000, generator=torch.Generator().manual_seed(0))
    deep_filter.clean(network.requires_grad_(True), noisy).square().sum().backward()
    unheard = {name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()}
    silenced = {"df_convp.0.weight", "df_convp.1.weight", "df_convp.1.bias"}  # by a ReLU, in the published weights
    assert unheard == {"lsnr.weight", "lsnr.bias"} | silenced


def test_16_khz_keeps_the_voice_and_no_alias():
    turns = torch.arange(48000, dtype=torch.float64)[None] / 48000
    tone = lambda hertz: torch.sin(2 * torch.pi * hertz * turns).float()
    inside = deep_filter.to_16k(tone(3000.0))[:, 100:-100]
    assert inside.square().mean().item() == pytest.approx(0.5, rel=0.01)
    assert deep_filter.to_16k(tone(10000.0))[:, 100:-100].abs().max() < 1e-3


def test_the_full_band_is_learned_from_targets_that_have_one(trainer):
    stage, objective = trainer.task.recipe.stage[0], trainer.task.objective
    generator = torch.Generator().manual_seed(0)
    speech = 0.1 * torch.randn(1, 36000, generator=generator)
    low = torch.nn.functional.interpolate(deep_filter.to_16k(speech)[:, None], scale_factor=3, mode="linear")[:, 0]
    low = torch.fft.irfft(torch.fft.rfft(low).masked_fill(torch.arange(18001) > 6000, 0), n=36000)
    distance = lambda *sides: objective._distance(stage)(*sides).item()
    hiss = speech - torch.fft.irfft(torch.fft.rfft(speech).masked_fill(torch.arange(18001) > 6200, 0), n=36000)
    assert distance(0.9 * speech + hiss, speech) > distance(0.9 * speech, speech) + 0.1
    heard = low + 0.1 * low.roll(5, dims=1)
    assert distance(heard + hiss, low) == pytest.approx(distance(heard, low), abs=0.05)


def test_what_the_network_settles_on_is_not_compared(trainer):
    distance = trainer.task.objective._distance(trainer.task.recipe.stage[0])
    target = 0.1 * torch.randn(2, 36000, generator=torch.Generator().manual_seed(0))
    other = target.clone()
    other[:, : trainer.task.lead_in] = 0
    assert trainer.task.lead_in == 12000
    assert distance(other, target) == distance(target, target)


def test_losses_of_processes_are_refused(trainer):
    stage = load("denoise-s").stage[0]
    with pytest.raises(UsageError, match="single_call"):
        StreamObjective(trainer.task.model, 0).check(stage)


@pytest.mark.slow
def test_the_recipe_begins_as_deepfilternet3_and_exports_a_model_that_denoises(trainer, network):
    for name, weight in trainer.task.model.network.named_parameters():
        assert torch.equal(weight, network.get_parameter(name)), name
    path = trainer.train()
    model = load_file(path, torch.device("cpu"))
    assert model.stream_network is model.network
    assert any(not torch.equal(w, network.get_parameter(n)) for n, w in model.network.named_parameters())
    assert "one call per frame" in path.with_suffix(".md").read_text()
