"""The shipped denoisers in ONNX Runtime: the same samples as in torch, and in windows as well."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import enhance_cli
from enhance_cli.audio.spectra.stft_numpy import make_window, stft
from enhance_cli.models import registry
from enhance_cli.models.graphs import packaged
from enhance_cli.models.graphs.export_file import export_model
from enhance_cli.models.spec import read_spec

RECORDINGS = Path(__file__).parents[2] / "audio_files"
SHIPPED = [entry.name for entry in registry.entries() if entry.task == "denoise"]
FULL_SCALE_DIFFERENCE = 1e-5  # -100 dB


def recording(name="noisy_speech_48k.flac", seconds=3.0):
    with soundfile.SoundFile(RECORDINGS / name) as file:
        return file.read(int(seconds * file.samplerate), dtype="float32"), file.samplerate


def spectrogram(audio):
    """Return the levels of a spectrogram in dB, where a tone at full scale has 0."""
    window = make_window("hann", 1024)
    return 20 * np.log10(2 / window.sum() * np.abs(stft(audio.astype(np.float32), window, 256)) + 1e-12)


@pytest.mark.parametrize("name, steps", [*((name, 1) for name in SHIPPED), ("denoise-48k", 3), ("denoise-s", 3)])
def test_both_runtimes_give_the_same_samples(name, steps):
    audio, rate = recording()
    mine, torchs = (
        enhance_cli.denoise(audio, rate, model=name, device="cpu", runtime=runtime, steps=steps)
        for runtime in ("onnx", "torch")
    )
    assert np.abs(mine - audio).max() > 0.01  # it does something
    assert np.abs(mine - torchs).max() < FULL_SCALE_DIFFERENCE
    assert spectrogram(mine - torchs).max() < -100 < spectrogram(mine - audio).max()  # a picture of it is empty


@pytest.mark.parametrize("name", ["denoise-48k", "denoise-s"])
def test_stereo_with_digital_silence_at_16_khz_is_the_same_too(name):
    audio, rate = recording("noisy_speech.flac")
    audio = np.stack([audio, np.roll(audio, 5000)])
    audio[:, 12000:24000] = 0
    mine, torchs = (
        enhance_cli.denoise(audio, rate, model=name, device="cpu", runtime=runtime) for runtime in ("onnx", "torch")
    )
    assert np.abs(mine - torchs).max() < FULL_SCALE_DIFFERENCE
    assert np.abs(mine[:, 14000:22000]).max() < 1e-6


@pytest.mark.slow
def test_an_exported_model_gives_in_windows_the_samples_of_the_stream_whatever_the_threads(tmp_path):
    entry, path = registry.find("denoise-s", "denoise"), tmp_path / "denoise-s.onnx"
    export_model(entry, path)
    audio, rate = recording(seconds=6.0)
    clean = lambda model, **options: enhance_cli.denoise(  # noqa: E731
        audio, rate, model=model, device="cpu", runtime="onnx", steps=2, **options
    )
    in_windows = clean(str(path), window_seconds=2.5, threads=1)
    assert np.array_equal(in_windows, clean(str(path), window_seconds=2.5, threads=2))
    assert np.abs(in_windows - audio).max() > 0.01
    assert np.abs(in_windows - clean("denoise-s")).max() < 2e-6


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_denoiser_has_its_graph(name):
    """`make graphs` writes them after a network or the sizes of a shipped model have changed."""
    spec = read_spec(registry.find(name, "denoise").path)
    assert packaged.denoiser_obstacle(spec, None, None) is None


def test_the_graphs_hold_no_weights_and_there_are_none_too_many():
    assert {path.name for path in packaged.folder().glob("*.onnx")} == {
        packaged.graph_path(spec, name).name
        for spec in (read_spec(entry.path) for entry in registry.entries())
        for name in packaged.graph_names(spec)
    }
    assert all(path.stat().st_size < 300_000 for path in packaged.folder().glob("*.onnx"))
