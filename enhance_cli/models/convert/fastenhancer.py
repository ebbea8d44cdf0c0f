"""Read FastEnhancer as published: torch checkpoints, and ONNX files that map spectra to spectra.

A checkpoint is {"model": tensors, ...}, or the tensors alone, with weight norms and batch normalizations, which are
folded here. An ONNX file is folded already: its convolutions and biases keep their names, its matrices are anonymous and
are taken in the order of the graph.
(https://github.com/aask1357/fastenhancer, commit f6f51f160ce8b12c9242cba158b735b0e7ee8bbd)
"""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.onnx_graph import read_graph, read_tensors, torch_gates
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

NETWORK = "fastenhancer"
EPSILON = 1e-5  # of the batch normalizations
HEADS = 4
PART = "rf_block.0.pe"  # a weight that every file has by this name
HOPS = {24: 256, 48: 256, 64: 256, 96: 160, 128: 100}  # at 16 kHz, by the number of channels; twice that at 48 kHz
REMEDY = "use a checkpoint of FastEnhancer, or an ONNX file called *.spec.onnx"

Tensors = dict[str, Tensor]


def convert(source: Path) -> tuple[Tensors, Spec]:
    """Return the weights by the names of networks.fastenhancer, and the header. Raises ModelError."""
    try:
        found = _from_graph(source) if source.suffix.lower() == ".onnx" else _folded(_checkpoint(source))
        args = arguments(found)
        state = {_renamed(name): tensor for name, tensor in found.items()}
        state["enc_pre.weight"] = _strided(found["enc_pre.0.weight"])
    except (LookupError, ValueError, RuntimeError) as error:
        raise ModelError(f"{source}: not a FastEnhancer ({error})", REMEDY) from error
    spec = Spec(
        name=source.stem, network=NETWORK, process="", network_args=args, frontend=None,
        sample_rate=16000 if args["n_fft"] == 512 else 48000, samplers=(), max_steps=1, normalise="none",
    )  # fmt: skip
    return fitting(source, state, NETWORK, args), spec


def is_fastenhancer(found: Any) -> bool:
    """Return whether `found` is the content of a checkpoint, or of a file of its weights alone."""
    return isinstance(found, dict) and (
        PART in found or (isinstance(found.get("model"), dict) and PART in found["model"])
    )


def arguments(folded: Tensors) -> dict[str, int]:
    """Return the arguments of the network, by the shapes of folded weights. Raises LookupError, ValueError."""
    channels, (bands, positions) = len(folded["enc_pre.0.weight"]), folded["rf_pre.0.weight"].shape
    if channels not in HOPS or positions not in (64, 128):
        raise ValueError(f"{channels} channels and {positions} positions are of no published size")
    return {
        "channels": channels,
        "convolutions": _count(folded, "encoder"),
        "blocks": _count(folded, "rf_block"),
        "width": folded[PART].shape[1],
        "bands": bands,
        "heads": HEADS,
        "n_fft": 8 * positions,
        "hop": HOPS[channels] * positions // 64,
    }


def _count(state: Tensors, list_name: str) -> int:
    numbers = {name.split(".")[1] for name in state if name.startswith(f"{list_name}.")}
    return len(numbers)


def _renamed(name: str) -> str:
    """Return our name of a folded weight."""
    for pattern, ours in NAMES:
        name, changed = re.subn(pattern, ours, name)
        if changed:
            break
    return name


NAMES = (
    (r"^enc_pre\.0\.", "enc_pre."),
    (r"^encoder\.(\d+)\.0\.", r"encoder.\1."),
    (r"^rf_pre\.0\.", "to_bands."),
    (r"^rf_pre\.1\.", "narrow."),
    (r"^rf_block\.(\d+)\.attn\.", r"blocks.\1."),
    (r"^rf_block\.", "blocks."),
    (r"^rf_post\.0\.", "to_positions."),
    (r"^rf_post\.1\.", "widen."),
    (r"^decoder\.(\d+)\.0\.", r"decoder.\1.mix."),
    (r"^decoder\.(\d+)\.2\.", r"decoder.\1.filter."),
    (r"^dec_post\.0\.", "last_mix."),
    (r"^dec_post\.2\.", "dec_post."),
)


def _strided(stored: Tensor) -> Tensor:
    """Return the first layer as a strided convolution (C, 2, 8). Stored is one (C, 8, 2) of interleaved positions."""
    outputs, inputs, taps = stored.shape
    return stored.unflatten(1, (inputs // 2, 2)).permute(0, 2, 3, 1).reshape(outputs, 2, -1)


def _checkpoint(source: Path) -> Tensors:
    found = read(source)
    if not is_fastenhancer(found):
        raise ValueError("no weights of it, neither alone nor under the name model")
    return found if PART in found else found["model"]


def _folded(state: Tensors) -> Tensors:
    """Return upstream's weights by its folded names: every normalization is part of the layer before it."""
    state = {name.replace("parametrizations.", ""): tensor for name, tensor in state.items()}
    norms = [name.removesuffix(".running_var") for name in state if name.endswith(".running_var")]
    folded: Tensors = {}
    for name, tensor in state.items():
        if name.endswith(".original0"):  # weight norm: the lengths of the rows, and their directions
            direction = state[f"{name[:-1]}1"]
            folded[name.removesuffix(".original0")] = tensor * direction / direction.norm(dim=1, keepdim=True)
        elif not name.endswith(".original1") and name.rpartition(".")[0] not in norms:
            folded[name] = tensor
    for norm in norms:
        layer = _layer_before(norm)
        gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
        weight = folded[f"{layer}.weight"]
        folded[f"{layer}.weight"] = weight * gain.reshape(-1, *[1] * (weight.dim() - 1))
        folded[f"{layer}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    if "dec_post.3.scale" in folded:  # else they are folded already
        last = folded["dec_post.3.weight"]
        folded["dec_post.3.weight"] = folded.pop("dec_post.3.scale") * last / last.norm().clamp_min(1e-12)
    return {re.sub(r"^(decoder\.\d+|dec_post)\.3\.", r"\1.2.", name): tensor for name, tensor in folded.items()}


def _layer_before(norm: str) -> str:
    if norm.endswith("_post_norm"):
        return norm.replace("_post_norm", "_fc")
    parent, _, number = norm.rpartition(".")
    return f"{parent}.{int(number) - 1}"


def _from_graph(source: Path) -> Tensors:
    """Return the weights of an ONNX file by upstream's folded names."""
    graph = read_graph(source)
    tensors = read_tensors(source, graph)
    named = {name: tensor for name, tensor in tensors.items() if re.match(KEPT, name)}
    blocks = _count(named, "rf_block")
    matrices = ["rf_pre.0.weight"]
    for block in range(blocks):
        parts = ("rnn_fc.weight", "attn.qkv.weight", "attn_fc.weight")
        matrices += [f"rf_block.{block}.{part}" for part in parts]
    matrices.append("rf_post.0.weight")
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in tensors]
    recurrent = [node for node in graph.node if node.op_type == "GRU"]
    if (len(products), len(recurrent)) != (len(matrices), blocks):
        raise ValueError(f"{len(products)} matrices and {len(recurrent)} GRUs for {blocks} blocks")
    for name, node in zip(matrices, products, strict=True):
        named.setdefault(name, tensors[node.input[1]].T)
    for block, node in enumerate(recurrent):
        weights = torch_gates(*(tensors[key] for key in node.input[1:4]))
        named |= {f"rf_block.{block}.rnn.{weight}_l0": tensor for weight, tensor in weights.items()}
    return named


KEPT = r"(enc_pre|encoder|rf_pre|rf_block|rf_post|decoder|dec_post)\."
