"""The arithmetic around a network that repairs embeddings, in closed form and alike in both runtimes."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.graphs.speakers import GraphRepairer
from enhance_cli.models.spec import Spec
from enhance_cli.models.vector_repairer import VectorRepairer
from enhance_cli.processes import PROCESSES
from enhance_cli.tasks.options import RepairOptions
from enhance_cli.tasks.repair import Repairer

D = 8
SPEC = Spec(
    name="toy", task="enhance-embedding", network="rdm_mlp", network_args={"dimension": D}, process="ddpm",
    frontend=None, samplers=("ddim",), max_steps=1000, default_time=50, normalise="unit-rms",
    extractor={"id": "somebody", "dimension": D},
)  # fmt: skip
PLAIN = {"steps": 1, "time": None, "draws": 0, "seed": 0, "ensemble": 0.0, "keep_length": False}


def vectors(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, D)).astype(np.float32) * 3


class Network:
    """In place of a model of torch: its output is a small bend of x, or x is returned as it is."""

    device, process = torch.device("cpu"), PROCESSES["ddpm"]()

    def __init__(self, spec: Spec = SPEC, bends: bool = True):
        self.spec, self.bends, self.heard = spec, bends, []

    def bind(self, noisy):
        self.heard.append(noisy)
        return noisy, self._estimate

    def _estimate(self, x, t):
        return self.process.coefficients(t)[0][:, None] * x + 0.7 * torch.sin(3 * x) if self.bends else x


class Graph:
    """The same in place of a graph, whose output is added to what remains of x."""

    def run(self, names, inputs):
        assert names == ["output"] and inputs["t"].shape == (1,) and inputs["x"].dtype == np.float32
        return [0.7 * np.sin(3 * inputs["x"])]


@pytest.mark.parametrize("sampler_args", [{}, {"ddim": {"limit": 0.9}}])
@pytest.mark.parametrize(
    "settings",
    [
        {}, {"time": 0}, {"time": 300}, {"steps": 4}, {"steps": 3, "time": 100}, {"ensemble": 0.3},
        {"keep_length": True}, {"ensemble": 0.3, "keep_length": True, "steps": 2},
    ],
)  # fmt: skip
def test_both_runtimes_take_the_same_steps_from_the_same_place(settings, sampler_args):
    for normalise in ("unit-rms", "none"):
        spec = replace(SPEC, sampler_args=sampler_args, normalise=normalise)
        by_torch, by_graph = (
            VectorRepairer(Network(spec), **PLAIN | settings),
            GraphRepairer(spec, Graph(), **PLAIN | settings),
        )
        assert by_torch.steps == by_graph.steps and by_torch.dimension == by_graph.dimension == D
        one, other = by_torch.repair(vectors()), by_graph.repair(vectors())
        np.testing.assert_allclose(one[0], other[0], rtol=1e-4, atol=1e-4)
        assert not one[1].any() and not other[1].any()


def test_one_step_starts_at_the_time_of_the_model_and_several_at_the_noisy_end_unless_a_time_is_given():
    run = lambda **settings: VectorRepairer(Network(), **PLAIN | settings).repair(vectors())[0]
    assert np.array_equal(run(), run(time=50)) and not np.allclose(run(), run(time=0), atol=1e-3)
    assert not np.allclose(run(steps=3), run(steps=3, time=50), atol=1e-3)


@pytest.mark.parametrize("seed, draws", [(0, 1), (0, 2), (3, 2), (3, 5)])
def test_the_result_has_the_direction_of_the_sum_of_all_draws_and_a_draw_is_the_same_for_all_rows(seed, draws):
    network = Network(bends=False)
    found, _ = VectorRepairer(network, **PLAIN | {"draws": draws, "seed": seed}).repair(vectors())
    noise = torch.randn(draws, 1, D, generator=torch.Generator().manual_seed(seed))
    y = vectors() / np.linalg.norm(vectors(), axis=1, keepdims=True) * D**0.5
    time = torch.tensor([50.0])
    a, spread = float(network.process.coefficients(time)[0]), float(network.process.std(time))
    wanted = sum(a * y + spread * draw.numpy() for draw in noise)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)


def test_the_limit_of_the_model_bounds_what_the_network_says():
    spec = replace(SPEC, sampler_args={"ddim": {"limit": 0.5}})
    found, _ = VectorRepairer(Network(spec, bends=False), **PLAIN).repair(vectors())
    signs = np.sign(vectors())
    big = np.abs(vectors()) / np.linalg.norm(vectors(), axis=1, keepdims=True) * D**0.5 > 0.6
    held = np.abs(found).max(axis=1, keepdims=True) * signs
    np.testing.assert_allclose(found[big], held[big], atol=1e-5)


def test_a_network_hears_vectors_at_the_length_that_it_was_trained_at_or_as_they_are():
    for normalise, length in (("unit-rms", np.full(6, D**0.5)), ("none", np.linalg.norm(vectors(), axis=1))):
        network = Network(replace(SPEC, normalise=normalise))
        VectorRepairer(network, **PLAIN).repair(vectors())
        np.testing.assert_allclose(network.heard[0].norm(dim=1), length, rtol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda **s: VectorRepairer(Network(), **s), lambda **s: GraphRepairer(SPEC, Graph(), **s)]
)
def test_lengths_from_a_trillionth_to_a_quintillion_are_usable_and_others_come_back_as_they_were(make):
    lengths = np.array([1e-11, 1e-13, 1e17, 3e18, 0.0, np.nan], np.float32)
    given = np.eye(6, D, dtype=np.float32) * lengths[:, None]
    given[5] = np.nan
    found, unusable = make(**PLAIN).repair(given)
    assert unusable.tolist() == [False, True, False, True, True, True]
    np.testing.assert_array_equal(found[unusable], given[unusable])
    np.testing.assert_allclose(np.linalg.norm(found[~unusable], axis=1), 1, rtol=1e-5)


class Blocks:
    """In place of a model: takes the settings, and gives every block back with its sign changed."""

    runtime, threads = "onnx", 2

    def __init__(self, **fields):
        self.spec, self.seen, self.settings = replace(SPEC, **fields), [], {}
        self.dimension, self.steps = D, 1

    def repairer(self, **settings):
        self.settings = settings
        return self

    def repair(self, block):
        self.seen.append(block.copy())
        return -block, block[:, 0] > 1e30


@pytest.mark.parametrize("given, wanted", [(None, 0.3), (0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_the_share_of_the_given_vector_is_that_of_the_model_unless_one_is_asked_for_also_none(given, wanted):
    model = Blocks(ensemble=0.3)
    Repairer(model, RepairOptions(ensemble=given, steps=3, time=7, draws=2, seed=5, normalize="keep"))
    assert model.settings == dict(steps=3, time=7, draws=2, seed=5, ensemble=wanted, keep_length=True)


def test_blocks_have_one_size_and_what_fills_up_the_last_is_no_result():
    model, given = Blocks(), vectors(10)
    found, unusable = Repairer(model).run(given, together=4)
    np.testing.assert_array_equal(found, -given)
    assert unusable.shape == (10,) and [block.shape for block in model.seen] == [(4, D)] * 3
    (last,) = [block for block in model.seen if not block[2:].any()]
    np.testing.assert_array_equal(last[:2], given[8:])


def test_numbers_beyond_single_precision_are_unusable_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, unusable = Repairer(Blocks()).run(np.array([[1e300] * D, [1.0] * D]))
    assert unusable.tolist() == [True, False]


@pytest.mark.parametrize("shape", [(D,), (3, D - 1), (3, D + 1), (3, D, 2)])
def test_other_shapes_than_rows_of_the_models_dimension_are_refused(shape):
    with pytest.raises(ModelError, match=f"toy repairs {D} numbers each"):
        Repairer(Blocks()).run(np.ones(shape, np.float32))


def test_a_model_for_another_task_is_refused():
    with pytest.raises(ModelError, match="a model for denoise, not for enhance-embedding"):
        Repairer(SimpleNamespace(spec=replace(SPEC, task="denoise")))
