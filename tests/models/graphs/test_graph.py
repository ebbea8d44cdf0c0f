"""Graphs of shipped networks own their weights: the arrays that they were opened with are not needed any more."""

import numpy as np
import pytest

from enhance_cli.models import registry
from enhance_cli.models.graphs.graph import Graph, read_weights
from enhance_cli.models.graphs.packaged import graph_names, graph_path
from enhance_cli.models.spec import read_spec

GRAPHS = [
    (entry, graph_path(spec, name))
    for entry in registry.entries()
    for spec in [read_spec(entry.path)]
    for name in graph_names(spec)
]
FRAMES = 200  # more than any network needs to give a result


@pytest.mark.slow
@pytest.mark.parametrize("entry, path", GRAPHS, ids=[path.stem for _, path in GRAPHS])
def test_a_graph_computes_the_same_when_the_arrays_of_its_weights_are_gone(entry, path):
    weights = read_weights(entry.path)
    graph = Graph(path.read_bytes(), entry.name, weights=weights)
    sizes = {name: [size if isinstance(size, int) else 24 for size in shape] for name, shape in graph.inputs.items()}
    if "behind" in sizes:
        sizes |= {name: [1, 2, FRAMES, 257] for name in "xy"} | {"behind": graph.facts["behind"]}
        sizes |= {f"state.{n}": shape for n, shape in enumerate(graph.facts["state"])}
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
