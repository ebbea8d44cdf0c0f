"""Every kind of training in the shipped recipes, for real but tiny: the loss falls, the export loads, and `denoise` runs it."""

import numpy as np
import pytest
import torch

import enhance_cli
from enhance_cli.errors import UsageError
from enhance_cli.training.recipe import load

pytestmark = pytest.mark.slow

SMALL = [
    'model.network_args={ nf = 8, ch_mult = [1, 2], num_res_blocks = 1, attn_resolutions = [] }',
    'train.batch_size=2', 'train.precision="fp32"', 'train.validation_items=2', 'train.validate_every=12', 'train.samples=0',
    'mix.seconds=0.4',  # 51 frames, which are filled up to 64
    'data.rooms=0', 'data.speech=[{ folder = "speech", groups = "folder", held_out = 0.5 }]',
    'data.noise=[{ folder = "noise", held_out = 0.5 }]',
]  # fmt: skip


def tiny(name: str, stages: list[str]):
    sets = [f"stage.{n}.{s}" for n in range(len(stages)) for s in ("steps=12", "lr=1e-3", "warmup=2", "ema=0.8")]
    return load(name, [*SMALL, *sets, f"model.default_steps={min(2, load(name).model.default_steps)}"])


@pytest.mark.parametrize("name", ["score-ouve", "score-bbed-crp", "bridge-sb", "flow-matching", "predictive"])
def test_a_recipe_trains_exports_and_denoises(name, trainer_in, tmp_path):
    recipe = tiny(name, load(name).stage)
    trainer = trainer_in(tmp_path, recipe)

    @torch.no_grad()
    def mean_loss() -> float:
        """Over the same batches and draws every time."""
        torch.manual_seed(0)
        batches = ([torch.as_tensor(x) for x in trainer.task.source.batch(number, 2)] for number in range(4))
        return float(np.mean([float(trainer.task.loss(recipe.stage[0], *batch)) for batch in batches]))

    before = mean_loss()
    path = trainer.train()
    assert mean_loss() < before
    assert trainer.task.scores(12) == trainer.task.scores(12), "whether a model is kept is up to chance"
    model = enhance_cli.load_model(str(path), device="cpu")
    assert model.spec.process == recipe.model.process and model.spec.samplers == recipe.model.samplers
    audio = np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32) * 0.1
    result = enhance_cli.denoise(audio, 16000, model=model, steps=1)
    assert result.shape == audio.shape and np.isfinite(result).all() and not np.allclose(result, audio)


def test_frames_that_the_network_cannot_take_are_refused_beforehand(trainer_in, tmp_path):
    with pytest.raises(UsageError, match="model.frames_multiple: ncsnpp takes multiples of 2 frames"):
        trainer_in(tmp_path, load("score-ouve", [*SMALL, "model.frames_multiple=1"]))
