"""Files of speaker and repair networks as their programs write them: read, named, refused, and run."""

import shutil

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.extractor import load_extractor_file
from enhance_cli.models.load import load_file
from enhance_cli.models.spec import read_spec
from enhance_cli.networks import NETWORKS
from tests import golden_numbers as golden
from tests.golden_numbers import FOLDER, load, rel_l2, rnormal, wave

CPU = torch.device("cpu")
SMALL = {
    "ecapa": {"dimension": 6, "channels": 16, "pooled": 24, "inner": 8},
    "ge2e": {},
    "wespeaker_resnet34": {"dimension": 6, "channels": 4},
}


def named(network: str, salt: str = "", prefix: str = "", **args) -> dict[str, torch.Tensor]:
    state = golden.weights(NETWORKS[network](**args).state_dict(), salt)
    return {prefix + name: tensor for name, tensor in state.items()}


def test_the_repair_of_a_seed_file_computes_what_its_program_does(tmp_path):
    source = FOLDER / "seed_tiny.model"
    assert detect(source) == "seed"
    spec = convert_file(source, "tiny", tmp_path / "tiny.safetensors", extractor_id="mine")
    assert (spec.task, spec.process, spec.normalise, spec.default_time) == ("enhance-embedding", "ddpm", "unit-rms", 50)
    assert spec.extractor == {"id": "mine", "dimension": 64} and spec.samplers == ("ddim",)
    model = load_file(tmp_path / "tiny.safetensors", CPU)
    assert model.frontend is None
    x = torch.from_numpy(rnormal("seed_tiny_e", (2, 64)))
    expected, about = load("seed_tiny_expect")
    out = model.bind(x)[1](x, torch.tensor([50.0, 7.0]))
    assert rel_l2(out.numpy(), expected["out"]) < about["tolerance"]["rel_l2"]


def test_the_id_of_a_repair_is_told_by_its_size_or_not_known(tmp_path):
    for dimension, extractor_id in ((256, "ecapa-seed"), (512, "resnetse34v2-seed"), (8, "unknown")):
        torch.save(named("rdm_mlp", dimension=dimension, blocks=1), tmp_path / "x.model")
        spec = convert_file(tmp_path / "x.model", "x", tmp_path / "x.safetensors")
        assert spec.extractor == {"id": extractor_id, "dimension": dimension} and spec.network_args["blocks"] == 1


@pytest.mark.parametrize(
    ("network", "extractor_id", "left_over"),
    [
        ("ecapa_seed", "ecapa-seed", ["torchmfcc.1.dct_mat", "torchmfcc.0.flipped_filter", "bn6.weight"]),
        ("resnet_se34", "resnetse34v2-seed", ["torchfb.1.mel_scale.fb"]),
    ],
)
def test_speaker_networks_of_seed_leave_their_feature_matrices_behind(network, extractor_id, left_over, tmp_path):
    state = named(network)
    torch.save(state | {name: torch.ones(3) for name in left_over}, tmp_path / "x.model")
    assert detect(tmp_path / "x.model") == "seed"
    convert_file(tmp_path / "x.model", "x", tmp_path / "x.safetensors")
    extractor = load_extractor_file(tmp_path / "x.safetensors")
    item = {"ecapa-seed": "seed_ecapa_tdnn", "resnetse34v2-seed": "seed_resnetse34v2"}[extractor_id]
    expected, about = load(item)
    assert (extractor.id, extractor.dimension) == (extractor_id, expected["emb"].shape[1])
    found = extractor.embed(torch.from_numpy(wave(f"spk_{item}", 32000, 16000))[None])
    assert rel_l2(found.numpy(), expected["emb"]) < about["tolerance"]["rel_l2"]


def test_names_and_constants_of_the_older_program_are_known(tmp_path):
    torch.save(named("resnet_se34", prefix="__S__.") | {"__L__.fc.weight": torch.ones(2, 2)}, tmp_path / "x.model")
    assert detect(tmp_path / "x.model") == "seed"
    spec = convert_file(tmp_path / "x.model", "x", tmp_path / "x.safetensors")
    assert spec.network_args == {"dimension": 512, "floor": 1e-5}
    load_extractor_file(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("network", "converter", "wrapped", "left_over"),
    [
        ("ecapa", "speechbrain-ecapa", lambda state: state, {}),
        ("wespeaker_resnet34", "wespeaker", lambda state: state, {"projection.weight": torch.ones(9, 6)}),
        ("ge2e", "resemblyzer", lambda state: {"step": 5, "model_state": state}, {"similarity_weight": torch.ones(1)}),
    ],
)
def test_other_speaker_networks(network, converter, wrapped, left_over, tmp_path):
    state = named(network, **SMALL[network])
    torch.save(wrapped(state | left_over), tmp_path / "x.pt")
    assert detect(tmp_path / "x.pt") == converter
    convert_file(tmp_path / "x.pt", "x", tmp_path / "x.safetensors", licence="CC0")
    extractor = load_extractor_file(tmp_path / "x.safetensors")
    spec = read_spec(tmp_path / "x.safetensors")
    assert (spec.task, spec.sample_rate, spec.licence) == ("embed-speaker", 16000, "CC0")
    found = extractor.embed(torch.from_numpy(wave("x", 16000, 16000))[None])
    assert found.shape == (1, spec.extractor["dimension"]) and torch.isfinite(found).all()
    assert all(torch.equal(extractor.network.state_dict()[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("converter", "spoil", "message"),
    [
        ("wespeaker", lambda s: s.pop("bn1.bias"), r"not the weights of wespeaker_resnet34: bn1.bias \[4\] is missing"),
        ("wespeaker", lambda s: s.update({"bn1.bias": torch.ones(3)}), r"bn1.bias is \[3\], not \[4\]"),
        ("wespeaker", lambda s: s.update({"seg_2.bias": torch.ones(3)}), "seg_2.bias is not part of it"),
        ("seed", lambda s: None, "none of SEED's networks"),
        ("speechbrain-ecapa", lambda s: None, "not the weights of ecapa: blocks.0.conv.conv.weight .* is missing"),
        ("resemblyzer", lambda s: None, "no weights of resemblyzer"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_first_difference(converter, spoil, message, tmp_path):
    state = named("wespeaker_resnet34", **SMALL["wespeaker_resnet34"])
    spoil(state)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(ModelError, match=message):
        convert_file(tmp_path / "x.pt", "x", tmp_path / "x.safetensors", converter=converter)
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("converter", ["seed", "speechbrain-ecapa", "wespeaker", "resemblyzer"])
@pytest.mark.parametrize("file", ["malicious_zip.ckpt", "malicious_legacy.ckpt", "malicious_plain.pkl"])
def test_a_file_that_would_run_code_is_refused(converter, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(FOLDER / file, tmp_path)
    with pytest.raises(ModelError, match="refused"):
        convert_file(tmp_path / file, "x", tmp_path / "x.safetensors", converter=converter)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_an_id_is_only_for_embeddings(tmp_path):
    source = FOLDER / "sgmse_tiny_classic.ckpt"
    with pytest.raises(ModelError, match="not a model of speaker embeddings"):
        convert_file(source, "x", tmp_path / "x.safetensors", converter="sgmse", extractor_id="mine")


def test_the_command_converts_and_describes_them(enhance, tmp_path):
    done = enhance("models", "convert", FOLDER / "seed_tiny.model", "-o", "tiny.safetensors", "--extractor", "mine")
    assert done.code == 0 and done.lines == ["tiny.safetensors"] and "embeddings mine" in done.stderr
    assert '"id": "mine"' in enhance("models", "show", "tiny.safetensors").stdout.decode()
    assert '"embed-speaker"' in enhance("models", "list", "--json").stdout.decode()
    refused = enhance("denoise", FOLDER.parent / "audio_files" / "noisy_speech.flac", "--model", "tiny.safetensors")
    assert refused.code == 3 and "a model for enhance-embedding, not for denoise" in refused.errors[0]
