"""Bandwidth in ONNX Runtime: the samples of torch, for the model that ships and for exported ones."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import enhance_cli
from enhance_cli.audio.spectra import fine_bands, fine_bands_numpy
from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models import registry
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.frame_noise_numpy import FrameNoise as NumpyFrameNoise
from enhance_cli.models.graphs.export_file import export_model
from enhance_cli.models.spec import Spec
from enhance_cli.models.weights import save_model
from enhance_cli.networks import NETWORKS

AUDIO = Path(__file__).parents[2] / "audio_files" / "noisy_speech.flac"


def speech(seconds=3.0):
    with soundfile.SoundFile(AUDIO) as file:
        audio = file.read(int(seconds * file.samplerate), dtype="float32")
    return np.stack([audio, 0.5 * np.roll(audio, 300)]), file.samplerate


def both(model, **options):
    audio, rate = speech()
    return [
        enhance_cli.extend_bandwidth(audio, rate, model=str(name), device="cpu", runtime=runtime, **options)[0]
        for name, runtime in ((model[0], "onnx"), (model[1], "torch"))
    ]


@pytest.mark.parametrize("options", [{}, {"window_seconds": 0.7}, {"cutoff": 3400, "seed": 3}])
def test_both_runtimes_give_the_same_samples(options):
    mine, torchs = both(("copy-up", "copy-up"), **options)
    made = np.abs(np.fft.rfft(mine[0])[40000:60000]).mean()  # above 13 kHz
    assert made > 0.01 and np.abs(mine - torchs).max() < 1e-5


@pytest.fixture
def trained(tmp_path):
    """Return the file of a small network for levels whose weights are not those of the start."""
    sizes = {"width": 8, "dilations": [1, 2]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS["band_levels"](**sizes)
        torch.nn.init.normal_(network.head.weight, std=0.05)
    spec = Spec(
        "tiny", "band_levels", "", task="extend-bandwidth", network_args=sizes, frontend=None, sample_rate=48000,
        level=0.05, max_steps=1, samplers=(),
    )  # fmt: skip
    save_model(tmp_path / "tiny.safetensors", spec, network)
    return tmp_path / "tiny.safetensors"


def test_a_trained_network_runs_without_torch_once_it_is_exported(trained):
    path = trained.with_suffix(".onnx")
    export_model(registry.find(str(trained), None), path)
    mine, torchs = both((path, trained))
    assert np.abs(mine - torchs).max() < 1e-5
    with pytest.raises(UsageError, match="is a graph for ONNX Runtime"):
        enhance_cli.extend_bandwidth(*speech(), model=str(path), runtime="torch")
    with pytest.raises(UsageError, match="tiny has no graph"):
        enhance_cli.extend_bandwidth(*speech(), model=str(trained), runtime="onnx")


def test_the_graph_of_another_task_is_refused(trained):
    path = trained.with_suffix(".onnx")
    export_model(registry.find("ge2e", None), path)
    with pytest.raises(ModelError, match="a model for embed-speaker, not for extend-bandwidth"):
        enhance_cli.extend_bandwidth(*speech(), model=str(path))


@pytest.mark.parametrize("seed, first, length", [(0, 0, 100), (7, 65000, 2000), (2**40 + 1, 3 * 65536 - 1, 65538)])
def test_noise_is_that_of_torch(seed, first, length):
    wanted = FrameNoise(seed, [first], torch.zeros(1, 1, length), block=65536)()[0, 0].numpy()
    found = NumpyFrameNoise(seed, first, (1, length), block=65536)()[0, 0]
    assert np.abs(found - wanted).max() < 2e-6 and 0.5 < wanted.std() < 1.5


def test_levels_and_carriers_are_those_of_torch():
    audio, _ = speech(1.0)
    mine = fine_bands_numpy.analyze(audio[:, : 480 * 30])
    wanted = fine_bands.analyze(torch.from_numpy(audio[:, : 480 * 30]))
    assert np.abs(mine - wanted.numpy()).max() < 1e-5
    power = np.square(np.abs(mine)).mean(axis=0)
    for name in ("levels", "peakiness"):
        found = getattr(fine_bands_numpy, name)(power)
        assert np.abs(found - getattr(fine_bands, name)(torch.from_numpy(power)).numpy()).max() < 1e-3  # dB
    assert fine_bands_numpy._noise_peakiness() == pytest.approx(
        fine_bands._noise_peakiness(wanted.device).numpy(), abs=1e-5
    )
