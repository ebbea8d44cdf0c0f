"""Published speech networks from a local server to cleaned files, at full size, with golden weights."""

import io
import json
import re

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from enhance_cli.models import registry
from enhance_cli.models.convert import fastenhancer
from enhance_cli.models.load import load_file
from enhance_cli.models.spectral_stream import SpectralStream
from tests.golden_numbers import wave
from tests.models.hub.local_hub import LocalHub
from tests.networks import dpdfnet_files
from tests.networks.fastenhancer_files import SIZES, save_checkpoint, save_onnx, state

pytest.importorskip("onnx")
BANDS_AT_48K = {"t": 24, "b": 36, "s": 48, "m": 72, "l": 96}
FULL_NAMES = {"tiny": "t", "base": "b", "small": "s", "medium": "m", "large": "l"}
pytestmark = pytest.mark.slow


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server in place of GitHub, for the tables of weights.toml as they are but for the digests of the real files."""
    served = LocalHub({})
    tables = registry._weights_toml().replace("https://github.com/", f"{served.url}/files/")
    tables = re.sub(r'(?m)^(sha256|size|revision) = ("[0-9a-f]+"|[\d_]+)\n(?=(\w+ = .*\n)*converter)', "", tables)
    monkeypatch.setattr(registry, "_weights_toml", lambda: tables)
    monkeypatch.setenv("ENHANCE_HOME", str(tmp_path / "home"))
    yield served
    served.close()


def serve(hub, tmp_path, name):
    """Put the file of the model `name` on the server. Returns its folded weights."""
    entry = next(entry for entry in registry.published() if entry.name == name)
    letter = FULL_NAMES[name.split("-")[1]]
    *sizes, bands = SIZES[letter]
    high = name.endswith("48k")
    tensors = state((*sizes, BANDS_AT_48K[letter] if high else bands), 128 if high else 64, fixed=not high)
    folded = fastenhancer._folded(tensors)
    path = save_onnx(tmp_path / "x.spec.onnx", folded)
    hub.files[entry.source.url.removeprefix(f"{hub.url}/")] = path.read_bytes()
    return tensors


def recording(path, seconds, rate, channels):
    audio = np.stack([wave(f"speech {c}", int(seconds * rate), rate) for c in range(channels)], axis=1)
    soundfile.write(path, audio, rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize("name", [f"fastenhancer-{size}-{kind}" for size in FULL_NAMES for kind in ("dns", "48k")])
def test_a_published_model_is_pulled_and_cleans_recordings(name, hub, enhance, tmp_path):
    serve(hub, tmp_path, name)
    row = next(row for row in rows(enhance) if row["name"] == name)
    assert row["bytes"] and row["use_for"] and row["cpu"] in ("quick", "fair", "slow") and row["where"] == "web"
    pulled = enhance("models", "pull", name)
    assert pulled.code == 0, pulled.stderr
    assert re.search(r"about [\d.]+ MB, license MIT", pulled.stderr.splitlines()[0])
    assert ("AI-Hub" in pulled.stderr) == name.endswith("48k")
    stereo = {rate: recording(tmp_path / f"{rate}.wav", 0.3, rate, 2) for rate in (44100, 48000)}
    done = enhance("denoise", *stereo.values(), "--model", name, "--json")
    assert done.code == 0, done.stderr
    assert {json.loads(line)["rate"] for line in done.lines} == set(stereo)
    for line in done.lines:
        record = json.loads(line)
        (cleaned, rate), (noisy, _) = (soundfile.read(record[end]) for end in ("output", "input"))
        assert cleaned.shape == noisy.shape and rate == record["rate"]
        assert np.isfinite(cleaned).all() and np.abs(cleaned - noisy).max() > 0.01


def rows(enhance):
    return [json.loads(line) for line in enhance("models", "list", "--task", "denoise", "--json").lines]


def test_mono_short_and_silent_files_and_the_checkpoint_of_the_same_weights(hub, enhance, tmp_path):
    tensors = serve(hub, tmp_path, "fastenhancer-tiny-dns")
    assert enhance("models", "pull", "fastenhancer-tiny-dns").code == 0
    mono = recording(tmp_path / "mono.wav", 6, 16000, 1)
    short = recording(tmp_path / "short.wav", 0.01, 16000, 1)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros((8000, 2), np.float32), 16000, subtype="FLOAT")
    done = enhance("denoise", mono, short, silent, "--model", "fastenhancer-tiny-dns")
    assert done.code == 0, done.stderr
    outputs = {
        path.stem: soundfile.read(path.with_name(f"{path.stem}_denoised.wav"))[0] for path in (mono, short, silent)
    }
    assert [len(output) for output in outputs.values()] == [96000, 160, 8000]
    assert not outputs["silent"].any()

    folded = tmp_path / "folded.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in fastenhancer._folded(tensors).items()}, folded)
    for source in (save_checkpoint(tmp_path / "00500.pth", tensors), folded):
        converted = enhance("models", "convert", source, "-o", tmp_path / "same.safetensors")
        assert converted.code == 0, converted.stderr
        again = enhance(
            "denoise", mono, "--model", tmp_path / "same.safetensors", "-o", tmp_path / f"{source.stem}.wav"
        )
        assert np.abs(soundfile.read(again.lines[0])[0] - outputs["mono"]).max() < 1e-6, (
            f"{source.name} and graph differ"
        )


def test_a_graph_of_other_sizes_is_refused_in_one_line(enhance, tmp_path):
    tensors = fastenhancer._folded(state((24, 2, 1, 20, 16), 64, fixed=True))
    tensors.pop("rf_block.0.rnn_fc.bias")
    done = enhance("models", "convert", save_onnx(tmp_path / "a.onnx", tensors), "-o", tmp_path / "a.safetensors")
    assert done.code == 3 and len(done.errors) == 1 and "rnn_fc.bias" in done.errors[0]


DPDFNET = {  # rate and number of blocks
    "dpdfnet2-48k": (48000, 2),
    "dpdfnet8-48k": (48000, 8),
    "dpdfnet-baseline": (16000, 0),
    "dpdfnet2": (16000, 2),
    "dpdfnet4": (16000, 4),
    "dpdfnet8": (16000, 8),
    "dpdfnet2-8k": (8000, 2),
    "dpdfnet8-8k": (8000, 8),
}


def test_every_dpdfnet_is_pulled_from_the_hub_and_cleans_recordings(hub, enhance, run_python, tmp_path):
    for entry in registry.published():
        if entry.name in DPDFNET:
            rate, blocks = DPDFNET[entry.name]
            content = io.BytesIO()
            torch.save(dpdfnet_files.state(rate, dpdfnet_files.shapes(rate, blocks)), content)
            hub.files[f"{entry.source.repo}/{entry.source.file}"] = content.getvalue()
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    pulled = run_python("-m", "enhance_cli", "models", "pull", *DPDFNET, env=env)
    assert pulled.code == 0, pulled.stderr
    assert pulled.stderr.count("MB, license Apache-2.0") == len(DPDFNET)
    stereo = {rate: recording(tmp_path / f"{rate}.wav", 0.3, rate, 2) for rate in (44100, 48000)}
    for name, (rate, _) in DPDFNET.items():
        spec = json.loads(enhance("models", "show", name).stdout)
        assert (spec["sample_rate"], spec["licence"]) == (rate, "Apache-2.0")
        done = enhance("denoise", *stereo.values(), "--model", name, "--json", "--existing", "overwrite")
        assert done.code == 0, done.stderr
        for line in done.lines:
            record = json.loads(line)
            cleaned, noisy = (soundfile.read(record[end])[0] for end in ("output", "input"))
            assert cleaned.shape == noisy.shape and np.isfinite(cleaned).all()
            assert np.abs(cleaned - noisy).max() > 0.01, name


def test_dpdfnet_on_long_short_and_silent_files_is_one_stream(enhance, tmp_path):
    checkpoint = tmp_path / "dpdfnet2_48khz_hr.pth"
    torch.save({"state_dict": dpdfnet_files.state(48000, dpdfnet_files.shapes(48000, 2))}, checkpoint)
    model = tmp_path / "model.safetensors"
    assert enhance("models", "convert", checkpoint, "-o", model).code == 0
    long = recording(tmp_path / "long.wav", 4, 48000, 1)
    short = recording(tmp_path / "short.wav", 0.02, 48000, 1)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros((8000, 2), np.float32), 48000, subtype="FLOAT")
    done = enhance("denoise", long, short, silent, "--model", model)
    assert done.code == 0, done.stderr
    outputs = {
        path.stem: soundfile.read(path.with_name(f"{path.stem}_denoised.wav"))[0] for path in (long, short, silent)
    }
    assert [len(output) for output in outputs.values()] == [192000, 960, 8000] and not outputs["silent"].any()
    stream = SpectralStream(load_file(model, torch.device("cpu")).network, 1)
    audio = soundfile.read(long, dtype="float32")[0][None]
    pieces = [stream.push(audio[:, begin : begin + 5000]) for begin in range(0, 192000, 5000)]
    whole = np.concatenate([*pieces, stream.push(audio[:, :0], last=True)], axis=-1)[0, 0]
    assert np.abs(outputs["long"] - whole).max() < 1e-6
