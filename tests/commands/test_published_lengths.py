"""Converted checkpoints at lengths that are no multiple of a hop: the command gives what the published program gives.

What the inference script of each program does around its network is written down here: level, transform, windows, averages,
cuts. Its network is ours, which agrees with golden numbers elsewhere. Weights are by formula, and no setting is given but the
number of steps, which the published default (tests/models/convert/test_sgmse.py) would only make longer.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.models import windowed_denoiser
from enhance_cli.models.load import load_file
from enhance_cli.models.sampling import sampler_settings
from enhance_cli.models.weights import load_network, save_model
from enhance_cli.samplers import SAMPLERS
from tests.golden_numbers import FOLDER, Noise, rel_l2, wave
from tests.models.convert import foreign
from tests.models.convert.foreign import TINY, lightning, named
from tests.models.convert.test_others import storm_file
from tests.networks import dpdfnet_files, fastenhancer_files

pytestmark = pytest.mark.slow


def converted(enhance, source, tmp_path):
    done = enhance("models", "convert", source, "-o", tmp_path / "model.safetensors")
    assert done.code == 0, done.stderr
    return tmp_path / "model.safetensors"


def cleaned(enhance, command, model, audio, rate, tmp_path, *options) -> np.ndarray:
    """Return what the command writes for `audio` (C, N), as (C, N)."""
    soundfile.write(tmp_path / "in.wav", audio.T, rate, subtype="FLOAT")
    done = enhance(command, tmp_path / "in.wav", "-m", model, "--bit-depth", "float", *options)
    assert done.code == 0, done.stderr
    return soundfile.read(done.lines[0], dtype="float32", always_2d=True)[0].T


def bbed_file(path, **second_stage):
    parts = [named(salt, "dnn.", **TINY, divide="before") for salt in ("raw.", "ema.")]
    return lightning(path, *parts, TINY | {"sde": "bbed", "backbone": "ncsnpp", "N": 3} | second_stage)


SCORE_MODELS = {
    "sgmse": lambda path: FOLDER / "sgmse_tiny_classic.ckpt",
    "bridge": lambda path: FOLDER / "sgmse_tiny_v2_midval.ckpt",
    "storm": lambda path: storm_file(path),
    "bbed": lambda path: bbed_file(path),
    "crp": lambda path: bbed_file(path, t_rsp_min=0.03, t_rsp_max=0.5, N_min=1, N_max=2),
}


@pytest.fixture
def same_noise(monkeypatch):
    monkeypatch.setattr(windowed_denoiser, "FrameNoise", Noise)
    return Noise


@pytest.mark.parametrize("name, samples", [*((name, 4097) for name in SCORE_MODELS), ("bridge", 8321)])
def test_score_models_and_bridges_transform_the_recording_as_it_is(name, samples, same_noise, enhance, tmp_path):
    """Divide by the peak, transform without filling up, pad the frames, sample, transform back, cut, multiply."""
    path = converted(enhance, SCORE_MODELS[name](tmp_path / f"{name}.ckpt"), tmp_path)
    model, audio = load_file(path, torch.device("cpu")), 0.6 * wave("published", samples, 16000)[None]
    hop, peak = model.frontend.hop, np.abs(audio).max()
    y = model.frontend.analyze(torch.from_numpy(audio / peak))
    assert samples % hop and y.shape[2] == 1 + samples // hop
    missing = -y.shape[2] % 64
    mode = "reflect" if model.spec.frame_padding == "reflect" else "constant"
    padded = torch.nn.functional.pad(y, (0, 0, 0, missing), mode=mode)
    sampler, steps = model.spec.samplers[0], min(3, model.spec.max_steps)
    settings = sampler_settings(model.spec, sampler, {})
    noise = same_noise(0, [0], padded, 1.0)
    with torch.inference_mode():
        clean = model.sample(partial(SAMPLERS[sampler], **settings), padded, steps, noise)
        expected = peak * model.frontend.synthesize(clean, samples).numpy()  # of all frames, also the padding
    found = cleaned(enhance, "denoise", path, audio, 16000, tmp_path, "--steps", steps)
    rounding = 1e-3 if name == "bridge" else 1e-5  # that of the level, which its steps amplify
    assert rel_l2(found, expected) < rounding and rel_l2(found, audio) > 0.01


@pytest.mark.parametrize("samples", [9001, 700])
@pytest.mark.parametrize("size", ["t", "m"])
def test_fastenhancer_transforms_the_recording_at_once(size, samples, enhance, tmp_path):
    state = fastenhancer_files.state(fastenhancer_files.SIZES[size], 64, fixed=True)
    path = converted(enhance, fastenhancer_files.save_checkpoint(tmp_path / "00500.pth", state), tmp_path)
    network = load_network(path)[1]
    audio = np.stack([wave(f"published {c}", samples, 16000) for c in range(2)])
    window = torch.hann_window(512)
    spectra = torch.stft(torch.from_numpy(audio), 512, network.hop, window=window, return_complex=True)
    with torch.inference_mode():
        clean, _ = network(torch.view_as_real(spectra.transpose(1, 2).contiguous()))
    clean = torch.view_as_complex(clean.contiguous()).transpose(1, 2)
    expected = torch.istft(clean, 512, network.hop, window=window).numpy()  # up to the last whole hop
    found = cleaned(enhance, "denoise", path, audio, 16000, tmp_path)
    assert rel_l2(found[:, : expected.shape[1]], expected) < 1e-5


def test_dpdfnet_pads_a_window_of_silence_and_takes_four_hops_off_the_start(enhance, tmp_path):
    checkpoint, samples = tmp_path / "dpdfnet2_8khz.pth", 8011
    torch.save(dpdfnet_files.state(8000, dpdfnet_files.shapes(8000, 2)), checkpoint)
    path = converted(enhance, checkpoint, tmp_path)
    network, audio = load_network(path)[1], wave("published", samples, 8000)[None]
    window = torch.sin(np.pi / 2 * torch.sin(np.pi * (torch.arange(160) + 0.5) / 160) ** 2)
    filled = torch.nn.functional.pad(torch.from_numpy(audio), (0, 160))
    spectra = torch.stft(filled, 160, 80, window=window, return_complex=True).transpose(1, 2)
    clean, _ = network.infer(spectra.contiguous().numpy(), network.initial_state(1))
    expected = torch.istft(torch.from_numpy(clean).transpose(1, 2), 160, 80, window=window)[:, 4 * 80 :]
    expected = expected.numpy()[:, : samples - 160]  # the last 20 ms are silent there
    found = cleaned(enhance, "denoise", path, audio, 8000, tmp_path)
    assert rel_l2(found[:, : expected.shape[1]], expected) < 1e-5 and np.abs(found[:, -160:]).max() > 0


def music(samples: int) -> np.ndarray:
    return 0.2 * np.stack([wave(f"published {c}", samples, 44100) for c in range(2)])


def averaged(network, mix: np.ndarray, chunk: int, windows: int) -> np.ndarray:
    """Return the stems (K, C, N) of mix (C, N) by the windows of Music-Source-Separation-Training, one at a time."""
    step, fade, samples = chunk // windows, chunk // 10, mix.shape[1]
    border = chunk - step
    mirrored = samples > 2 * border
    x = (
        torch.nn.functional.pad(torch.from_numpy(mix)[None], (border, border), mode="reflect")[0]
        if mirrored
        else torch.from_numpy(mix)
    )
    weights = torch.ones(chunk)
    weights[:fade], weights[-fade:] = torch.linspace(0, 1, fade), torch.linspace(1, 0, fade)
    total, count = 0, torch.zeros(x.shape[1])
    for begin in range(0, x.shape[1], step):
        part = x[None, :, begin : begin + chunk]
        length = part.shape[2]
        mode = "reflect" if length > chunk // 2 + 1 else "constant"
        part = torch.nn.functional.pad(part, (0, chunk - length), mode=mode if length < chunk else "constant")
        with torch.inference_mode():
            stems = network.extract_all(part)[0, ..., :length]
        w = weights.clone()
        if begin == 0:
            w[:fade] = 1
        elif begin + chunk >= x.shape[1]:
            w[-fade:] = 1
        if begin == 0:
            total = torch.zeros(*stems.shape[:2], x.shape[1])
        total[..., begin : begin + length] += stems * w[:length]
        count[begin : begin + length] += w[:length]
    found = torch.nan_to_num(total / count)
    return (found[..., border:-border] if mirrored else found).numpy()


MEL_YAML = """
audio: {chunk_size: 8820}
model: {dim: 8, num_bands: 12, stft_hop_length: 441}
training: {instruments: [Vocals, other], target_instrument: Vocals}
inference: {num_overlap: 2}
"""
BS_YAML = """
audio: {chunk_size: 8820}
training: {instruments: [drums, bass, other, vocals], target_instrument: null}
inference: {num_overlap: 2}
"""
SCNET_YAML = """
audio: {chunk_size: 12288}
model: {band_SR: [0.175, 0.392, 0.433]}
training: {instruments: [drums, bass, other, vocals], target_instrument: null}
inference: {num_overlap: 4, normalize: true}
"""


@pytest.mark.parametrize("samples", [30001, 8001])
def test_mel_band_roformer_averages_its_published_windows(samples, enhance, tmp_path):
    torch.save(foreign.mel_band_roformer(), tmp_path / "kim.ckpt")
    (tmp_path / "kim.yaml").write_text(MEL_YAML)
    path = converted(enhance, tmp_path / "kim.ckpt", tmp_path)
    expected = averaged(load_network(path)[1], music(samples), 8820, 2)[0]
    found = cleaned(enhance, "extract-stem", path, music(samples), 44100, tmp_path, "--stem", "vocals")
    assert rel_l2(found, expected) < 1e-5


def test_scnet_standardizes_the_file_and_averages_its_published_windows(enhance, tmp_path):
    torch.save(foreign.scnet(), tmp_path / "small.ckpt")
    (tmp_path / "small.yaml").write_text(SCNET_YAML)
    path = converted(enhance, tmp_path / "small.ckpt", tmp_path)
    mix = music(40003)
    mix -= mix.mean(dtype=np.float64).astype(np.float32)  # the mean of the file is not taken off here
    deviation = mix.mean(axis=0).std()
    expected = deviation * averaged(load_network(path)[1], mix / deviation, 12288, 4)[1]
    found = cleaned(enhance, "extract-stem", path, mix, 44100, tmp_path, "--stem", "bass")
    assert rel_l2(found, expected) < 1e-4


def test_tiger_averages_three_windows_between_silence(enhance, tmp_path):
    torch.save(foreign.tiger_dnr(), tmp_path / "model.ckpt")
    path = converted(enhance, tmp_path / "model.ckpt", tmp_path)
    spec, network = load_network(path)
    assert spec.window_seconds == 12  # of which one takes seconds
    save_model(path, replace(spec, window_seconds=0.3), network)  # which rounds the weights
    network = load_network(path)[1]
    mix, window, step = music(30003)[:1], round(0.3 * 44100), round(0.1 * 44100)
    padded = torch.nn.functional.pad(torch.from_numpy(mix)[:, None], (2 * step, 2 * step))
    total = torch.zeros_like(padded)
    for begin in range(0, padded.shape[2] - step, step):
        part = padded[..., begin : begin + window]
        with torch.inference_mode():
            filled = torch.nn.functional.pad(part, (0, window - part.shape[2]))
            dialogue, _ = network.extract(filled, torch.tensor([[1, 0, 0]]))
        total[..., begin : begin + window] += dialogue[..., : part.shape[2]]
    expected = (total / 3)[:, 0, 2 * step : -2 * step].numpy()
    found = cleaned(enhance, "extract-stem", path, mix, 44100, tmp_path, "--stem", "dialogue")
    assert rel_l2(found, expected) < 1e-5


@pytest.mark.parametrize("samples", [30001, 8001])
def test_bs_roformer_averages_its_published_windows(samples, enhance, tmp_path):
    torch.save(foreign.bs_roformer(), tmp_path / "model_bs_roformer.ckpt")
    (tmp_path / "model_bs_roformer.yaml").write_text(BS_YAML)
    path = converted(enhance, tmp_path / "model_bs_roformer.ckpt", tmp_path)
    expected = averaged(load_network(path)[1], music(samples), 8820, 2)[1]
    found = cleaned(enhance, "extract-stem", path, music(samples), 44100, tmp_path, "--stem", "bass")
    assert rel_l2(found, expected) < 1e-5
