"""Checkpoints of BS-RoFormer: sizes from the shapes alone, run as published, and what looks alike is refused in one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.bs_roformer import convert
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.weights import load_network
from enhance_cli.networks.bs_roformer import BSRoformer
from tests import golden_numbers as golden
from tests.models.convert.foreign import SMALL_ROFORMER, bs_roformer

STEMS = ("drums", "bass", "other", "vocals")
LIGHTNING = "model.unet."


def lightning(path, state, **settings):
    torch.save({"state_dict": state, "hyper_parameters": settings, "epoch": 3, "global_step": 30}, path)
    return path


@pytest.fixture
def plain(tmp_path):
    torch.save(bs_roformer(), tmp_path / "model_bs_roformer.ckpt")
    return tmp_path / "model_bs_roformer.ckpt"


def test_a_plain_file_of_weights_becomes_the_network_it_was(plain, tmp_path):
    assert detect(plain) == "bs-roformer"
    spec = convert_file(plain, "music", tmp_path / "music.safetensors")
    assert (spec.task, spec.stems, spec.channels, spec.sample_rate) == ("extract-stem", STEMS, 2, 44100)
    assert (spec.window_seconds, spec.complete, spec.min_steps, spec.max_steps) == (11.0, True, 0, 0)
    assert spec.overlap == {"windows": 2, "fade": 0.1, "mirrored": True}
    network = load_network(tmp_path / "music.safetensors")[1]
    theirs = BSRoformer(**SMALL_ROFORMER).eval()
    theirs.load_state_dict({name: tensor for name, tensor in bs_roformer().items() if "rotary" not in name})
    mix = 0.1 * torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network.extract_all(mix), theirs.extract_all(mix), rtol=0, atol=1e-6)
    assert network.receptive_field(0) is None


def test_the_published_sizes_are_read_off_the_shapes(tmp_path):
    with torch.device("meta"):
        state = BSRoformer().state_dict()
    torch.save({key: torch.zeros(1).expand(tensor.shape) for key, tensor in state.items()}, tmp_path / "x.ckpt")
    weights, spec = convert(tmp_path / "x.ckpt")
    assert sum(tensor.numel() for tensor in weights.values()) == 131_704_100
    args = spec.network_args["extractor"]
    assert (args["dim"], args["depth"], args["n_fft"], args["hop"], len(args["bands"])) == (384, 8, 2048, 441, 62)


def test_one_stem_with_its_settings_beside_it_has_a_rest(tmp_path):
    state = golden.weights(BSRoformer(**SMALL_ROFORMER | {"stems": 1}).state_dict())
    torch.save(state, tmp_path / "ep_317.ckpt")
    settings = "audio: {chunk_size: 352800}\ntraining: {instruments: [Vocals, other], target_instrument: Vocals}\n"
    (tmp_path / "ep_317.yaml").write_text(settings + "inference: {num_overlap: 4}\n")
    spec = convert_file(tmp_path / "ep_317.ckpt", "vocals", tmp_path / "vocals.safetensors")
    assert spec.stems == ("vocals", "rest") and (spec.window_seconds, spec.overlap["windows"]) == (8.0, 4)
    network = load_network(tmp_path / "vocals.safetensors")[1]
    mix = 0.1 * torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network.extract_all(mix).sum(dim=1), mix, rtol=0, atol=1e-6)


def test_safetensors_in_several_pieces_are_read_by_their_index(plain, tmp_path):
    state = {name: tensor.clone() for name, tensor in bs_roformer().items()}
    names, pieces = sorted(state), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for piece, held in zip(pieces, (names[:20], names[20:])):
        save_file({name: state[name] for name in held}, tmp_path / piece)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: pieces[names.index(name) >= 20] for name in names}}))
    assert detect(index) == "bs-roformer"
    whole, found = convert(plain)[0], convert(index)[0]
    assert found.keys() == whole.keys() and all(torch.equal(found[name], whole[name]) for name in whole)
    with pytest.raises(ModelError, match="one of several files: convert their index"):
        convert(tmp_path / pieces[0])
    (tmp_path / pieces[1]).unlink()
    with pytest.raises(ModelError, match="model-00002-of-00002.safetensors is not beside it: fetch all"):
        convert(index)
    index.write_text('{"weight_map": {"a": "../a.safetensors"}}')
    with pytest.raises(ModelError, match="not an index of .safetensors files"):
        convert(index)


@pytest.mark.parametrize("zero_dc", [None, False])
def test_dicose_says_its_hop_and_takes_the_lowest_bin_out(tmp_path, zero_dc):
    settings = {"stft_hop_length": 512, "model_type": "bs_roformer"} | ({} if zero_dc is None else {"zero_dc": zero_dc})
    source = lightning(tmp_path / "model.ckpt", bs_roformer(LIGHTNING), **settings)
    assert detect(source) == "bs-roformer"
    weights, spec = convert(source)
    args = spec.network_args["extractor"]
    assert (args["hop"], args["zero_dc"], spec.training) == (512, zero_dc is None, {"epoch": 3, "global_step": 30})
    assert all(torch.equal(weights["extractor." + k], v) for k, v in bs_roformer().items() if "rotary" not in k)


def test_a_file_in_half_precision_loses_nothing_of_the_positions(tmp_path):
    torch.save({name: tensor.half() for name, tensor in bs_roformer().items()}, tmp_path / "half.ckpt")
    weights, _ = convert(tmp_path / "half.ckpt")
    assert not any("rotary" in name for name in weights)


def refused(tmp_path, state) -> str:
    torch.save(state, tmp_path / "x.ckpt")
    with pytest.raises(ModelError) as error:
        convert(tmp_path / "x.ckpt")
    return str(error.value)


def test_what_looks_alike_is_refused_in_a_line(tmp_path):
    usual = bs_roformer()
    name = "layers.0.0.layers.0.0.rotary_embed.freqs"
    assert f"{name} are not the usual" in refused(tmp_path, usual | {name: usual[name] * 2})
    newer = usual | {"layers.0.0.layers.0.0.to_value_residual_mix.weight": torch.zeros(2, 8)}
    assert "to_value_residual_mix.weight is not part of it" in refused(tmp_path, newer)
    assert "final_norm.gamma" in refused(tmp_path, {k: v for k, v in usual.items() if k != "final_norm.gamma"})
    shape = "layers.0.1.layers.0.1.net.4.weight"
    assert f"{shape} is [3, 3], not [8, 16]" in refused(tmp_path, usual | {shape: torch.zeros(3, 3)})
    mel = usual | {
        "band_split.to_features.4.0.gamma": torch.ones(2000),
        "band_split.to_features.4.1.weight": torch.ones(8, 2000),
    }
    assert "Mel-band" in refused(tmp_path, mel)
    vocals = {
        key: value
        for key, value in usual.items()
        if not key.startswith(("mask_estimators.1", "mask_estimators.2", "mask_estimators.3"))
    }
    assert "masks for 1 stems, and their names are not in the file" in refused(tmp_path, vocals)
    assert "no BS-RoFormer in it" in refused(tmp_path, {"weight": torch.zeros(2)})


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"skip_connection": True}, "model.skip_connection is True"),
        ({"stft_hop_length": 4000}, "a hop of 4000 for windows of 2048 samples"),
    ],
)
def test_settings_that_change_the_network_are_refused(tmp_path, settings, word):
    with pytest.raises(ModelError, match=word):
        convert(lightning(tmp_path / "x.ckpt", bs_roformer(LIGHTNING), **settings))


def test_a_refiner_of_this_kind_is_refused_and_the_deterministic_file_named(tmp_path):
    state = bs_roformer("net.model.unet.") | bs_roformer("pre_trained_mixture_feature_extractor_model.model.unet.")
    source = lightning(tmp_path / "x.ckpt", state)
    assert detect(source) == "bs-roformer"
    with pytest.raises(
        ModelError, match="refiner of a kind that this version cannot run: use the file of DiCoSe's determ"
    ):
        convert(source)
