"""Bandwidth extension is trained on what recordings hold: limits are measured, the loss falls, and the model runs."""

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.audio.resample import resample
from enhance_cli.audio.spectra import fine_bands
from enhance_cli.models.spec import read_spec
from enhance_cli.networks.band_levels import BandLevels
from enhance_cli.training.bandwidth.objective import distances

RECIPE = """
[model]
name = "tiny"
task = "extend-bandwidth"
network = "band_levels"
network_args = { width = 16, dilations = [1] }
process = ""
sample_rate = 48000
level = 0.05
max_steps = 1
samplers = []
[mix]
seconds = 0.5
[train]
batch_size = 4
validate_every = 20
validation_items = 4
[data]
licences = "none"
[[data.sources]]
folder = "sound"
held_out = 0.3
[[stage]]
loss = "levels"
steps = 40
lr = 1e-2
warmup = 2
ema = 0.9
"""


@pytest.fixture
def corpus(tmp_path):
    """Noise with a full band, noise of 16 kHz, and noise of 6 kHz, of which nothing can be learned."""
    (tmp_path / "sound").mkdir()
    for number in range(6):
        noise = 0.1 * np.random.default_rng(number).standard_normal((1, 48000)).astype(np.float32)
        for rate in (48000, 16000, 6000):
            low = resample(resample(noise, 48000, rate), rate, 48000)
            soundfile.write(tmp_path / "sound" / f"{number}_{rate}.wav", low.T, 48000)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def test_a_model_is_trained_and_extends(enhance, corpus):
    result = enhance("train", "tiny.toml", "--run", "run", "--device", "cpu")
    assert result.code == 0
    spec = read_spec(corpus / "run/tiny.safetensors")
    assert spec.training["data"]["hours"] + spec.training["data"]["hours_held_out"] == pytest.approx(
        12 / 3600, abs=0.02
    )
    assert spec.training["validation"]["total"] < 3  # dB, of noise whose level is the same everywhere
    assert "Makes the treble" in (corpus / "run/tiny.md").read_text()
    done = enhance("extend-bandwidth", "sound/0_16000.wav", "-o", "wide.wav", "-m", "run/tiny.safetensors")
    assert done.code == 0
    power = np.abs(np.fft.rfft(soundfile.read(corpus / "wide.wav")[0])) ** 2
    middle = lambda low, high: 10 * np.log10(power[low:high].mean())
    assert middle(9000, 16000) == pytest.approx(middle(2000, 7000), abs=4)


def test_a_recipe_without_a_source_or_with_another_loss_is_refused(enhance, corpus):
    (corpus / "tiny.toml").write_text(RECIPE.replace('loss = "levels"', 'loss = "level"'))
    result = enhance("train", "tiny.toml", "--run", "run", "--device", "cpu")
    assert result.code == 2 and "'level' is not a loss for extend-bandwidth; choose from levels" in result.stderr


def test_only_the_missing_bands_that_the_recording_holds_count():
    network = BandLevels(width=8).eval()
    noise = torch.randn(2, 24000, generator=torch.Generator().manual_seed(0))
    spectra = fine_bands.analyze(noise)
    other = spectra.clone()
    other[:, 200:] *= 0.1  # from 10 kHz on
    changed = fine_bands.synthesize(other, 24000)
    model = type("Bound", (), {"network": network})
    edges = torch.full((2,), 4000.0)
    below, above = (
        [float(distances(model, x, edges, torch.full((2,), limit))["frames"].detach()) for x in (noise, changed)]
        for limit in (9500.0, 20000.0)
    )
    assert below[0] == pytest.approx(below[1], abs=0.05) and abs(above[0] - above[1]) > 3
