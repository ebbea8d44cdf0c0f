"""Fold the constant parts of a graph when it is made, so that they are not computed again whenever it is opened.

The exporter writes shapes and indices as chains of small operators. Chains that depend on weights stay, since graphs in the
package get their weights only when they are opened.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def fold_constants(model: "ModelProto") -> None:
    """Replace the operators of `model` whose inputs are all constants by their values, in place. Equal values are kept once."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    weights = {item.name for item in graph.initializer if item.data_location == TensorProto.EXTERNAL}
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer if item.name not in weights}
    nodes = []
    for node in graph.node:
        if all(name in values for name in node.input if name):
            values.update(_results(model, node, values))
        else:
            nodes.append(node)
    outputs = {item.name for item in graph.output}
    needed = {name for node in nodes for name in node.input} | outputs
    kept = [item for item in graph.initializer if item.name in weights]
    first: dict[tuple, str] = {}  # type, shape and bytes of a constant to the name of the first like it
    for name in values:
        x = np.array(values[name])
        same = first.setdefault((x.dtype, x.shape, x.tobytes()), name) if name in needed else name
        if same != name and name not in outputs:
            _replace(nodes, name, same)
        elif name in needed:
            kept.append(numpy_helper.from_array(x, name))
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def _replace(nodes: "list[NodeProto]", name: str, same: str) -> None:
    """Let operators that take the constant `name` take `same` instead."""
    for node in nodes:
        for index, other in enumerate(node.input):
            if other == name:
                node.input[index] = same


def _results(model: "ModelProto", node: "NodeProto", values: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of one operator for the values of its inputs, by name."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    inputs = {name: values[name] for name in node.input if name}
    described = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in inputs.items()
    ]
    outputs = [helper.make_tensor_value_info(name, 0, None) for name in node.output]
    alone = helper.make_model(helper.make_graph([node], "node", described, outputs), opset_imports=model.opset_import)
    return dict(zip(node.output, ReferenceEvaluator(alone).run(None, inputs)))
