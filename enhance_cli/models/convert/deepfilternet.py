"""Read DeepFilterNet 3 as published: the archive of three ONNX graphs, or the torch checkpoint.

`DeepFilterNet3_onnx.tar.gz` holds enc.onnx, erb_dec.onnx and df_dec.onnx, whose normalizations are folded into the
convolutions and whose GRU weights are Constant nodes. The checkpoint (`model_120.ckpt.best`, also within
`DeepFilterNet3.zip`) is a dictionary of tensors with batch normalizations, which are folded here.
(https://github.com/Rikorose/DeepFilterNet, commit d375b2d8309e0935d165700c91da9de862a99c31)
"""

import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.onnx_graph import next_node, read_graph, read_tensors, torch_gates
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

NETWORK = "deepfilternet"
SAMPLE_RATE = 48000
GRAPHS = ("enc", "erb_dec", "df_dec")
MAX_GRAPH_BYTES = 64 << 20
EPSILON = 1e-5  # of the batch normalizations
REMEDY = "use DeepFilterNet3_onnx.tar.gz or the checkpoint of DeepFilterNet 3"


def convert(source: Path) -> tuple[dict[str, Tensor], Spec]:
    """Return the weights by the names of networks.deepfilternet, and the header. Raises ModelError."""
    try:
        state = _from_graphs(source) if is_archive(source) else _from_checkpoint(_checkpoint(source))
    except (LookupError, ValueError) as error:
        raise ModelError(f"{source}: not a DeepFilterNet 3 ({error})", REMEDY) from error
    spec = Spec(
        name=source.name, network=NETWORK, process="", frontend=None, sample_rate=SAMPLE_RATE, samplers=(), max_steps=1,
        normalise="none",
    )  # fmt: skip
    return fitting(source, state, NETWORK, {}), spec


def is_archive(source: Path) -> bool:
    """Return whether `source` is a tar file that holds the three graphs."""
    if not tarfile.is_tarfile(source):
        return False
    with tarfile.open(source) as archive:
        return {f"{name}.onnx" for name in GRAPHS} <= {Path(name).name for name in archive.getnames()}


def is_zip(source: Path) -> bool:
    """Return whether `source` is the published zip file around the checkpoint."""
    if not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        return any(name.endswith(".ckpt.best") for name in archive.namelist())


def _from_graphs(source: Path) -> dict[str, Tensor]:
    found = {}
    with tarfile.open(source) as archive:
        for member in archive:
            name = Path(member.name)
            content = archive.extractfile(member) if member.isfile() else None
            if name.suffix == ".onnx" and name.stem in GRAPHS and content is not None:
                if member.size > MAX_GRAPH_BYTES:
                    raise ValueError(f"{member.name} has {member.size} bytes")
                graph = read_graph(source, content.read())
                found[name.stem] = (graph, read_tensors(source, graph))
    encoder, bands, filters = (found[name] for name in GRAPHS)
    state = {
        "df_conv0.0.weight": encoder[1]["df_conv0.1.weight"],
        "df_fc_emb.weight": encoder[1]["df_fc_emb.0.weight"],
        "encoder_gru.linear_in.weight": encoder[1]["emb_gru.linear_in.0.weight"],
        "encoder_out.weight": encoder[1]["emb_gru.linear_out.0.weight"],
        "lsnr.bias": encoder[1]["lsnr_fc.0.bias"],
        "lsnr.weight": next(t for n, t in encoder[1].items() if n.startswith("onnx::MatMul") and t.shape[1] == 1).T,
        "erb_gru.linear_in.weight": bands[1]["emb_gru.linear_in.0.weight"],
        "erb_out.weight": bands[1]["emb_gru.linear_out.0.weight"],
        "df_convp.0.weight": filters[1]["df_convp.1.weight"],
        "df_gru.linear_in.weight": filters[1]["df_gru.linear_in.0.weight"],
        "df_skip.weight": filters[1]["df_skip.weight"],
        "df_out.weight": filters[1]["df_out.0.weight"],
    }
    state |= _conv(encoder, "erb_conv0", "feat_erb")
    for layer in ("erb_conv1", "erb_conv2", "erb_conv3", "df_conv1"):
        state |= _separable(encoder, layer)
    state |= _conv(encoder, "df_conv0.1", _output_of(encoder, "df_conv0.1.weight"))
    for layer in ("convt3", "convt2", "convt1"):
        state |= _separable(bands, layer)
    for level in "3210":
        state |= _conv(bands, f"conv{level}p", f"e{level}")
    mask = next(n for n in bands[0].node if n.op_type == "Conv" and bands[1][n.input[1]].shape == (1, 64, 1, 3))
    state |= {"conv0_out.weight": bands[1][mask.input[1]], "conv0_out.bias": bands[1][mask.input[2]]}
    state |= _conv(filters, "df_convp.1", _output_of(filters, "df_convp.1.weight"))
    for prefix, piece in (("encoder_gru", encoder), ("erb_gru", bands), ("df_gru", filters)):
        state |= _gru(prefix, *piece)
    return state


def _conv(piece: tuple, layer: str, after: str) -> dict[str, Tensor]:
    """Return the weight and the bias of the convolution that follows the tensor `after`, as those of `layer`."""
    graph, tensors = piece
    node = next_node(graph, after)
    return {f"{layer}.{weight}": tensors[name] for weight, name in zip(("weight", "bias"), node.input[1:], strict=True)}


def _separable(piece: tuple, layer: str) -> dict[str, Tensor]:
    name = f"{layer}.0.weight"
    return {f"{layer}.depthwise.weight": piece[1][name]} | _conv(piece, f"{layer}.pointwise", _output_of(piece, name))


def _output_of(piece: tuple, weight: str) -> str:
    """Return the output of the node that has this weight."""
    return next(node.output[0] for node in piece[0].node if weight in node.input)


def _gru(name: str, graph: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the recurrent layers of a graph by our names."""
    state: dict[str, Tensor] = {}
    for layer, node in enumerate(n for n in graph.node if n.op_type == "GRU"):
        weights = torch_gates(*(tensors[key] for key in node.input[1:4]))
        state |= {f"{name}.gru.{weight}_l{layer}": tensor for weight, tensor in weights.items()}
    return state


def _checkpoint(source: Path) -> dict[str, Tensor]:
    """Return the dictionary of tensors in the checkpoint, or in the zip file around it."""
    if is_zip(source):
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as folder:
            name = next(name for name in archive.namelist() if name.endswith(".ckpt.best"))
            if archive.getinfo(name).file_size > MAX_GRAPH_BYTES:
                raise ValueError(f"{name} is too large")
            inner = Path(folder) / "model.ckpt"
            inner.write_bytes(archive.read(name))
            found = read(inner)
            return {key: value.clone() for key, value in found.items()} if isinstance(found, dict) else {}
    found = read(source)
    if not isinstance(found, dict):
        raise ValueError("no dictionary of tensors")
    return found


def _from_checkpoint(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights from upstream's, each batch normalization folded into the convolution before it."""
    found = {name.replace("clc", "df"): value for name, value in found.items()}  # as older files of the family say

    def folded(layer: str, weight: str, norm: str) -> dict[str, Tensor]:
        scale = found[f"{norm}.weight"] / (found[f"{norm}.running_var"] + EPSILON).sqrt()
        bias = found[f"{norm}.bias"] - found[f"{norm}.running_mean"] * scale
        return {f"{layer}.weight": found[f"{weight}.weight"] * scale[:, None, None, None], f"{layer}.bias": bias}

    def separable(layer: str, upstream: str) -> dict[str, Tensor]:
        depthwise = {f"{layer}.depthwise.weight": found[f"{upstream}.0.weight"]}
        return depthwise | folded(f"{layer}.pointwise", f"{upstream}.1", f"{upstream}.2")

    state = {
        "df_conv0.0.weight": found["enc.df_conv0.1.weight"],
        "df_fc_emb.weight": found["enc.df_fc_emb.0.weight"],
        "encoder_gru.linear_in.weight": found["enc.emb_gru.linear_in.0.weight"],
        "encoder_out.weight": found["enc.emb_gru.linear_out.0.weight"],
        "lsnr.weight": found["enc.lsnr_fc.0.weight"],
        "lsnr.bias": found["enc.lsnr_fc.0.bias"],
        "erb_gru.linear_in.weight": found["erb_dec.emb_gru.linear_in.0.weight"],
        "erb_out.weight": found["erb_dec.emb_gru.linear_out.0.weight"],
        "df_convp.0.weight": found["df_dec.df_convp.1.weight"],
        "df_gru.linear_in.weight": found["df_dec.df_gru.linear_in.0.weight"],
        "df_skip.weight": found["df_dec.df_skip.weight"],
        "df_out.weight": found["df_dec.df_out.0.weight"],
    }
    state |= folded("erb_conv0", "enc.erb_conv0.1", "enc.erb_conv0.2")
    for layer in ("erb_conv1", "erb_conv2", "erb_conv3", "df_conv1"):
        state |= separable(layer, f"enc.{layer}")
    state |= folded("df_conv0.1", "enc.df_conv0.2", "enc.df_conv0.3")
    for layer in ("convt3", "convt2", "convt1"):
        state |= separable(layer, f"erb_dec.{layer}")
    for level in "3210":
        state |= folded(f"conv{level}p", f"erb_dec.conv{level}p.0", f"erb_dec.conv{level}p.1")
    state |= folded("conv0_out", "erb_dec.conv0_out.0", "erb_dec.conv0_out.1")
    state |= folded("df_convp.1", "df_dec.df_convp.2", "df_dec.df_convp.3")
    recurrent = (("encoder_gru", "enc.emb_gru"), ("erb_gru", "erb_dec.emb_gru"), ("df_gru", "df_dec.df_gru"))
    for name, upstream in recurrent:
        prefix = f"{upstream}.gru."
        state |= {f"{name}.gru.{k.removeprefix(prefix)}": v for k, v in found.items() if k.startswith(prefix)}
    return state
