"""Parse ONNX files as data: the graph and the arrays in it. Nothing is executed, no other file is opened."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError

REMEDY = "use the torch file of the same model"


def read_graph(source: Path, content: bytes | None = None) -> Any:
    """Return the graph of the ONNX file `source`, or of its `content` if that was read elsewhere.

    Raises ModelError for a file that is missing or damaged, or where the package onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModelError(f"{source}: .onnx files need the package onnx", "pip install 'enhance-cli[onnx]'") from error
    try:
        content = source.read_bytes() if content is None else content
        return onnx.load_model_from_string(content, format="protobuf").graph
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror})", "check the file") from error
    except Exception as error:  # the parser can fail in any way on a damaged file
        raise ModelError(f"{source}: not an ONNX file ({' '.join(str(error).split())})", "load it again") from error


def read_tensors(source: Path, graph: Any) -> dict[str, Tensor]:
    """Return the arrays stored in `graph` by name: initializers, and the values of Constant nodes by their output.

    Raises ModelError if one lies in another file.
    """
    from onnx import TensorProto, numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if node.op_type == "Constant" and values:
            stored[node.output[0]] = values[0]
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in stored.values()):
        raise ModelError(f"{source}: its weights are in another file", REMEDY)
    return {name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for name, tensor in stored.items()}


def has_initializer(source: Path, name: str) -> bool:
    """Return whether the ONNX file `source` stores an array called `name`. Raises ModelError as `read_graph`."""
    return any(tensor.name == name for tensor in read_graph(source).initializer)


def next_node(graph: Any, name: str, op_type: str = "Conv") -> Any:
    """Return the first node of operator type `op_type` that follows the tensor `name` with no other such node between.

    Raises LookupError if there is none.
    """
    names = {name}
    for node in graph.node:
        if names & set(node.input):
            if node.op_type == op_type:
                return node
            names |= set(node.output)
    raise LookupError(f"no {op_type} follows {name}")


def torch_gates(inputs: Tensor, recurrent: Tensor, biases: Tensor) -> dict[str, Tensor]:
    """Return the weights of one direction of a GRU by torch's names and in its order of gates (r, z, n).

    ONNX has (z, r, n), a leading axis of directions, and both biases in one tensor.
    """
    input_bias, recurrent_bias = biases[0].chunk(2)
    stored = {"weight_ih": inputs[0], "weight_hh": recurrent[0], "bias_ih": input_bias, "bias_hh": recurrent_bias}
    gates = {name: tensor.chunk(3) for name, tensor in stored.items()}
    return {name: torch.cat([reset, update, new]) for name, (update, reset, new) in gates.items()}
