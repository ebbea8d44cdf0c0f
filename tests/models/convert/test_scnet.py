"""Checkpoints of SCNet: all containers, sizes from the shapes, the published shares and windows, settings beside the file."""

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.convert.scnet import convert
from enhance_cli.models.weights import load_network
from enhance_cli.networks.scnet import SCNet
from tests.golden_numbers import rel_l2
from tests.models.convert.foreign import SMALL_SCNET, scnet

YAML = """
audio: {chunk_size: 485100}
model: {band_SR: [0.175, 0.392, 0.433], nfft: 4096, hop_size: 1024, normalized: true}
training: {instruments: [drums, bass, other, vocals], target_instrument: null}
inference: {num_overlap: 4, normalize: true}
"""


def saved(path, content, settings=YAML):
    torch.save(content, path)
    path.with_suffix(".yaml").write_text(settings)
    return path


@pytest.mark.parametrize("container", [None, "state", "best_state"])
def test_a_file_of_weights_becomes_the_network_it_was(tmp_path, container):
    state = scnet()
    content = {"module." + name: tensor for name, tensor in state.items()} if container == "best_state" else state
    content = {container: content, "optimizer": None} if container else content
    if container == "best_state":
        content["state"] = {name: torch.zeros_like(tensor) for name, tensor in state.items()}  # not the averaged ones
    source = saved(tmp_path / "scnet.th", content)
    assert detect(source) == "scnet"
    spec = convert_file(source, "music", tmp_path / "music.safetensors")
    assert (spec.stems, spec.channels, spec.sample_rate) == (("drums", "bass", "other", "vocals"), 2, 44100)
    assert (spec.window_seconds, spec.overlap["windows"], spec.overlap["mirrored"]) == (11.0, 4, True)
    assert (spec.normalise, spec.complete) == ("deviation", True)
    theirs = SCNet(**SMALL_SCNET).eval()
    theirs.load_state_dict(state)
    mix = 0.1 * torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert rel_l2(load_network(tmp_path / "music.safetensors")[1].extract_all(mix), theirs.extract_all(mix)) < 1e-5


SMALL = {"dims": (4, 32, 64, 128), "shares": [0.175, 0.392, 0.433], "strides": (1, 4, 16), "kernels": (3, 4, 16)}
PUBLISHED = {
    "small": (SMALL | {"conv_depths": (3, 2, 1), "pairs": 6}, 10_578_768, "deviation"),
    "large": (
        SMALL | {"dims": (4, 64, 128, 256), "conv_depths": (3, 2, 1), "pairs": 6, "shares": [0.225, 0.372, 0.403]},
        42_181_232,
        "deviation",
    ),
    "XL IHF": ({"shares": [0.23, 0.37, 0.4]}, 53_466_800, "none"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_sizes_are_known_without_settings(tmp_path, name):
    args, count, normalise = PUBLISHED[name]
    with torch.device("meta"):
        state = SCNet(**args).state_dict()
    torch.save({key: torch.zeros(1).expand(tensor.shape) for key, tensor in state.items()}, tmp_path / "x.ckpt")
    weights, spec = convert(tmp_path / "x.ckpt")
    assert sum(tensor.numel() for tensor in weights.values()) == count and spec.normalise == normalise
    found = spec.network_args["extractor"]
    assert {
        name: list(value) if isinstance(value, tuple) else value for name, value in args.items()
    }.items() <= found.items()


def refused(source) -> str:
    with pytest.raises(ModelError) as error:
        convert(source)
    return str(error.value)


def test_other_networks_and_sizes_are_refused_in_a_line(tmp_path):
    usual, path = scnet(), tmp_path / "x.ckpt"
    assert "none of the published sizes" in refused(saved(path, usual, ""))
    assert "pos_embed_f is not part of it" in refused(saved(path, usual | {"pos_embed_f": torch.ones(3)}))
    assert "names for 4 stems of 2" in refused(saved(path, scnet(stems=2)))
    assert "model.hop_size is 512: only 1024 can be run here" in refused(
        saved(path, usual, YAML.replace("1024", "512"))
    )
    assert "no SCNet in it" in refused(saved(path, {"weight": torch.zeros(2)}))
