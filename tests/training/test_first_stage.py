"""Training of what refines a first stage: its estimates in the batches, and the recipe denoise-48k for real, but tiny."""

import numpy as np
import pytest
import torch

import enhance_cli
from enhance_cli.audio.resample import resample
from enhance_cli.models.deep_filter_stream import DeepFilterStream
from enhance_cli.training.recipe import load

SMALL = [
    'model.network_args={ channels = [8, 12], blocks = 1, dilations = [1], temporal = 16, temporal_dilations = [1], '
    'embedding = 8, state_mask = true }',
    'train.start=""', 'train.batch_size=2', 'train.precision="fp32"', 'train.validation_items=2', 'train.samples=0',
    'train.validate_every=8', 'mix.seconds=0.5', 'mix.lead_in=0.25', 'data.rooms=2',
    'data.speech=[{ folder = "speech", groups = "folder", held_out = 0.5 }]',
    'data.noise=[{ folder = "noise", held_out = 0.5 }]', 'stage.0.steps=8', 'stage.0.lr=3e-3', 'stage.0.ema=0.8',
    'stage.0.warmup=2', 'stage.0.fixed_statistics=false', 'stage.0.distance={ hybrid_spectral = 1.0 }',
]  # fmt: skip


@pytest.fixture(scope="module")
def trainer(trainer_in, tmp_path_factory):
    pytest.importorskip("pyroomacoustics")
    later = [f"stage.{number}.steps=0" for number in range(1, len(load("denoise-48k").stage))]
    return trainer_in(tmp_path_factory.mktemp("refiner"), load("denoise-48k", [*SMALL, *later]))


def test_a_batch_has_the_mixture_the_target_and_the_estimate_that_users_would_get(trainer):
    source = trainer.task.source
    noisy, clean, first = source.batch(1, 2)
    assert noisy.shape == clean.shape == first.shape == (2, 8000)
    mixed, _ = source._mixer.batch(1, 2)
    whole = DeepFilterStream(source._network, 2).push(mixed, last=True)[0]
    np.testing.assert_allclose(first, resample(whole[:, 12000:], 48000, 16000), atol=1e-5)
    np.testing.assert_allclose(noisy, resample(mixed[:, 12000:], 48000, 16000), atol=1e-6)


def test_batches_do_not_depend_on_those_that_were_asked_for_before(trainer):
    source = trainer.task.source
    one = source.batch(2, 2)
    source.batch(9, 2)
    for side, again in zip(one, source.batch(2, 2)):
        np.testing.assert_array_equal(side, again)


@pytest.mark.slow
def test_the_recipe_trains_exports_and_refines(trainer):
    task, recipe = trainer.task, trainer.task.recipe

    @torch.no_grad()
    def mean_loss() -> float:
        """Over the same batches and numbers of steps every time."""
        import random

        losses = []
        for number in range(4):
            random.seed(number)
            losses.append(float(task.loss(recipe.stage[0], *map(torch.as_tensor, task.source.batch(number, 2)))))
        return float(np.mean(losses))

    before = mean_loss()
    path = trainer.train()
    assert mean_loss() < before
    model = enhance_cli.load_model(str(path), device="cpu")
    assert model.spec.first_stage == "deepfilternet3-tuned" and model.spec.training["validation_first_stage"]
    card = path.with_suffix(".md").read_text()
    assert "| deepfilternet3-tuned |" in card and "denoise at 48000 Hz" in card
    audio = np.random.default_rng(0).standard_normal((1, 48000)).astype(np.float32) * 0.1
    refined, alone = (enhance_cli.denoise(audio, 48000, model=m) for m in (model, "deepfilternet3-tuned"))
    assert refined.shape == audio.shape and np.isfinite(refined).all() and not np.allclose(refined, alone)
