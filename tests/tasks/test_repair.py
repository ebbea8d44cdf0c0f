"""Repairing vectors: the published arithmetic, independence of rows, and what is refused or left alone."""

import numpy as np
import pytest
import torch

from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models.load import load_file
from enhance_cli.models.spec import Spec
from enhance_cli.models.weights import save_model
from enhance_cli.networks import NETWORKS
from enhance_cli.tasks.repair import ROWS, Repairer, RepairOptions
from tests import golden_numbers as golden
from tests.golden_numbers import load, rel_l2

D = 192
SPEC = Spec(
    name="seed-test",
    task="enhance-embedding",
    network="rdm_mlp",
    network_args={"dimension": D},
    process="ddpm",
    frontend=None,
    samplers=("ddim",),
    max_steps=1000,
    default_time=50,
    normalise="unit-rms",
    extractor={"id": "somebody", "dimension": D},
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    network = NETWORKS["rdm_mlp"](dimension=D)
    network.load_state_dict(golden.weights(network.state_dict()))
    path = tmp_path_factory.mktemp("models") / "seed-test.safetensors"
    save_model(path, SPEC, network)
    loaded = load_file(path, torch.device("cpu"))
    loaded.network.load_state_dict(network.state_dict())  # the file has 16 bits
    return loaded


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((40, D)).astype(np.float32)


def unit(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_one_step_without_noise_is_the_published_one(model):
    expected, about = load("seed_rdm_mlp_D192")
    found = Repairer(model).repair(expected["e"])
    assert rel_l2(found, unit(expected["onestep_eps0"])) < about["tolerance"]["rel_l2"]
    longer = Repairer(model, RepairOptions(normalize="keep")).repair(expected["e"])
    assert np.allclose(np.linalg.norm(longer, axis=1), np.linalg.norm(expected["e"], axis=1), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"draws": 3, "seed": 4}, {"steps": 4}, {"ensemble": 0.5, "normalize": "keep"}])
def test_a_row_does_not_depend_on_the_others(model, vectors, options):
    repairer = Repairer(model, RepairOptions(**options))
    whole = repairer.repair(np.tile(vectors, (ROWS // len(vectors) + 2, 1)))
    assert np.array_equal(whole[: len(vectors)], whole[-len(vectors) :])
    assert np.array_equal(repairer.repair(vectors[7:8]), whole[7:8])
    assert np.array_equal(repairer.repair(vectors[::-1].copy())[::-1], whole[: len(vectors)])


def test_the_number_of_threads_changes_no_bit(model, vectors):
    many = np.tile(vectors, (2 * ROWS // len(vectors), 1))
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(Repairer(model).repair(many))
    torch.set_num_threads(before)
    assert np.array_equal(*found)


def test_scale_does_not_matter(model, vectors):
    repairer = Repairer(model)
    assert np.allclose(repairer.repair(1e-3 * vectors), repairer.repair(vectors), atol=1e-5)


def test_draws_follow_the_seed_and_their_mean_settles(model, vectors):
    run = lambda **options: Repairer(model, RepairOptions(**options)).repair(vectors)
    assert np.array_equal(run(draws=2, seed=1), run(draws=2, seed=1))
    cosine = lambda a, b: float((a * b).sum(axis=1).mean())
    one = cosine(run(draws=1, seed=1), run(draws=1, seed=2))
    many = cosine(run(draws=16, seed=1), run(draws=16, seed=2))
    assert one < many < 1


def test_the_ensemble_goes_from_the_repaired_to_the_given(model, vectors):
    run = lambda share: Repairer(model, RepairOptions(ensemble=share)).repair(vectors)
    assert np.allclose(run(1.0), unit(vectors), atol=1e-6)
    assert np.allclose(run(0.5), unit(unit(vectors) + run(0.0)), atol=1e-5)


def test_time_and_steps(model, vectors):
    run = lambda **options: Repairer(model, RepairOptions(**options)).repair(vectors)
    assert np.array_equal(run(), run(time=50)) and not np.allclose(run(), run(time=300), atol=1e-3)
    assert not np.allclose(run(steps=3), run(steps=3, time=50), atol=1e-3)


def test_rows_that_are_no_vectors_come_back_as_they_were(model, vectors):
    bad = vectors.copy()
    bad[3, 5], bad[8], bad[9, 0], bad[20] = np.nan, 0, np.inf, 1e-20
    result, unusable = Repairer(model).run(bad)
    assert np.flatnonzero(unusable).tolist() == [3, 8, 9, 20]
    assert np.array_equal(result[[3, 8, 9, 20]], bad[[3, 8, 9, 20]], equal_nan=True)
    good = ~unusable
    assert np.array_equal(result[good], Repairer(model).repair(vectors)[good])
    assert Repairer(model).repair(np.zeros((0, D), np.float32)).shape == (0, D)


@pytest.mark.parametrize(
    "options", [{"ensemble": 1.2}, {"draws": -1}, {"steps": 0}, {"time": 1000}, {"normalize": "no"}]
)
def test_senseless_options_are_refused(model, options):
    with pytest.raises(UsageError):
        Repairer(model, RepairOptions(**options))


def test_vectors_of_another_extractor_are_refused(model, tiny_model, vectors):
    repairer = Repairer(model)
    repairer.check_extractor("somebody")
    with pytest.raises(ModelError, match="embeddings of somebody, not of ge2e-resemblyzer"):
        repairer.check_extractor("ge2e-resemblyzer")
    with pytest.raises(ModelError, match=r"\[40, 100\].*repairs 192 numbers"):
        repairer.repair(vectors[:, :100])
    with pytest.raises(ModelError, match="a model for denoise"):
        Repairer(load_file(tiny_model, torch.device("cpu")))
