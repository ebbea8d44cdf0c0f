"""Make ONNX graphs of networks, by torch's exporter and the package onnx. Nothing else needs these to run a graph.

The graph of a shipped network has no weights. Its initializers are named as the weights of the model's file, and
ONNX Runtime is given those (models.graphs.graph).
"""

import io
import json
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from enhance_cli.errors import ModelError
from enhance_cli.models.graphs.constants import fold_constants
from enhance_cli.models.graphs.graph import FACTS_KEY
from enhance_cli.models.graphs.signatures import FACTS, signature_of

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
PREFIX = "network."  # of weights inside a wrapper


def graph_of(name: str, network: nn.Module, *, weights: bool) -> "ModelProto":
    """Return the graph of `network`, which the catalogue calls `name`.

    `weights`: keep them in the graph. Raises ModelError for a network that has no graph, and without the package onnx.
    """
    onnx = import_onnx()
    signature = signature_of(name, network)
    buffer: Any = io.BytesIO()  # which the exporter takes, though it does not say so
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            signature.module.eval(), signature.examples, buffer, dynamo=False, opset_version=OPSET,
            input_names=list(signature.inputs), output_names=list(signature.outputs),
            dynamic_axes=signature.inputs | signature.outputs, do_constant_folding=weights,
            training=torch.onnx.TrainingMode.EVAL if weights else torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip
    graph = onnx.load_from_string(buffer.getvalue())
    _rename(graph, network)
    receptive_field = getattr(network, "receptive_field", None)
    facts = {
        "network": name,
        "opset": OPSET,
        "receptive_field": receptive_field if isinstance(receptive_field, int) else None,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    if name in FACTS:
        facts |= FACTS[name](network)
    onnx.helper.set_model_props(graph, {FACTS_KEY: json.dumps(facts)})
    if weights:
        return graph
    graph = _emptied(graph, set(network.state_dict()))
    fold_constants(graph)
    return graph


def _rename(graph: "ModelProto", network: nn.Module) -> None:
    """Name the weights as the network does, without the prefix of a wrapper, and drop the descriptions."""
    del graph.graph.value_info[:]
    graph.doc_string = ""
    for initializer in graph.graph.initializer:
        initializer.name = initializer.name.removeprefix(PREFIX)
    for node in graph.graph.node:
        node.doc_string = ""
        for index, name in enumerate(node.input):
            node.input[index] = name.removeprefix(PREFIX)
        for index, name in enumerate(node.output):  # of two equal weights the exporter keeps one, and a copy by a node
            node.output[index] = name.removeprefix(PREFIX)


def _emptied(graph: "ModelProto", names: set[str]) -> "ModelProto":
    """Take the named weights out of the graph. Their places say that they lie in another file."""
    from onnx import TensorProto

    for initializer in graph.graph.initializer:
        if initializer.name in names:
            initializer.ClearField("raw_data")
            initializer.data_location = TensorProto.EXTERNAL
            initializer.external_data.add(key="location", value="weights")
    return graph


def import_onnx() -> ModuleType:
    """Return the package onnx. Raises ModelError without it."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError("making a graph needs the package onnx", "pip install 'enhance-cli[onnx]'") from error
    return onnx
