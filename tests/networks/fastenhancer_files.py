"""Files of FastEnhancer with golden weights, in the layouts of its releases: checkpoints, and ONNX files."""

from pathlib import Path

import numpy as np
import torch

from tests.golden_numbers import load, weight

SIZES = {"t": (24, 2, 2, 20, 16), "b": (48, 2, 3, 36, 24), "s": (64, 3, 3, 48, 36), "m": (96, 3, 4, 72, 48)}
SIZES |= {"l": (128, 4, 5, 96, 64)}
NORM = ("weight", "bias", "running_mean", "running_var")


def shapes(channels: int, convolutions: int, blocks: int, width: int, bands: int, positions: int) -> dict:
    """Names and shapes of the parameters of a checkpoint, by zoo of sizes."""
    found: dict[str, tuple[int, ...]] = {}

    def layer(name, shape, norm):
        found[f"{name}.weight"] = shape
        found.update({f"{norm}.{kind}": (shape[0],) for kind in NORM})
        found[f"{norm}.num_batches_tracked"] = ()

    layer("enc_pre.0", (channels, 8, 2), "enc_pre.1")
    for i in range(convolutions):
        layer(f"encoder.{i}.0", (channels, channels, 3), f"encoder.{i}.1")
    found["rf_pre.0.weight"] = (bands, positions)
    layer("rf_pre.1", (width, channels, 1), "rf_pre.2")
    found["rf_block.0.pe"] = (bands, width)
    for i in range(blocks):
        found.update({f"rf_block.{i}.rnn.bias_{kind}_l0": (3 * width,) for kind in ("ih", "hh")})
        for name in ("rnn.parametrizations.weight_ih_l0", "rnn.parametrizations.weight_hh_l0"):
            found |= {f"rf_block.{i}.{name}.original0": (3 * width, 1)}
            found |= {f"rf_block.{i}.{name}.original1": (3 * width, width)}
        layer(f"rf_block.{i}.rnn_fc", (width, width), f"rf_block.{i}.rnn_post_norm")
        found[f"rf_block.{i}.attn.qkv.parametrizations.weight.original0"] = (3 * width, 1)
        found[f"rf_block.{i}.attn.qkv.parametrizations.weight.original1"] = (3 * width, width)
        layer(f"rf_block.{i}.attn_fc", (width, width), f"rf_block.{i}.attn_post_norm")
    found["rf_post.0.weight"] = (positions, bands)
    layer("rf_post.1", (channels, width, 1), "rf_post.2")
    for i in range(convolutions):
        layer(f"decoder.{i}.0", (channels, 2 * channels, 1), f"decoder.{i}.1")
        layer(f"decoder.{i}.3", (channels, channels, 3), f"decoder.{i}.4")
    layer("dec_post.0", (channels, 2 * channels, 1), "dec_post.1")
    return found | {"dec_post.3.weight": (channels, 2, 8), "dec_post.3.bias": (2,), "dec_post.3.scale": (1,)}


def triangles(positions: int, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """The fixed matrices of the 16 kHz models, to bands and back."""
    centers = np.linspace(0, positions - 1, bands)
    distance = np.abs(np.arange(positions) - centers[:, None]) / (centers[1] - centers[0])
    shape = np.maximum(0, 1 - distance)
    to_bands = shape / shape.sum(axis=1, keepdims=True)
    back = to_bands.T
    return to_bands.astype(np.float32), (back / back.sum(axis=1, keepdims=True)).astype(np.float32)


def golden_state(item: str) -> dict[str, torch.Tensor]:
    """The state dict of a golden item."""
    about = load(item)[1]
    net = about["constructor"]
    blocks = net["rnnformer_kwargs"]
    sizes = (net["channels"], len(net["kernel_size"]) - 1, blocks["num_blocks"], blocks["channels"], blocks["freq"])
    return state(sizes, net["n_fft"] // 8, fixed=bool(about["kept"]))


def state(sizes: tuple[int, ...], positions: int, fixed: bool) -> dict[str, torch.Tensor]:
    """A state dict of these sizes with golden weights. `fixed`: the band matrices are those of the 16 kHz models."""
    values = {
        name: torch.from_numpy(np.asarray(weight(name, shape))) if shape else torch.tensor(0)
        for name, shape in shapes(*sizes, positions).items()
    }
    if fixed:
        matrices = triangles(positions, sizes[-1])
        values |= dict(zip(("rf_pre.0.weight", "rf_post.0.weight"), map(torch.from_numpy, matrices)))
    return values


def save_checkpoint(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save({"model": tensors, "optim": {"state": {}}, "epoch": 500, "scheduler": {"last_epoch": 500}}, path)
    return path


def save_onnx(path: Path, folded: dict[str, torch.Tensor]) -> Path:
    """Write the layers of a *.spec.onnx file in their order: names for convolutions and biases, numbers for matrices."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes, stored, number = [], [], iter(range(638, 2000))

    def keep(name, tensor):
        stored.append(numpy_helper.from_array(np.ascontiguousarray(tensor.numpy()), name))
        return name

    def matrix(name):
        key = keep(f"onnx::MatMul_{next(number)}", folded[name].T)
        nodes.append(helper.make_node("MatMul", ["x", key], ["x"]))

    def swapped(tensor):
        reset, update, new = tensor.chunk(3)
        return torch.cat([update, reset, new])

    matrix("rf_pre.0.weight")
    for block in range(sum(name.endswith("attn.qkv.weight") for name in folded)):
        gru = f"rf_block.{block}.rnn"
        biases = torch.cat([swapped(folded[f"{gru}.bias_ih_l0"]), swapped(folded[f"{gru}.bias_hh_l0"])])
        parts = [swapped(folded[f"{gru}.weight_ih_l0"]), swapped(folded[f"{gru}.weight_hh_l0"]), biases]
        keys = [keep(f"onnx::GRU_{next(number)}", part[None]) for part in parts]
        nodes.append(helper.make_node("GRU", ["x", *keys], ["x"]))
        for part in ("rnn_fc", "attn.qkv", "attn_fc"):
            matrix(f"rf_block.{block}.{part}.weight")
            nodes.append(helper.make_node("MatMul", ["x", "x"], ["x"]))  # of the attention: no weights
    matrix("rf_post.0.weight")
    in_matrices = ("rf_pre.0.weight", "rf_post.0.weight", "rnn_fc.weight", "qkv.weight", "attn_fc.weight")
    for name, tensor in folded.items():
        if not name.endswith(in_matrices) and ".rnn." not in name:
            keep(name, tensor)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    save(helper.make_model(helper.make_graph(nodes, "main", [x], [x], stored)), path)
    return path
