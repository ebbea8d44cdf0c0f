"""Checkpoints of AudioSR and FlashSR: told by their contents, of which what runs is taken, and refused in a line if damaged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.load import load_network
from tests.golden_numbers import FOLDER, rel_l2
from tests.models.latent_files import BIGVGAN, HIFIGAN, SIZES, audiosr_state, parts, save_audiosr, save_flashsr

_PEAK = """
import resource, sys
from pathlib import Path
from enhance_cli.models.convert.file import convert_file
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert_file(Path("small.bin"), "a", Path("a.safetensors"))
before = peak()
convert_file(Path("large.bin"), "b", Path("b.safetensors"))
print(peak() - before)
"""


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_of_audiosr_the_parts_that_run_are_taken(tmp_path, suffix):
    state = audiosr_state()
    path = tmp_path / f"published.{suffix}"
    if suffix == "bin":
        torch.save({"state_dict": state}, path)
    else:
        save_file({name: tensor.clone() for name, tensor in state.items()}, path)
    assert detect(path) == "audiosr"
    spec = convert_file(path, "wide", tmp_path / "wide.safetensors")
    assert spec.network_args == SIZES | {"vocoder": HIFIGAN, "scale": 0.5, "keeps_bands": True}
    assert (spec.task, spec.default_steps, spec.guidance) == ("extend-bandwidth", 50, 3.5)
    found = load_network(tmp_path / "wide.safetensors")[1].state_dict()
    prefixes = {"unet": "model.diffusion_model", "vocoder": "first_stage_model.vocoder"}
    prefixes |= {f"autoencoder.{name}": f"first_stage_model.{name}" for name in ("decoder", "post_quant_conv")}
    prefixes |= {f"autoencoder.{name}": f"cond_stage_models.0.vae.{name}" for name in ("encoder", "quant_conv")}
    for name, tensor in found.items():
        ours = next(prefix for prefix in prefixes if name.startswith(f"{prefix}."))
        assert torch.equal(tensor, state[prefixes[ours] + name.removeprefix(ours)]), name


def test_of_flashsr_all_three_files_are_taken(tmp_path):
    path = save_flashsr(tmp_path)
    assert detect(path) == detect(tmp_path / "sr_vocoder.pth") == "flashsr"
    spec = convert_file(path, "wide", tmp_path / "wide.safetensors")
    assert spec.network_args == SIZES | {"vocoder": BIGVGAN, "scale": 0.3342}
    assert (spec.max_steps, spec.guidance) == (1, None)
    found, made = load_network(tmp_path / "wide.safetensors")[1].state_dict(), parts(BIGVGAN)
    for part, state in made.items():
        for name, tensor in state.items():
            assert rel_l2(found[f"{part}.{name}"], tensor) < 1e-6, name


def test_what_is_not_whole_is_refused(tmp_path):
    target = tmp_path / "wide.safetensors"
    assert detect(FOLDER / "audiosr_style_partial.pth") == "audiosr"
    with pytest.raises(ModelError, match="not the weights of AudioSR: 'time_embed.0.weight' is missing"):
        convert_file(FOLDER / "audiosr_style_partial.pth", "wide", target)
    state = audiosr_state()
    del state["cond_stage_models.0.vae.encoder.mid.attn_1.k.bias"]
    torch.save({"state_dict": state}, tmp_path / "a.bin")
    with pytest.raises(ModelError, match=r"autoencoder.encoder.mid.attn_1.k.bias \[32\] is missing"):
        convert_file(tmp_path / "a.bin", "wide", target)
    torch.save({"state_dict": audiosr_state() | {"alphas_cumprod": torch.linspace(1, 0, 1000)}}, tmp_path / "b.bin")
    with pytest.raises(ModelError, match="trained with another schedule of the noise"):
        convert_file(tmp_path / "b.bin", "wide", target)
    assert not target.exists()


def test_flashsr_without_its_other_files_is_refused(tmp_path):
    path, target = save_flashsr(tmp_path), tmp_path / "wide.safetensors"
    with pytest.raises(ModelError, match="not the weights of FlashSR's network .*name its student_ldm.pth"):
        convert_file(tmp_path / "sr_vocoder.pth", "wide", target)
    vocoder = torch.load(tmp_path / "sr_vocoder.pth")
    torch.save(vocoder | {"activation_post.upsample.filter": torch.ones(1, 1, 12)}, tmp_path / "sr_vocoder.pth")
    with pytest.raises(ModelError, match="another filter than the published one"):
        convert_file(path, "wide", target)
    (tmp_path / "vae.pth").unlink()
    with pytest.raises(ModelError, match=r"vae.pth: missing, beside student_ldm.pth: fetch it too"):
        convert_file(path, "wide", target)


@pytest.mark.slow
def test_what_is_not_used_is_not_read(tmp_path):
    save_audiosr(tmp_path / "small.bin")
    unused = {f"clap.model.{number}": torch.zeros(1 << 24) for number in range(4)}  # 268 MB
    torch.save({"state_dict": audiosr_state() | unused}, tmp_path / "large.bin")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", _PEAK], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100_000  # kB
