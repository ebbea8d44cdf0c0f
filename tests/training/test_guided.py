"""Training with a guide, for real but tiny: it starts from another model, learns to listen, and exports what it can take."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import enhance_cli
from enhance_cli.errors import ModelError
from enhance_cli.models.weights import save_model
from enhance_cli.models.windowed_inpainter import WindowedInpainter
from enhance_cli.networks import NETWORKS
from enhance_cli.training.recipe import load

pytestmark = pytest.mark.slow

GUIDED = [
    'model.guides=["vad"]',
    "model.network_args.guide=bottleneck",
    "mix.seconds=1.0",
    "data.rooms=0",
    "train.batch_size=2",
]
GUIDED += ["stage.0.steps=8", "stage.1.steps=4", "train.validate_every=12", "train.samples=0"]


@pytest.fixture
def trainer(trainer_in, recipe_file, tmp_path):
    return lambda *settings: trainer_in(tmp_path, load(str(recipe_file), [*GUIDED, *settings]))


@pytest.mark.parametrize("place, last", [("bottleneck", "out.weight"), ("branch", "exits.0.weight")])
def test_a_guided_recipe_starts_from_a_plain_model_and_learns_to_listen(trainer, recipe_file, tmp_path, place, last):
    plain = load(str(recipe_file)).model
    torch.manual_seed(3)
    save_model(tmp_path / "plain.safetensors", plain, NETWORKS[plain.network](**plain.network_args))
    run = trainer(f"train.start={tmp_path / 'plain.safetensors'}", f"model.network_args.guide={place}")
    start = enhance_cli.load_model(str(tmp_path / "plain.safetensors"), device="cpu").network
    y, t, guide = 0.3 * torch.randn(1, 2, 60, 257), torch.ones(1), torch.rand(1, 1, 60)
    with torch.inference_mode():
        torch.testing.assert_close(run.task.averaged.network(y, y, t, guide), start(y, y, t), rtol=1e-3, atol=1e-4)
    model = enhance_cli.load_model(str(run.train()), device="cpu")
    assert "from the weights of " in run.path.with_suffix(".md").read_text()
    assert model.spec.guides == ("vad",) and model.spec.network_args["guide"] == place
    assert model.network.guides[place].get_parameter(last).abs().max() > 0
    audio = np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32) * 0.1
    results = [enhance_cli.denoise(audio, 16000, model=model, guide=guide) for guide in (None, "none")]
    assert all(np.isfinite(result).all() for result in results) and not np.array_equal(*results)


def test_a_share_of_the_items_gets_no_guide(trainer):
    run = trainer()
    noisy = torch.randn(400, 3200)
    for share in (0.0, 0.25, 1.0):
        unknown = run.task.objective.guide(noisy, share).isnan()
        assert unknown.float().mean() == pytest.approx(share, abs=0.07)
        assert (unknown.all(dim=2) == unknown.any(dim=2)).all(), "all of an item or nothing"


def test_a_network_can_only_start_from_its_like(trainer, tmp_path):
    other = load("denoise-s").model
    for args, message in (
        (other.network_args, "denoise-s is a network of other sizes"),
        (other.network_args | {"blocks": 1, "channels": [8, 12]}, "other sizes"),
    ):
        path = tmp_path / "other.safetensors"
        save_model(path, replace(other, network_args=args), NETWORKS["bridge_unet"](**args))
        with pytest.raises(ModelError, match=message):
            trainer(f"train.start={path}")
    with pytest.raises(ModelError, match="unknown model 'denoise-x'"):
        trainer("train.start=denoise-x")


def test_a_model_that_is_told_of_gaps_learns_to_fill_them(trainer):
    asked = ['model.guides=["gaps"]', "model.network_args.guide=branch", "mix.gaps=1.0", "mix.noise_only=0.0"]
    model = enhance_cli.load_model(str(trainer(*asked, "stage.0.steps=30").train()), device="cpu")
    assert model.spec.guides == ("gaps",) and model.network.guides["branch"].entry.weight.abs().max() > 0
    missing = np.zeros(16000, bool)
    missing[8000:8800] = True
    wave = np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32) * 0.1
    run = lambda wave: WindowedInpainter(model).filled([wave], [missing], [0], [1.0])[0]
    assert np.array_equal(run(wave), run(np.where(missing, 0, wave))), "it was trained with silence in the gaps"
    assert np.array_equal(run(wave)[:, ~missing], wave[:, ~missing]) and run(wave)[:, missing].any()
