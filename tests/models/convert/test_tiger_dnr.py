"""Checkpoints of TIGER-DnR: .safetensors and torch files, sizes from the shapes, the published windows."""

import pytest
import torch
from safetensors.torch import save_file

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.convert.tiger_dnr import convert
from enhance_cli.models.weights import load_network
from enhance_cli.networks.tiger_dnr import TigerDnR
from tests.golden_numbers import rel_l2
from tests.models.convert.foreign import SMALL_TIGER, tiger_dnr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_a_file_of_weights_becomes_the_network_it_was(tmp_path, name):
    (save_file if name.endswith("safetensors") else torch.save)(tiger_dnr(), tmp_path / name)
    assert detect(tmp_path / name) == "tiger-dnr"
    spec = convert_file(tmp_path / name, "film", tmp_path / "film.safetensors")
    assert (spec.stems, spec.channels, spec.sample_rate) == (("dialogue", "music", "effects"), 1, 44100)
    assert (spec.window_seconds, spec.complete) == (12.0, True)
    assert spec.overlap == {"windows": 3, "fade": 0.0, "mirrored": False}
    network = load_network(tmp_path / "film.safetensors")[1]
    theirs = TigerDnR(**SMALL_TIGER).eval()
    theirs.load_state_dict(tiger_dnr())
    mix = 0.1 * torch.randn(1, 1, 9000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for label in torch.eye(3):
            assert rel_l2(network.extract(mix, label[None])[0], theirs.extract(mix, label[None])[0]) < 1e-5
    assert network.receptive_field(0) is None and network.extract_all(mix) is None


@pytest.mark.slow
def test_the_published_sizes_are_read_off_the_shapes(tmp_path):
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in TigerDnR().state_dict().items()}
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size == 17_130_568, "the published size"
    weights, spec = convert(tmp_path / "model.safetensors")
    assert sum(tensor.numel() for tensor in weights.values()) == 4_221_846
    args = spec.network_args["extractor"]
    assert (args["channels"], args["hidden"], args["depth"], args["heads"], args["sources"]) == (132, 256, 5, 4, 3)


def refused(tmp_path, state) -> str:
    torch.save(state, tmp_path / "x.ckpt")
    with pytest.raises(ModelError) as error:
        convert(tmp_path / "x.ckpt")
    return str(error.value)


@pytest.mark.slow
def test_what_looks_alike_is_refused_in_a_line(tmp_path):
    usual = tiger_dnr()
    assert "no TIGER-DnR in it" in refused(tmp_path, {"weight": torch.zeros(2)})
    speech = {name: tensor for name, tensor in usual.items() if not name.startswith("music.")}
    assert "music.BN.0.0.weight [4] is missing" in refused(tmp_path, speech)
    assert "bands are not those for windows of 2048" in refused(
        tmp_path, usual | {"dialog.BN.3.0.weight": torch.ones(6)}
    )
    assert "gate is not part of it" in refused(tmp_path, usual | {"dialog.gate": torch.ones(6)})


def test_a_model_file_of_this_program_is_no_checkpoint(tmp_path):
    save_file(tiger_dnr(), tmp_path / "model.safetensors")
    convert_file(tmp_path / "model.safetensors", "film", tmp_path / "film.safetensors")
    with pytest.raises(ModelError, match="film.safetensors: is a model file already"):
        detect(tmp_path / "film.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="x.safetensors: not a safetensors file"):
        detect(tmp_path / "x.safetensors")
