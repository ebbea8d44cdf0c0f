"""Read WeSpeaker's ResNet34 speaker networks from .onnx files, the form made for running without torch.

The exporter has folded the batch normalizations into the convolutions, whose weights therefore have numbers for names
and are identified by order and size. It may have put the subtraction of a mean embedding at the end.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.onnx_graph import REMEDY, read_graph, read_tensors
from enhance_cli.models.convert.speakers import extractor_spec, fitting
from enhance_cli.models.convert.wespeaker import ID
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS

NETWORK = "wespeaker_resnet34"


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights, named as in networks.wespeaker_resnet34, and the header. Raises ModelError."""
    graph = read_graph(source)
    tensors = read_tensors(source, graph)
    convolutions = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in tensors]
    linear = [node for node in graph.node if node.op_type == "Gemm" and node.input[1] in tensors]
    if not convolutions or len(linear) != 1 or not set(linear[0].input[1:]) <= set(tensors):
        raise ModelError(f"{source}: no weights of WeSpeaker's ResNet (convolutions and one linear layer)", REMEDY)
    matrix, bias = (tensors[name] for name in linear[0].input[1:3])
    if not any(attribute.name == "transB" and attribute.i for attribute in linear[0].attribute):
        matrix = matrix.T
    args = {"dimension": len(matrix), "channels": len(tensors[convolutions[0].input[1]])}
    state = {"seg_1.weight": matrix, "seg_1.bias": bias - _mean(graph, tensors)}
    with torch.device("meta"):
        ours = NETWORKS[NETWORK](**args).state_dict()
    for size in (3, 1):  # the 1 x 1 ones are the shortcuts
        names = [name for name, value in ours.items() if value.dim() == 4 and value.shape[-1] == size]
        found = [node for node in convolutions if tensors[node.input[1]].shape[-1] == size]
        if len(found) != len(names):
            raise ModelError(f"{source}: {len(found)} convolutions of size {size}, not {len(names)}", REMEDY)
        for name, node in zip(names, found, strict=True):
            state[name] = tensors[node.input[1]]
            state |= _normalization(_after(name), _follower(graph, node), node, tensors)
    weights = fitting(source, state, NETWORK, args)
    return weights, extractor_spec(source, NETWORK, ID, args["dimension"], network_args=args)


def _mean(graph: Any, tensors: dict[str, Tensor]) -> Tensor:
    """Return the vector that is subtracted from the embedding at the end, or zero."""
    outputs = {output.name for output in graph.output}
    last = [n for n in graph.node if n.op_type == "Sub" and n.output[0] in outputs and n.input[1] in tensors]
    return tensors[last[0].input[1]] if last else torch.zeros(())


def _after(name: str) -> str:
    """Return the name of the normalization that follows the convolution with the weight `name`."""
    layer = name.removesuffix(".weight")
    return layer.removesuffix("0") + "1" if layer.endswith("shortcut.0") else layer.replace("conv", "bn")


def _follower(graph: Any, node: Any) -> Any:
    """Return the batch normalization that takes the node's output, or None if it was folded away."""
    nodes = (n for n in graph.node if n.op_type == "BatchNormalization" and n.input[0] == node.output[0])
    return next(nodes, None)


def _normalization(name: str, follower: Any, node: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a normalization, as stored or neutral.

    The neutral one only adds the bias of the convolution into which it was folded.
    """
    count = len(tensors[node.input[1]])
    if follower is not None:
        names = ("weight", "bias", "running_mean", "running_var")
        found = {f"{name}.{role}": tensors[key] for role, key in zip(names, follower.input[1:]) if key in tensors}
    else:
        bias = tensors[node.input[2]] if len(node.input) > 2 else torch.zeros(count)
        one = torch.ones(count)
        gain = (one + torch.nn.BatchNorm2d(1).eps).sqrt()
        found = {f"{name}.weight": gain, f"{name}.bias": bias, f"{name}.running_mean": 0 * one}
        found[f"{name}.running_var"] = one
    return found | {f"{name}.num_batches_tracked": torch.tensor(0)}
