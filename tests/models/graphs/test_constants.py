"""Constants of a graph are computed when it is made: the same results, fewer operators, and the weights stay outside."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from enhance_cli.models.graphs.constants import fold_constants
from enhance_cli.models.graphs.graph import Graph


def graph() -> onnx.ModelProto:
    """y = (x + (2 + 3)) * weight, where the weight lies elsewhere."""
    constant = lambda value, name: numpy_helper.from_array(np.array(value, np.float32), name)
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [2], [0, 0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights")
    nodes = [
        helper.make_node("Constant", [], ["three"], value=constant(3, "")),
        helper.make_node("Add", ["two", "three"], ["five"]),
        helper.make_node("Add", ["x", "five"], ["sum"]),
        helper.make_node("Mul", ["sum", "weight"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], [constant(2, "two"), weight])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_constants_are_folded_and_weights_are_not():
    folded = graph()
    fold_constants(folded)
    assert [node.op_type for node in folded.graph.node] == ["Add", "Mul"]
    assert [item.name for item in folded.graph.initializer] == ["weight", "five"]
    x, weights = np.float32([1, 2]), {"weight": np.float32([10, -1])}
    (y,) = Graph(folded.SerializeToString(), "x", weights=weights).run(["y"], {"x": x})
    np.testing.assert_array_equal(y, [60, -7])
