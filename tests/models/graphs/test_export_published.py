"""Networks of published kinds as .onnx files: the samples of torch, and a reason in one line where there can be no graph."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import enhance_cli
from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models import registry
from enhance_cli.models.graphs.export_file import export_model
from enhance_cli.models.graphs.signatures import REASONS, SIGNATURES, signature_of
from enhance_cli.models.spec import Spec, read_spec
from enhance_cli.models.weights import save_model
from enhance_cli.networks import NETWORKS

AUDIO = Path(__file__).parents[2] / "audio_files" / "noisy_speech.flac"
NCSNPP = {"nf": 16, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [16], "image_size": 32}
BRIDGE = {
    "process": "schroedinger_bridge_ve", "process_args": {"k": 2.6, "c": 0.4}, "max_steps": 4,
    "frontend": {"n_fft": 62, "hop": 16, "window": "hann", "exponent": 0.5, "scale": 0.33, "pad_mode": "reflect"},
    "prediction": {"kind": "data", "input_scaling": "1", "sigma_data": 0.1}, "normalise": "peak",
    "frames_multiple": 2, "frame_padding": "reflect",
}  # fmt: skip
STREAM = {"process": "", "frontend": None, "max_steps": 1, "samplers": (), "normalise": "none"}
DUAL_PATH = {"n_fft": 320, "blocks": 2, "low_bins": 32, "channels": 16, "hidden": 64}
MODELS = {
    "bridge": ("ncsnpp", NCSNPP, BRIDGE),
    "score": ("ncsnpp", NCSNPP, BRIDGE | {"prediction": {"kind": "score", "sign": -1.0}}),
    "stream": ("fastenhancer", {"channels": 8, "width": 8, "bands": 8, "heads": 2}, STREAM),
    "dual-path, bins": ("dpdfnet", DUAL_PATH | {"strides": [2, 2, 2]}, STREAM),
    "dual-path, bands": ("dpdfnet", DUAL_PATH | {"strides": [1, 2, 2], "bands": [5] * 31 + [6]}, STREAM),
}
STREAMS = ("stream", "dual-path, bins", "dual-path, bands")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return the file of a small model with random weights, and the .onnx file of it, by the name of its kind."""
    folder, made = tmp_path_factory.mktemp("published"), {}

    def export(kind):
        if kind not in made:
            name, sizes, header = MODELS[kind]
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                network = NETWORKS[name](**sizes)
                for parameter in network.parameters():
                    if parameter.dim() > 1:
                        torch.nn.init.normal_(parameter, std=0.05)
            path = folder / f"{kind}.safetensors"
            save_model(path, Spec(kind, name, network_args=sizes, sample_rate=16000, **header), network)
            export_model(registry.find(str(path), None), path.with_suffix(".onnx"))
            made[kind] = path, path.with_suffix(".onnx")
        return made[kind]

    return export


def speech():
    with soundfile.SoundFile(AUDIO) as file:
        audio = file.read(int(0.8 * file.samplerate), dtype="float32")
    return np.stack([audio, 0.5 * np.roll(audio, 400)]), file.samplerate


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, options", [("bridge", {"steps": 1}), ("bridge", {"steps": 3}), *((kind, {}) for kind in STREAMS)]
)
def test_an_exported_network_gives_the_samples_of_torch(exported, kind, options):
    origin, path = exported(kind)
    audio, rate = speech()
    sampler = {"sampler": "bridge_ode"} if kind == "bridge" else {}
    mine, torchs = (
        enhance_cli.denoise(audio, rate, model=str(model), device="cpu", **options, **sampler)
        for model in (path, origin)
    )
    assert np.abs(mine - audio).max() > 0.01
    assert np.abs(mine - torchs).max() < 1e-5


@pytest.mark.parametrize("kind", STREAMS)
def test_the_state_of_an_exported_stream_is_that_of_its_network(exported, kind):
    assert read_spec(exported(kind)[1]).network == MODELS[kind][0]
    audio, rate = speech()
    whole, first = (
        enhance_cli.denoise(audio[:1, :count], rate, model=str(exported(kind)[1]), device="cpu")
        for count in (audio.shape[1], audio.shape[1] // 2)
    )
    assert np.array_equal(whole[:, : first.shape[1] - 1024], first[:, :-1024])


def test_a_score_is_exported_for_other_programs_but_not_run_here(exported):
    with pytest.raises(
        UsageError, match="does not predict the clean signal itself: name the model it was exported from"
    ):
        enhance_cli.Denoiser(str(exported("score")[1]), device="cpu", sampler="bridge_ode")


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(SIGNATURES)))
def test_networks_without_a_graph_say_why(name):
    with pytest.raises(ModelError, match=f"network {name} cannot be exported: ") as caught:
        signature_of(name, torch.nn.Module())
    assert "nobody has described" not in str(caught.value) or name not in REASONS
