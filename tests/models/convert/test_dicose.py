"""Checkpoints of DiCoSe: the right networks out of files that hold up to four, run as published, in little memory."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import dicose
from enhance_cli.models.convert.file import convert_file, detect
from enhance_cli.models.stems import StemModel
from enhance_cli.models.weights import load_network
from enhance_cli.samplers import calls
from tests.golden_numbers import FOLDER, load, rel_l2, wave

CPU = torch.device("cpu")
GOLDEN, ABOUT = load("dicose_tiny_expect")


@pytest.fixture(params=["det", "diffusion", "cd"])
def kind(request):
    return request.param


@pytest.fixture
def converted(kind, tmp_path):
    source, target = FOLDER / f"dicose_tiny_{kind}.ckpt", tmp_path / f"{kind}.safetensors"
    assert detect(source) == "dicose"
    return convert_file(source, kind, target), target


def test_outputs_are_those_of_the_published_networks(kind, converted):
    _, path = converted
    network = load_network(path)[1]
    mix, label = torch.from_numpy(wave("ckpt_mix", 1024, 22050))[None, None], torch.eye(4)[3:4]
    with torch.inference_mode():
        first, features = network.extract(mix, label)
        assert rel_l2(first[0, 0], GOLDEN["det"]) < ABOUT["tolerance"]["rel_l2"]
        if kind == "det":
            assert network.refiner is None
        else:
            refined = network(2 * mix, torch.tensor([-1.1]), label, features)
            expected = GOLDEN["student" if kind == "cd" else "diff"]
            assert rel_l2(refined[0, 0], expected) < ABOUT["tolerance"]["rel_l2"]


def test_the_header_says_how_it_is_run(kind, converted):
    spec, _ = converted
    assert spec.stems == ("bass", "drums", "guitar", "piano") and spec.complete and spec.frames_multiple == 32
    assert round(spec.window_seconds * spec.sample_rate) == 262144
    assert (spec.min_steps, spec.training["global_step"]) == (0, 10)
    expected = {
        "det": (0, ("none",), None),
        "diffusion": (2, ("edm_stochastic", "heun"), 0.01),
        "cd": (1, ("consistency",), 0.01244),
    }
    assert (spec.default_steps, spec.samplers, spec.sigma_for(1)) == expected[kind]
    if kind == "cd":
        assert spec.sigma_for(2) == spec.sigma_for(4) == 0.2497
    if kind == "diffusion":
        assert calls("edm_stochastic", 2, **spec.sampler_args["edm_stochastic"]) == 4


def test_one_step_of_the_student_is_its_consistency_function(tmp_path):
    """Extractor, noise, preconditioning, features and student together, against the formula by hand."""
    convert_file(FOLDER / "dicose_tiny_cd.ckpt", "cd", tmp_path / "cd.safetensors")
    model = StemModel(*load_network(tmp_path / "cd.safetensors"), CPU)
    mix, sigma = torch.from_numpy(wave("ckpt_mix", 1024, 22050))[None, None], 0.25
    noise = torch.randn(1, 1, 1024, generator=torch.Generator().manual_seed(0))
    from enhance_cli.samplers.consistency import sample

    with torch.inference_mode():
        first, features = model.network.extract(mix, torch.eye(4)[3:4])
        x = first + sigma * noise
        total = (sigma**2 + 0.04) ** 0.5
        inner = model.network(x / total, torch.tensor([np.log(sigma) / 4]).float(), torch.eye(4)[3:4], features)
        skip, out = 0.04 / ((sigma - 1e-4) ** 2 + 0.04), 0.2 * (sigma - 1e-4) / total
        expected = skip * x + out * inner
        run = lambda *args: sample(*args, start=sigma)
        found = model.separate(mix, ["piano"], run, 1, lambda: lambda: noise)
    assert rel_l2(found[0], expected) < 1e-6


def test_half_precision_keeps_the_frequencies(tmp_path):
    convert_file(FOLDER / "dicose_tiny_cd.ckpt", "cd", tmp_path / "half.safetensors", half=True)
    source = dicose.convert(FOLDER / "dicose_tiny_cd.ckpt")[0]
    state = load_network(tmp_path / "half.safetensors")[1].state_dict()
    assert torch.equal(state["refiner.to_time.0.0.weights"], source["refiner.to_time.0.0.weights"])
    other = "refiner.to_mapping.0.weight"
    assert torch.equal(state[other], source[other].half().float()) and not torch.equal(state[other], source[other])


def test_other_files_are_refused(tmp_path):
    torch.save({"state_dict": {"model.other.weight": torch.zeros(2)}, "hyper_parameters": {}}, tmp_path / "x.ckpt")
    with pytest.raises(ModelError, match="no network of DiCoSe"):
        dicose.convert(tmp_path / "x.ckpt")
    torch.save({"state_dict": {"model.unet.to_mapping.0.weight": torch.zeros(2)}}, tmp_path / "y.ckpt")
    with pytest.raises(ModelError, match="not the weights of unet1d"):
        dicose.convert(tmp_path / "y.ckpt")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_file_is_converted_in_little_memory(tmp_path):
    """Three quarters of this file (300 MB) are networks and optimizer state that inference does not need."""
    code = textwrap.dedent("""
        import sys, torch
        from pathlib import Path
        from enhance_cli.models.convert.file import convert_file
        from enhance_cli.networks import NETWORKS

        def memory():
            lines = dict(line.split(":") for line in open("/proc/self/status"))
            return int(lines["RssAnon"].split()[0]) / 1024

        sizes = {"channels": 64, "attention_features": 32}
        state = {}
        for prefix, time in (("pre_trained_mixture_feature_extractor_model.model.unet.", False), ("net.model.unet.", True),
                             ("target_model.model.unet.", True)):
            network = NETWORKS["unet1d"](**sizes, time=time)
            state |= {prefix + name: tensor for name, tensor in network.state_dict().items()}
        size = sum(v.numel() * 4 for v in state.values()) / 2**20
        torch.save({"state_dict": state, "hyper_parameters": {"cfg": {"model": sizes}}}, "large.ckpt")
        del state, network
        import gc; gc.collect()
        import threading, time as clock
        before, peak, running = memory(), [0.0], [True]
        def watch():
            while running[0]:
                peak[0] = max(peak[0], memory()); clock.sleep(0.005)
        thread = threading.Thread(target=watch); thread.start()
        convert_file(Path("large.ckpt"), "large", Path("large.safetensors"))
        running[0] = False; thread.join()
        print(size, before, peak[0] - before)
    """)
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    size, _, more = map(float, result.stdout.split())
    assert size > 200 and more < 0.25 * size, result.stdout
