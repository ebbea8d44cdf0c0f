"""The published files of DeepFilterNet 3: the archive of graphs, and the torch checkpoint with its normalizations."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models import registry
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.weights import load_network
from enhance_cli.networks import NETWORKS
from tests.golden_numbers import rnormal

SEPARABLE = {"enc": ("erb_conv1", "erb_conv2", "erb_conv3", "df_conv1"), "erb_dec": ("convt3", "convt2", "convt1")}


def normalization(prefix, channels):
    return {
        f"{prefix}.weight": 1 + 0.1 * torch.from_numpy(rnormal(prefix + "w", (channels,))),
        f"{prefix}.bias": 0.1 * torch.from_numpy(rnormal(prefix + "b", (channels,))),
        f"{prefix}.running_mean": 0.1 * torch.from_numpy(rnormal(prefix + "m", (channels,))),
        f"{prefix}.running_var": 1 + 0.1 * torch.from_numpy(rnormal(prefix + "v", (channels,))).abs(),
        f"{prefix}.num_batches_tracked": torch.tensor(7),
    }


def checkpoint():
    """A state dictionary in upstream's layout, and what each normalized convolution is in it."""
    tensor = lambda name, *shape: 0.1 * torch.from_numpy(rnormal(name, shape))  # noqa: E731
    state, folded = {}, {}

    def conv(ours, name, norm, *shape):
        state[f"{name}.weight"] = tensor(name, *shape)
        state.update(normalization(norm, shape[0]))
        folded[ours] = (name, norm)

    conv("erb_conv0", "enc.erb_conv0.1", "enc.erb_conv0.2", 64, 1, 3, 3)
    for part, layers in SEPARABLE.items():
        for layer in layers:
            state[f"{part}.{layer}.0.weight"] = tensor(f"{part}.{layer}.0", 64, 1, 1, 3)
            conv(f"{layer}.pointwise", f"{part}.{layer}.1", f"{part}.{layer}.2", 64, 64, 1, 1)
    state["enc.df_conv0.1.weight"] = tensor("df_conv0", 64, 1, 3, 3)
    conv("df_conv0.1", "enc.df_conv0.2", "enc.df_conv0.3", 64, 64, 1, 1)
    for level in range(4):
        conv(f"conv{level}p", f"erb_dec.conv{level}p.0", f"erb_dec.conv{level}p.1", 64, 1, 1, 1)
    conv("conv0_out", "erb_dec.conv0_out.0", "erb_dec.conv0_out.1", 1, 64, 1, 3)
    state["df_dec.df_convp.1.weight"] = tensor("df_convp", 10, 32, 5, 1)
    conv("df_convp.1", "df_dec.df_convp.2", "df_dec.df_convp.3", 10, 10, 1, 1)
    state["enc.df_fc_emb.0.weight"] = tensor("df_fc_emb", 32, 96, 16)
    for prefix, groups, layers in (("enc.emb_gru", 16, 1), ("erb_dec.emb_gru", 16, 2), ("df_dec.df_gru", 8, 2)):
        state[f"{prefix}.linear_in.0.weight"] = tensor(prefix, groups, 512 // groups, 256 // groups)
        if groups == 16:
            state[f"{prefix}.linear_out.0.weight"] = tensor(prefix + "o", 16, 16, 32)
        for layer in range(layers):
            for kind, shape in (
                ("weight_ih", (768, 256)),
                ("weight_hh", (768, 256)),
                ("bias_ih", (768,)),
                ("bias_hh", (768,)),
            ):
                state[f"{prefix}.gru.{kind}_l{layer}"] = tensor(f"{prefix}{kind}{layer}", *shape)
    state |= {"enc.lsnr_fc.0.weight": tensor("lsnr", 1, 512), "enc.lsnr_fc.0.bias": tensor("lsnr_b", 1)}
    state |= {"df_dec.df_skip.weight": tensor("skip", 16, 32, 16), "df_dec.df_out.0.weight": tensor("out", 16, 16, 60)}
    state |= {"df_dec.df_fc_a.0.weight": tensor("a", 1, 256), "df_dec.df_fc_a.0.bias": tensor("ab", 1)}  # not used
    state |= {"erb_fb": tensor("fb", 481, 32), "mask.erb_inv_fb": tensor("inv", 32, 481)}  # made by formula
    return state, folded


def test_a_checkpoint_is_read_and_its_normalizations_folded(tmp_path):
    state, folded = checkpoint()
    path = tmp_path / "model_120.ckpt.best"
    torch.save(state, path)
    assert detect(path) == "deepfilternet"
    convert_file(path, "x", tmp_path / "x.safetensors")
    network = load_network(tmp_path / "x.safetensors")[1]
    layers = dict(network.named_modules())
    for ours, (name, norm) in folded.items():
        layer = layers[ours]
        h = torch.from_numpy(rnormal("h", (1, layer.in_channels, 6, 6)))
        plain = torch.nn.functional.conv2d(
            h, state[f"{name}.weight"], None, layer.stride, layer.padding, groups=layer.groups
        )
        entries = (state[f"{norm}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias"))
        expected = torch.nn.functional.batch_norm(plain, *entries, eps=1e-5)
        assert torch.allclose(layer(h), expected, atol=1e-5), ours
    assert torch.equal(network.df_gru.gru.weight_hh_l1, state["df_dec.df_gru.gru.weight_hh_l1"])


def test_the_published_zip_around_a_checkpoint(tmp_path):
    state, _ = checkpoint()
    inner = io.BytesIO()
    torch.save(state, inner)
    path = tmp_path / "DeepFilterNet3.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("DeepFilterNet3/config.ini", "[df]\n")
        archive.writestr("DeepFilterNet3/checkpoints/model_120.ckpt.best", inner.getvalue())
    assert detect(path) == "deepfilternet"
    convert_file(path, "x", tmp_path / "x.safetensors")


def exported(network, folder):
    """The three graphs as the publisher exports them: folded, GRU weights as constants, in an archive."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    counter = iter(range(1000))

    class Graph:
        def __init__(self, inputs):
            self.nodes, self.stored, self.inputs = [], [], inputs

        def add(self, kind, *inputs, **attributes):
            name = f"t{next(counter)}"
            self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
            return name

        def store(self, name, array):
            self.stored.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name

        def conv(self, layer, h):
            stored = [self.store(f"onnx::Conv_{next(counter)}", weights[f"{layer}.{k}"]) for k in ("weight", "bias")]
            return self.add("Relu", self.add("Conv", h, *stored))

        def separable(self, layer, h):
            name = self.store(f"{layer}.0.weight", weights[f"{layer}.depthwise.weight"])
            return self.conv(f"{layer}.pointwise", self.add("Conv", h, name))

        def gru(self, layer, h):
            name, number = layer
            swap = lambda a: np.concatenate([a[256:512], a[:256], a[512:]])  # noqa: E731
            parts = [
                swap(weights[f"{name}.gru.{k}_l{number}"]) for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            constants = []
            for array in (parts[0], parts[1], np.concatenate(parts[2:])):
                constants.append(f"c{next(counter)}")
                value = numpy_helper.from_array(np.ascontiguousarray(array[None]))
                self.nodes.append(helper.make_node("Constant", [], [constants[-1]], value=value))
            return self.add("GRU", h, *constants, hidden_size=256, linear_before_reset=1)

        def content(self, output):
            ins = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in self.inputs]
            outs = [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)]
            return helper.make_model(helper.make_graph(self.nodes, "g", ins, outs, self.stored)).SerializeToString()

    encoder = Graph(["feat_erb", "feat_spec"])
    h = encoder.conv("erb_conv0", encoder.add("Pad", "feat_erb"))
    for layer in ("erb_conv1", "erb_conv2", "erb_conv3"):
        h = encoder.separable(layer, h)
    c = encoder.add("Conv", "feat_spec", encoder.store("df_conv0.1.weight", weights["df_conv0.0.weight"]))
    c = encoder.separable("df_conv1", encoder.conv("df_conv0.1", c))
    for name, ours in (("df_fc_emb.0", "df_fc_emb"), ("emb_gru.linear_in.0", "encoder_gru.linear_in")):
        c = encoder.add("Einsum", c, encoder.store(f"{name}.weight", weights[f"{ours}.weight"]))
    h = encoder.gru(("encoder_gru", 0), c)
    h = encoder.add("Einsum", h, encoder.store("emb_gru.linear_out.0.weight", weights["encoder_out.weight"]))
    h = encoder.add("MatMul", h, encoder.store("onnx::MatMul_9", weights["lsnr.weight"].T))
    h = encoder.add("Add", h, encoder.store("lsnr_fc.0.bias", weights["lsnr.bias"]))
    bands = Graph(["emb", "e3", "e2", "e1", "e0"])
    b = bands.add("Einsum", "emb", bands.store("emb_gru.linear_in.0.weight", weights["erb_gru.linear_in.weight"]))
    b = bands.gru(("erb_gru", 1), bands.gru(("erb_gru", 0), b))
    b = bands.add("Einsum", b, bands.store("emb_gru.linear_out.0.weight", weights["erb_out.weight"]))
    for level, up in ((3, "convt3"), (2, "convt2"), (1, "convt1")):
        b = bands.separable(up, bands.add("Add", bands.conv(f"conv{level}p", f"e{level}"), b))
    b = bands.conv("conv0_out", bands.add("Add", bands.conv("conv0p", "e0"), b))
    filters = Graph(["emb", "c0"])
    f = filters.add("Einsum", "emb", filters.store("df_gru.linear_in.0.weight", weights["df_gru.linear_in.weight"]))
    f = filters.gru(("df_gru", 1), filters.gru(("df_gru", 0), f))
    for name, ours in (("df_skip", "df_skip"), ("df_out.0", "df_out")):
        f = filters.add("Einsum", f, filters.store(f"{name}.weight", weights[f"{ours}.weight"]))
    p = filters.add("Conv", "c0", filters.store("df_convp.1.weight", weights["df_convp.0.weight"]))
    f = filters.add("Add", f, filters.conv("df_convp.1", p))
    path = folder / "DeepFilterNet3_onnx.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (
            ("enc", encoder.content(h)),
            ("erb_dec", bands.content(b)),
            ("df_dec", filters.content(f)),
        ):
            member = tarfile.TarInfo(f"tmp/export/{name}.onnx")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_the_archive_of_graphs_is_read_back(tmp_path):
    entry = registry.find("deepfilternet3", "denoise")
    network = load_network(entry.path)[1]
    path = exported(network, tmp_path)
    assert detect(path) == "deepfilternet"
    spec = convert_file(path, "x", tmp_path / "x.safetensors")
    assert spec.sample_rate == 48000 and spec.process == ""
    again = load_network(tmp_path / "x.safetensors")[1]
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_an_archive_that_lacks_a_layer_is_refused_by_name(tmp_path):
    network = NETWORKS["deepfilternet"]()
    path = exported(network, tmp_path)
    broken = tmp_path / "broken.tar.gz"
    with tarfile.open(path) as source, tarfile.open(broken, "w:gz") as target:
        for member in source:
            content = source.extractfile(member).read().replace(b"df_skip.weight", b"df_skap.weight")
            target.addfile(member, io.BytesIO(content))
    with pytest.raises(ModelError, match="not a DeepFilterNet 3.*df_skip.weight"):
        convert_file(broken, "x", tmp_path / "x.safetensors")
