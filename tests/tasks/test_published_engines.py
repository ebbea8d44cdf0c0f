"""The whole way of a published model, from samples to samples, against numbers of its own implementation: level, front end,
padding, network, prediction, sampler, and back."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.models import windowed_denoiser
from enhance_cli.models.convert.file import convert_file
from enhance_cli.models.load import Model, load_file
from enhance_cli.models.sampling import sampler_settings
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.samplers import SAMPLERS
from enhance_cli.tasks.denoise import DenoiseOptions
from tests.golden_numbers import FOLDER, Noise, cnormal, load, parts, rel_l2, wave, weights, whole
from tests.tasks.whole import denoise as run

pytestmark = pytest.mark.slow

PC = {"process": "ouve", "samplers": ("predictor_corrector", "probability_flow"), "frame_padding": "reflect"}
MODELS = {
    "classic_ouve": PC | {"prediction": {"kind": "score", "sign": -1}, "frame_padding": "zero"},
    "v2_ouve_1_over_sigma": PC | {"prediction": {"kind": "score", "output_scaling": "1/sigma"}},
    "v2_ouve_1_over_t": PC | {"prediction": {"kind": "score", "output_scaling": "1/t"}},
    "v2_ouve_score_edm": PC | {"prediction": {"kind": "score", "input_scaling": "edm_in", "out": "1/sigma"}},
    "v2_ouve_denoiser_edm": PC | {"prediction": {"kind": "denoiser", "input_scaling": "edm_in"}},
    "v2_sbve_data": {
        "process": "schroedinger_bridge_ve",
        "samplers": ("bridge_ode", "bridge_sde"),
        "sampler_args": {"bridge_ode": {"call_at": "later", "eps": 1e-8}},
        "frame_padding": "reflect",
    },
}


def published(name: str, **changes) -> Model:
    """Return the model `name` with its golden weights. `changes`: arguments of its network, without golden numbers then."""
    _, item = load(f"e2e_{name}")
    args = item["net"] | ({"divide": "before"} if name.startswith("classic") else {}) | changes
    frontend = {"n_fft": 510, "hop": 128, "scale": 0.15, "window": "hann", "pad_mode": "reflect"}
    spec = Spec(
        name, "ncsnpp", network_args=args, frontend=frontend, normalise="peak", frames_multiple=64, max_steps=200,
        training={"converter": "sgmse"}, **MODELS[name],
    )  # fmt: skip
    network = NETWORKS["ncsnpp"](**args).eval().requires_grad_(False)
    network.load_state_dict(weights(network.state_dict()))
    return Model(spec, network, torch.device("cpu"))


@pytest.fixture
def golden_noise(monkeypatch):
    monkeypatch.setattr(windowed_denoiser, "FrameNoise", Noise)


@pytest.mark.parametrize("name", list(MODELS))
def test_the_estimate_has_the_published_sign_and_scale(name):
    arrays, item = load(f"e2e_{name}")
    model = published(name)
    x, y = (parts(cnormal(f"e2e_{c}", (1, 1, 256, 64), 0.3)) for c in "xy")
    t = torch.tensor([0.35])
    estimate = model.bind(y)[1](x, t)
    result = estimate if model.prediction.kind == "data" else model.process.score(x, estimate, y, t)
    assert rel_l2(whole(result)[..., ::4, ::4], arrays["fwd_sub"]) < item["tolerance"]["rel_l2"]


@pytest.mark.parametrize("name", list(MODELS))
def test_a_recording_comes_out_as_from_the_published_implementation(name, golden_noise):
    arrays, item = load(f"e2e_{name}")
    result = run(wave("e2e", 16000, 16000)[None], 16000, published(name), DenoiseOptions(steps=3))
    assert rel_l2(result[0, ::7], arrays["xhat_sub"]) < item["tolerance"]["rel_l2"]


@pytest.mark.parametrize("samples", [8063, 8065, 4097, 700])
@pytest.mark.parametrize("name", ["classic_ouve", "v2_sbve_data"])
def test_at_any_length_it_is_the_published_way(name, samples, golden_noise):
    """Transform, network and sampler called one after the other, as the published program calls them."""
    model, audio = published(name), wave("e2e", 8065, 16000)[:samples]
    peak = np.abs(audio).max()
    y = model.frontend.analyze(torch.from_numpy(audio / peak)[None])
    assert y.shape[2] == 1 + samples // 128
    settings = sampler_settings(model.spec, model.spec.samplers[0], {})
    sampler = partial(SAMPLERS[model.spec.samplers[0]], **settings)
    padded, _ = model.pad_frames(y)
    noise = windowed_denoiser.FrameNoise(0, [0], padded, 1.0)
    with torch.inference_mode():
        expected = peak * model.frontend.synthesize(model.sample(sampler, padded, 2, noise), samples)[0].numpy()
    result = run(audio[None], 16000, model, DenoiseOptions(steps=2))
    assert rel_l2(result[0], expected) < load(f"e2e_{name}")[1]["tolerance"]["rel_l2"]


@pytest.mark.parametrize("item, steps", [("sgmse_tiny_v2_midval", 4), ("sgmse_tiny_classic", 2)])
def test_a_converted_checkpoint_samples_as_its_program_does(item, steps, tmp_path, golden_noise):
    """Without any setting of the user: times of the calls, constants, corrector."""
    convert_file(FOLDER / f"{item}.ckpt", "tiny", tmp_path / "tiny.safetensors")
    model, audio = load_file(tmp_path / "tiny.safetensors", torch.device("cpu")), wave("e2e", 7955, 16000)[None]
    bridge = model.process.t_clean == 0 and "bridge_ode" in model.spec.samplers
    asked = {"call_at": "later", "eps": 1e-8} if bridge else {"corrector": "ald", "corrector_steps": 1, "snr": 0.5}
    result = run(audio, 16000, model, DenoiseOptions(steps=steps))
    assert np.array_equal(result, run(audio, 16000, model, DenoiseOptions(steps=steps, sampler_args=asked)))
    if bridge:
        ours = run(audio, 16000, model, DenoiseOptions(steps=steps, sampler_args={"call_at": "earlier", "eps": 0.0}))
        assert rel_l2(ours, result) > 0.1


@pytest.mark.parametrize("sampler", ["predictor_corrector", "probability_flow"])
def test_long_files_fade_from_window_to_window_and_depend_on_neither_blocks_nor_batch(sampler):
    model = published("v2_ouve_1_over_sigma", ch_mult=[1, 1, 1, 2])  # attention over a 16th of the positions is quick
    audio = np.stack([wave(f"long {c}", 40000, 16000) for c in range(2)])
    options = DenoiseOptions(2, sampler, window_seconds=1.0)
    one, many = (run(audio, 16000, model, replace(options, batch_size=size)) for size in (1, 8))
    assert one.shape == audio.shape and np.isfinite(one).all() and not np.allclose(one, audio)
    np.testing.assert_allclose(one, many, atol=1e-3 * np.abs(one).max())
    jumps = np.abs(np.diff(one - audio, axis=1)).max(axis=0)
    borders = [p for k in (1, 2) for p in (16000 * k - 4000, 16000 * k, 16000 * k + 4000)]
    assert max(jumps[p - 2 : p + 2].max() for p in borders) < 1.5 * np.quantile(jumps, 0.999)


def test_settings_that_a_sampler_does_not_know_are_refused_with_a_sentence():
    model = published("v2_sbve_data")
    with pytest.raises(UsageError, match="--snr: the sampler bridge_ode has no such setting"):
        run(np.ones((1, 800)), 16000, model, DenoiseOptions(sampler_args={"snr": 0.3}))
    with pytest.raises(UsageError, match="predictor_corrector"):
        run(np.ones((1, 800)), 16000, model, DenoiseOptions(sampler="predictor_corrector"))
    with pytest.raises(UsageError, match="start"):
        run(
            wave("e2e", 800, 16000)[None], 16000, published("classic_ouve"), DenoiseOptions(sampler_args={"start": 0.0})
        )


def test_more_corrector_steps_and_another_start_change_the_result():
    model = published("v2_ouve_1_over_sigma")
    audio = wave("e2e", 8000, 16000)[None]
    plain, corrected, late = (
        run(audio, 16000, model, DenoiseOptions(2, sampler_args=args))
        for args in ({}, {"corrector_steps": 2}, {"start": 0.5})
    )
    assert not np.allclose(plain, corrected) and not np.allclose(plain, late)


def test_a_regenerating_model_samples_around_its_first_estimate_and_sees_the_noisy_signal():
    small = {"nf": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": []}
    args = {"denoiser": small | {"discriminative": True}, "score": small | {"input_channels": 6}, "condition": "both"}
    network = NETWORKS["storm"](**args).eval().requires_grad_(False)
    network.load_state_dict(weights(network.state_dict()))
    spec = Spec("storm", "storm", "ouve", network_args=args, prediction={"kind": "data"})
    model, noisy, t = (
        Model(spec, network, torch.device("cpu")),
        parts(cnormal("e2e_y", (1, 1, 64, 16), 0.3)),
        torch.ones(1),
    )
    first = network.initial_estimate(noisy)

    def sampler(estimate, process, y, steps, noise):
        assert torch.equal(y, first)
        return estimate(noisy + 1, t)

    assert torch.equal(model.sample(sampler, noisy, 1, None), network(noisy + 1, first, t, noisy))
