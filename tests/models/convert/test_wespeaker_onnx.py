"""WeSpeaker's .onnx files: what torch's exporter makes of the network, with and without its normalizations, read back."""

import shutil
import warnings

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.extractor import load_extractor_file
from enhance_cli.networks import NETWORKS
from tests import golden_numbers as golden
from tests.golden_numbers import rel_l2, rnormal, wave

onnx = pytest.importorskip("onnx")
MEAN = torch.from_numpy(rnormal("mean", (6,)))


class Exported(torch.nn.Module):
    """As the publisher exports: features in, embedding minus a mean out."""

    def __init__(self):
        super().__init__()
        self.model = NETWORKS["wespeaker_resnet34"](dimension=6, channels=4)
        self.model.load_state_dict(golden.weights(self.model.state_dict()))
        self.register_buffer("mean_vec", MEAN)

    def forward(self, features):
        return self.model.from_features(features) - self.mean_vec


def export(path, folded=True):
    network = Exported().eval()
    kind = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    settings = {"input_names": ["feats"], "output_names": ["embs"], "opset_version": 14, "training": kind}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"feats": {0: "B", 1: "T"}, "embs": {0: "B"}}
        torch.onnx.export(network, torch.ones(1, 50, 80), path, dynamo=False, dynamic_axes=axes, **settings)
    return network


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    return path, export(path)


def change(path, target, edit):
    model = onnx.load(path)
    edit(model.graph)
    target.write_bytes(model.SerializeToString())
    return target


def embeddings(path, tmp_path):
    assert detect(path) == "wespeaker-onnx"
    spec = convert_file(path, "x", tmp_path / "x.safetensors")
    assert spec.extractor == {"id": "wespeaker-voxceleb-resnet34", "dimension": 6}
    waves = torch.from_numpy(wave("x", 16000, 16000))[None]
    return load_extractor_file(tmp_path / "x.safetensors").embed(waves), waves


def test_a_published_style_file_gives_the_embeddings_of_the_network_it_was_made_from(exported, tmp_path):
    path, network = exported
    graph = onnx.load(path).graph
    assert not [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert not {"model.conv1.weight", "model.layer1.0.conv1.weight"} & {tensor.name for tensor in graph.initializer}
    found, waves = embeddings(path, tmp_path)
    with torch.inference_mode():
        expected = network.model(waves) - MEAN
    assert rel_l2(found.numpy(), expected.numpy()) < 1e-5


def test_a_file_that_is_not_named_so_is_converted_where_its_kind_is_told(exported, enhance, tmp_path):
    shutil.copy(exported[0], tmp_path / "weights")
    done = enhance("models", "convert", "weights", "-o", "x.safetensors", "--from", "wespeaker-onnx")
    assert done.code == 0 and done.lines == ["x.safetensors"], done.stderr


def test_the_runtime_gives_the_same(exported, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    path, network = exported
    found, waves = embeddings(path, tmp_path)
    with torch.inference_mode():
        features = network.model.features(waves).numpy()
    (theirs,) = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"feats": features})
    assert rel_l2(found.numpy(), theirs) < 1e-5


def test_normalizations_that_were_not_folded_are_read_too(tmp_path):
    network = export(tmp_path / "whole.onnx", folded=False)
    assert [n for n in onnx.load(tmp_path / "whole.onnx").graph.node if n.op_type == "BatchNormalization"]
    found, waves = embeddings(tmp_path / "whole.onnx", tmp_path)
    with torch.inference_mode():
        assert rel_l2(found.numpy(), (network.model(waves) - MEAN).numpy()) < 1e-5


def first(graph, kind):
    return next(node for node in graph.node if node.op_type == kind)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda graph: graph.node.remove(first(graph, "Conv")), "32 convolutions of size 3, not 33"),
        (lambda graph: graph.node.remove(first(graph, "Gemm")), "one linear layer"),
        (lambda graph: setattr(graph.initializer[0], "data_location", 1), "its weights are in another file"),
    ],
)
def test_other_networks_are_refused(exported, edit, message, tmp_path):
    path = change(exported[0], tmp_path / "odd.onnx", edit)
    with pytest.raises(ModelError, match=message):
        convert_file(path, "x", tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_damaged_files_are_refused(exported, tmp_path):
    data = exported[0].read_bytes()
    for number, spoilt in enumerate((data[: len(data) // 2], b"not at all", b"")):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(spoilt)
        with pytest.raises(ModelError, match="not an ONNX file|no weights of WeSpeaker"):
            convert_file(path, "x", tmp_path / "x.safetensors")
