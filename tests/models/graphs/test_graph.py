"""Graphs of shipped networks own their weights: the arrays that they were opened with are not needed any more."""

import numpy as np
import pytest

from enhance_cli.models import registry
from enhance_cli.models.graphs.graph import Graph, read_weights
from enhance_cli.models.graphs.packaged import graph_path
from enhance_cli.models.spec import read_spec

WITH_GRAPHS = [entry for entry in registry.entries() if entry.path and graph_path(read_spec(entry.path)).is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("entry", WITH_GRAPHS, ids=lambda entry: entry.name)
def test_a_graph_computes_the_same_when_the_arrays_of_its_weights_are_gone(entry):
    weights = read_weights(entry.path)
    graph = Graph(graph_path(read_spec(entry.path)).read_bytes(), entry.name, weights=weights)
    sizes = {name: [size if isinstance(size, int) else 24 for size in shape] for name, shape in graph.inputs.items()}
    draw = np.random.default_rng(0)
    counts = {"known"}  # of copy-up and extend-s, the only input of integers
    inputs = {
        name: np.full(size, 20, np.int64) if name in counts else draw.standard_normal(size, np.float32)
        for name, size in sizes.items()
    }
    before = graph.run(graph.outputs, inputs)
    for array in weights.values():
        array.fill(np.nan)
    for one, other in zip(before, graph.run(graph.outputs, inputs), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
