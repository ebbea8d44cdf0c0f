"""Checkpoints of Mel-Band RoFormer: sizes from the shapes, settings from the file beside, the published names and windows."""

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.convert.mel_band_roformer import convert
from enhance_cli.models.weights import load_network
from enhance_cli.networks.mel_band_roformer import MelBandRoformer
from tests.golden_numbers import FOLDER
from tests.models.convert.foreign import SMALL_MEL_ROFORMER, mel_band_roformer

YAML = """
audio:
  chunk_size: {chunk}
  hop_length: 441
model:
  dim: 8
  num_bands: 12
  stft_hop_length: {hop}
  skip_connection: {skip}
  multi_stft_resolutions_window_sizes: !!python/tuple
  - 4096
  - 2048
training:
  instruments: [{stems}]
  target_instrument: {target}
inference:
  num_overlap: {windows}
"""
USUAL = {"chunk": 352800, "hop": 441, "skip": "false", "stems": "Vocals, other", "target": "Vocals", "windows": 2}


def saved(path, state, **settings):
    torch.save(state, path)
    if settings:
        path.with_suffix(".yaml").write_text(YAML.format(**USUAL | settings))
    return path


def extractor(spec) -> dict:
    return spec.network_args["extractor"]


def test_a_plain_file_of_weights_becomes_vocals_and_the_rest_as_published(tmp_path):
    source = saved(tmp_path / "MelBandRoformer.ckpt", mel_band_roformer())
    assert detect(source) == "mel-band-roformer"
    spec = convert_file(source, "vocals", tmp_path / "vocals.safetensors")
    assert (spec.stems, spec.channels, spec.sample_rate, spec.complete) == (("vocals", "rest"), 2, 44100, True)
    assert spec.window_seconds * 44100 == 352800 and spec.overlap == {"windows": 2, "fade": 0.1, "mirrored": True}
    network = load_network(tmp_path / "vocals.safetensors")[1]
    theirs = MelBandRoformer(**SMALL_MEL_ROFORMER).eval()
    theirs.load_state_dict({name: tensor for name, tensor in mel_band_roformer().items() if "rotary" not in name})
    mix = 0.1 * torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        vocals = theirs.extract_all(mix)[:, 0]
        expected = torch.stack([vocals, mix - vocals], dim=1)
        torch.testing.assert_close(network.extract_all(mix), expected, rtol=0, atol=1e-6)


def test_the_published_sizes_are_read_off_the_shapes(tmp_path):
    lines = (line.split(" ", 1) for line in (FOLDER / "melband_roformer_keys.txt").read_text().splitlines())
    shapes = {name: [int(n) for n in shape.strip("[]").split(", ")] for name, shape in lines}
    frequencies = 10000 ** -(torch.arange(0, 64, 2) / 64)
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    state |= {name: frequencies for name in shapes if name.endswith("rotary_embed.freqs")}
    torch.save(state, tmp_path / "MelBandRoformer.ckpt")
    weights, spec = convert(tmp_path / "MelBandRoformer.ckpt")
    assert sum(tensor.numel() for tensor in weights.values()) == 228_203_172 - 12 * 32
    published = {"dim": 384, "depth": 6, "heads": 8, "dim_head": 64, "bands": 60, "mask_depth": 3, "mask_expansion": 4}
    assert published.items() <= extractor(spec).items() and extractor(spec)["rest"]


@pytest.mark.parametrize("container", ["state", "state_dict", "model_state_dict"])
def test_weights_in_a_container_and_settings_beside_them(tmp_path, container):
    state = mel_band_roformer(stems=2, time_layers=2)
    source = saved(
        tmp_path / "karaoke.ckpt", {container: state},
        chunk=485100, hop=512, skip="true", stems="Vocals, Instrumental", target="null", windows=8,
    )  # fmt: skip
    assert detect(source) == "mel-band-roformer"
    _, spec = convert(source)
    assert spec.stems == ("vocals", "instrumental") and spec.overlap["windows"] == 8 and spec.window_seconds == 11
    args = {"hop": 512, "skip_connection": True, "rest": False, "stems": 2, "time_layers": 2, "zero_dc": False}
    assert args.items() <= extractor(spec).items()


def test_linear_attention_is_seen_in_the_weights(tmp_path):
    _, spec = convert(saved(tmp_path / "linear.ckpt", mel_band_roformer(linear_layers=1)))
    assert (extractor(spec)["linear_layers"], extractor(spec)["time_layers"]) == (1, 1)


def refused(source) -> str:
    with pytest.raises(ModelError) as error:
        convert(source)
    return str(error.value)


def test_what_cannot_be_run_as_published_is_refused_in_a_line(tmp_path):
    usual, path = mel_band_roformer(), tmp_path / "x.ckpt"
    assert "masks for 2 stems, and their names are not in the file" in refused(saved(path, mel_band_roformer(stems=2)))
    narrow = usual | {"band_split.to_features.3.0.gamma": torch.ones(4)}
    assert "its bands are not 12 of the mel scale" in refused(saved(path, narrow))
    other = usual | {"layers.0.1.layers.0.0.to_value_residual_mix.weight": torch.zeros(2, 8)}
    assert "to_value_residual_mix.weight is not part of it" in refused(saved(path, other))
    assert "no Mel-Band RoFormer" in refused(saved(path, usual | {"final_norm.gamma": torch.ones(8)}))
    assert "model.stft_hop_length is 'long': it should be like 441" in refused(saved(path, usual, hop="long"))
    assert "x.yaml names 2: put its settings beside it" in refused(saved(path, usual, target="null"))
    assert "cannot be names of files" in refused(saved(path, usual, target="../x"))
    path.with_suffix(".yaml").write_text("model:\n  use_pope: true\n")
    assert "model.use_pope is True: only False can be run here" in refused(path)
    path.with_suffix(".yaml").write_text("model: !!python/object/apply:os.system ['touch pwned']\n")
    assert "cannot be read as YAML" in refused(path) and not (tmp_path / "pwned").exists()
