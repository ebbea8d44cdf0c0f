"""Gaps filled by a model in ONNX Runtime: the samples that torch fills in, noise included, and none besides."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import enhance_cli
from enhance_cli.errors import UsageError
from enhance_cli.models import registry
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.frame_noise_numpy import FrameNoise as NumpyFrameNoise
from enhance_cli.models.graphs.export_file import export_model
from enhance_cli.models.graphs.inpainter import missing_share
from enhance_cli.models.guide import missing_share as missing_share_of_torch

RECORDINGS = Path(__file__).parents[2] / "audio_files"
GAPS = [(0.8, 1.05), (1.6, 2.0)]


def recording(name, seconds=3.0):
    """Return (2, N) with silence in the gaps, of which the second channel sounds otherwise, and the rate."""
    with soundfile.SoundFile(RECORDINGS / name) as file:
        audio, rate = file.read(int(seconds * file.samplerate), dtype="float32"), file.samplerate
    audio = np.stack([audio, 0.5 * audio[::-1]])
    for start, end in GAPS:
        audio[:, int(start * rate) : int(end * rate)] = 0
    return audio, rate


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, model, settings",
    [
        ("noisy_speech.flac", "inpaint-s", {}),
        ("noisy_speech_48k.flac", "inpaint-s", {"steps": 3, "rounds": 2, "seed": 5}),
        ("noisy_speech.flac", "denoise-s", {"steps": 2}),
    ],
)
def test_both_runtimes_fill_alike(name, model, settings):
    """Also a model that was not trained for gaps and has no input for them."""
    audio, rate = recording(name)
    mine, torchs = (
        enhance_cli.inpaint(audio, rate, GAPS, model, device="cpu", runtime=runtime, **settings)
        for runtime in ("onnx", "torch")
    )
    missing = np.zeros(audio.shape[1], bool)
    for start, end in GAPS:
        missing[int(start * rate) : int(end * rate)] = True
    assert np.array_equal(mine[:, ~missing], audio[:, ~missing])
    assert np.abs(mine[:, missing]).max() > 0.01  # it does something
    assert np.abs(mine - torchs).max() < 1e-5  # -100 dB


def test_the_noise_is_that_of_torch_wherever_a_window_begins():
    ours, torchs = (
        NumpyFrameNoise(3, 100, (2, 90, 257), 0.5),
        FrameNoise(3, [100], torch.zeros(1, 2, 90, 257), 0.5),
    )
    for _ in range(2):  # draws
        np.testing.assert_allclose(ours(), torchs().numpy(), atol=2e-6)


@pytest.mark.parametrize("samples", [1024, 1000])
def test_frames_know_the_share_of_samples_that_are_missing(samples):
    missing = np.zeros(samples, bool)
    missing[100:431] = True
    theirs = missing_share_of_torch(torch.from_numpy(missing)[None], 128)[0].numpy()
    np.testing.assert_allclose(missing_share(missing, 128), theirs, atol=1e-7)


def test_what_needs_torch_is_refused_by_the_other_runtime():
    with pytest.raises(UsageError, match="--strength draws noise at its start"):
        enhance_cli.Inpainter("inpaint-s", device="cpu", runtime="onnx", strength=0.5)
    with pytest.raises(UsageError, match="the sampler bridge_sde draws noise"):
        enhance_cli.Inpainter("inpaint-s", device="cpu", runtime="onnx", sampler="bridge_sde")


@pytest.mark.slow
def test_an_exported_file_fills_as_the_model_that_it_came_from(tmp_path):
    path = tmp_path / "x.onnx"
    export_model(registry.find("inpaint-s", "inpaint"), path)
    audio, rate = recording("noisy_speech.flac")
    mine, origin = (enhance_cli.inpaint(audio, rate, GAPS, str(model), device="cpu") for model in (path, "inpaint-s"))
    assert np.abs(mine - audio).max() > 0.01 and np.abs(mine - origin).max() < 1e-5
