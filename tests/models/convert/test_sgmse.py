"""SGMSE+ checkpoints: the running mean under its own names, and a header that says how the network is to be run."""

import shutil

import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import bbed, sgmse
from enhance_cli.models.convert.file import convert_file
from enhance_cli.models.spec import file_sha256, read_spec
from enhance_cli.networks import NETWORKS
from enhance_cli.samplers import PAIRINGS
from tests import golden_numbers as golden
from tests.models.convert.foreign import TINY, lightning, named

TINY_FILES = ["sgmse_tiny_classic", "sgmse_tiny_v2_midval"]


def convert_tiny(tmp_path, settings=None, convert=sgmse.convert, **args):
    prefix = "dnn."
    raw, ema = named("raw.", prefix, **TINY), named("ema.", prefix, **TINY)
    return convert(lightning(tmp_path / "x.ckpt", raw, ema, TINY | (settings or {}), **args))


@pytest.mark.parametrize("item", TINY_FILES)
def test_weights_are_the_running_mean_also_in_a_file_saved_during_validation(item):
    weights, spec = sgmse.convert(golden.FOLDER / f"{item}.ckpt")
    _, about = golden.load(f"{item}_expect")
    assert list(weights) == about["keys_order"]
    for key, expected in golden.weights(weights, "ema.").items():
        assert torch.equal(weights[key], expected), key


@pytest.mark.slow
@pytest.mark.parametrize("item", TINY_FILES)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_converted_model_cleans_a_file(item, steps, enhance, tmp_path):
    convert_file(golden.FOLDER / f"{item}.ckpt", "tiny", tmp_path / "tiny.safetensors")
    soundfile.write(tmp_path / "a.wav", golden.wave("a", 20000, 16000), 16000)
    done = enhance("denoise", "a.wav", "-m", "tiny.safetensors", "--steps", steps)
    assert done.code == 0, done.stderr
    out, rate = soundfile.read(tmp_path / "a_denoised.wav")
    assert len(out) == 20000 and rate == 16000 and abs(out).max() > 0


@pytest.mark.parametrize("item", TINY_FILES)
def test_the_network_of_the_header_gives_the_published_numbers(item, tmp_path):
    target = tmp_path / "model.safetensors"
    spec = convert_file(golden.FOLDER / f"{item}.ckpt", "tiny", target)
    network = NETWORKS[spec.network](**spec.network_args).eval()
    network.load_state_dict(load_file(target))
    x, y = (golden.parts(golden.cnormal(f"{item}_{name}", (1, 1, 256, 64), 0.5)) for name in "xy")
    with torch.inference_mode():
        out = golden.whole(network(x, y, torch.tensor([0.4])))
    arrays, about = golden.load(f"{item}_expect")
    assert golden.rel_l2(out[..., ::4, ::4], arrays["out_ema"]) < about["tolerance"]["rel_l2"]
    assert golden.rel_l2(out[..., ::4, ::4], arrays["out_raw"]) > 0.1


def test_a_classic_model_runs_as_its_authors_ran_it():
    _, spec = sgmse.convert(golden.FOLDER / "sgmse_tiny_classic.ckpt")
    assert (spec.process, spec.samplers[0], spec.default_steps) == ("ouve", "predictor_corrector", 30)
    assert spec.process_args == {"theta": 1.5, "sigma_min": 0.05, "sigma_max": 0.5, "t_eps": 0.03}
    assert spec.sampler_args["predictor_corrector"] == {"corrector": "ald", "corrector_steps": 1, "snr": 0.5}
    assert spec.prediction == {"kind": "score", "sign": -1.0} and spec.network_args["divide"] == "before"
    assert (spec.normalise, spec.frames_multiple, spec.frame_padding, spec.sample_rate) == ("peak", 64, "zero", 16000)
    assert {k: spec.frontend[k] for k in ("n_fft", "hop", "exponent", "scale")} == {
        "n_fft": 510, "hop": 128, "exponent": 0.5, "scale": 0.15,
    }  # fmt: skip


def test_a_bridge_predicts_the_clean_signal():
    _, spec = sgmse.convert(golden.FOLDER / "sgmse_tiny_v2_midval.ckpt")
    assert (spec.process, spec.process_args) == ("schroedinger_bridge_ve", {"k": 2.6, "c": 0.4})
    assert spec.samplers == ("bridge_ode", "bridge_sde") and spec.prediction["kind"] == "data"
    assert "divide" not in spec.network_args and spec.frame_padding == "reflect"
    assert spec.sampler_args == {name: {"call_at": "later", "eps": 1e-8} for name in spec.samplers}


@pytest.mark.parametrize(
    ("settings", "prediction"),
    [
        ({"network_scaling": "1/t"}, {"kind": "score", "output_scaling": "1/t", "input_scaling": "1"}),
        ({"loss_type": "denoiser", "c_in": "edm", "c_skip": "edm"}, {"kind": "denoiser", "input_scaling": "edm_in"}),
        (
            {"loss_type": "score_matching", "c_in": "edm", "c_out": "1/sigma", "c_skip": "edm", "sigma_data": 0.2},
            {"kind": "score", "input_scaling": "edm_in", "out": "1/sigma", "skip": "edm_skip", "sigma_data": 0.2},
        ),
    ],
)
def test_what_a_v2_network_predicts_comes_from_the_settings(settings, prediction, tmp_path):
    from enhance_cli.models.prediction import Prediction

    _, spec = convert_tiny(tmp_path, {"backbone": "ncsnpp_v2", **settings})
    assert prediction.items() <= spec.prediction.items()
    assert ("skip" in spec.prediction) == (spec.prediction["kind"] != "denoiser")
    Prediction(**spec.prediction)


def test_front_end_process_and_steps_come_from_the_settings(tmp_path):
    settings = {"n_fft": 1534, "hop_length": 384, "spec_factor": 0.065, "spec_abs_exponent": 0.667, "theta": 2.0}
    settings |= {"sigma_min": 0.1, "sigma_max": 1.0, "N": 50, "window": "sqrthann", "transform_type": "log"}
    _, spec = convert_tiny(tmp_path, settings | {"centered": False})
    assert (spec.sample_rate, spec.default_steps, spec.network_args["centered"]) == (48000, 30, False)
    _, bridge = convert_tiny(
        tmp_path, {"backbone": "ncsnpp_v2", "sde": "sbve", "loss_type": "data_prediction", "N": 40}
    )
    assert bridge.default_steps == 40, (
        "bridges are sampled with the steps of their training, scores with those of a flag"
    )
    _, plain = convert_tiny(tmp_path, settings | {"transform_type": "none"})
    assert {"transform": "exponent", "exponent": 1.0, "scale": 1.0}.items() <= plain.frontend.items()
    assert spec.process_args["theta"] == 2.0 and spec.frontend["transform"] == "log" and spec.frontend["scale"] == 0.065


@pytest.mark.parametrize("half", [False, True])
def test_the_file_says_where_it_comes_from_and_how_precise_it_is(half, tmp_path):
    source, target = golden.FOLDER / "sgmse_tiny_classic.ckpt", tmp_path / "new" / "model.safetensors"
    convert_file(
        source,
        "mine",
        target,
        converter="sgmse",
        licence="CC0-1.0",
        origin={"origin": "https://example.org/x"},
        half=half,
    )
    spec = read_spec(target)
    assert (spec.name, spec.licence, spec.training["origin"]) == ("mine", "CC0-1.0", "https://example.org/x")
    assert spec.training["source_sha256"] == file_sha256(source) and spec.training["global_step"] == 1234
    with safe_open(target, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a dictionary
            single = not half or name == "all_modules.0.W"
            assert file.get_tensor(name).dtype == (torch.float32 if single else torch.float16)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_means_without_the_untrained_weights_and_with_those_of_a_loss(tmp_path):
    raw, ema = named("raw.", "dnn.", **TINY), named("ema.", "dnn.", **TINY)
    fixed = "dnn.all_modules.0.W"
    shadow = [tensor for key, tensor in ema.items() if key != fixed]
    weights, _ = sgmse.convert(lightning(tmp_path / "old.ckpt", raw, shadow, TINY))
    assert torch.equal(weights["all_modules.0.W"], raw[fixed])
    assert all(torch.equal(weights[key[4:]], tensor) for key, tensor in ema.items() if key != fixed)

    loss = {"pesq_loss.fbank": torch.ones(3)}
    weights, _ = sgmse.convert(lightning(tmp_path / "pesq.ckpt", raw | loss, [*ema.values(), torch.ones(3)], TINY))
    assert all(torch.equal(weights[key[4:]], tensor) for key, tensor in ema.items())


def test_damaged_means_are_refused(tmp_path):
    raw, ema = named("raw.", "dnn.", **TINY), list(named("ema.", "dnn.", **TINY).values())
    swapped = [ema[1], ema[0], *ema[2:]]
    for shadow, said in (
        (ema[:-5], "138 running means for 143 weights"),
        (swapped, "running mean of dnn.output_layer"),
    ):
        with pytest.raises(ModelError, match=f"x.ckpt: .*{said}"):
            sgmse.convert(lightning(tmp_path / "x.ckpt", raw, shadow, TINY))
    ema[3] = ema[3] * float("nan")
    lightning(tmp_path / "x.ckpt", raw, ema, TINY)
    with pytest.raises(ModelError, match="x.ckpt: .*not finite"):
        convert_file(tmp_path / "x.ckpt", "x", tmp_path / "out.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nf": 16}, r"not the weights of ncsnpp: .*is \[.*closest known variant"),
        ({"ch_mult": [1, 2, 2]}, "not the weights of ncsnpp: all_modules"),
        ({"ch_mult": "wide"}, "settings describe no NCSN"),
        ({"backbone": "dcunet"}, "its backbone is 'dcunet'.*known are ncsnpp"),
        ({"sde": "magic"}, "its sde is 'magic'"),
        ({"theta": "large"}, "its setting theta is 'large'"),
        ({"backbone": "ncsnpp_v2", "loss_type": "mystery"}, "its loss_type is 'mystery'"),
        ({"backbone": "ncsnpp_v2", "network_scaling": "1/u"}, "its network_scaling is '1/u'"),
        ({"transform_type": "mel"}, "its transform_type is 'mel'"),
    ],
)
def test_settings_that_cannot_be_run_are_named(settings, said, tmp_path):
    with pytest.raises(ModelError, match=said) as caught:
        convert_tiny(tmp_path, settings)
    assert "\n" not in str(caught.value) and caught.value.hint


def test_another_architecture_is_told_by_its_first_key_and_its_nearest_kin(tmp_path):
    full = named("ema.", "dnn.", nf=96, ch_mult=[1, 1, 1, 1], num_res_blocks=1, attn_resolutions=[0])
    lightning(tmp_path / "x.ckpt", full, full, {"backbone": "ncsnpp"})
    with pytest.raises(
        ModelError, match=r"all_modules.0.W is \[96\], not \[128\].*closest.*ncsnpp_v2_5M \(all tensors alike\)"
    ):
        sgmse.convert(tmp_path / "x.ckpt")
    other = {"dnn.encoder.weight": torch.zeros(3)}
    lightning(tmp_path / "x.ckpt", other, other)
    with pytest.raises(ModelError, match="output_layer.weight .* is missing: no known variant"):
        sgmse.convert(tmp_path / "x.ckpt")


@pytest.mark.parametrize("missing", ["state_dict", "hyper_parameters", "ema"])
def test_what_is_not_in_a_file_is_named(missing, tmp_path):
    raw = named("raw.", "dnn.", **TINY)
    content = {"state_dict": raw, "hyper_parameters": TINY, "ema": {"shadow_params": list(raw.values())}}
    del content[missing]
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(ModelError, match=f"x.ckpt: .*{missing}"):
        sgmse.convert(tmp_path / "x.ckpt")


def test_bbed_and_its_second_stage(tmp_path):
    settings = {"sde": "bbed", "theta": 0.51, "k": 2.6, "N": 30, "T_sampling": 0.999}
    weights, spec = convert_tiny(tmp_path, settings, bbed.convert)
    assert torch.equal(weights["output_layer.bias"], named("ema.", **TINY)["output_layer.bias"])
    assert (spec.process, spec.default_steps) == ("bbed", 30)
    assert spec.process_args == {"k": 2.6, "c": 0.51, "t_max": 0.999, "t_eps": 0.03}
    assert spec.prediction == {"kind": "score", "sign": -1.0} and spec.network_args["divide"] == "before"
    assert all(spec.process in PAIRINGS[sampler] for sampler in spec.samplers), "a sampler that denoise would refuse"

    second = {"t_rsp_min": 0.5, "t_rsp_max": 0.5, "N_min": 1, "N_max": 1}
    _, spec = convert_tiny(tmp_path, settings | second, bbed.convert)
    assert spec.sampler_args == {"predictor_corrector": {"corrector": "none", "start": 0.5}}
    assert spec.default_steps == 1 and spec.samplers == ("predictor_corrector",)
    assert convert_file(tmp_path / "x.ckpt", "x", tmp_path / "x.safetensors").process == "bbed"
    with pytest.raises(ModelError, match="its sde is 'ouve'"):
        convert_tiny(tmp_path, {"sde": "ouve"}, bbed.convert)


def test_the_command_converts(enhance, tmp_path):
    shutil.copy(golden.FOLDER / "sgmse_tiny_classic.ckpt", tmp_path / "a.ckpt")
    done = enhance("models", "convert", "a.ckpt", "-o", "b.safetensors", "--license", "MIT")
    assert done.code == 0 and done.lines == ["b.safetensors"]
    assert enhance("models", "show", "b.safetensors").code == 0
    assert enhance("models", "convert", "a.ckpt", "-o", "b.pt").code == 2
    assert "gone.ckpt: no such file" in enhance("models", "convert", "gone.ckpt", "-o", "b.safetensors").stderr
    wrong = enhance("models", "convert", "a.ckpt", "-o", "c.safetensors", "--from", "storm")
    assert (
        wrong.code == 3 and "no predictive network in it" in wrong.stderr and not (tmp_path / "c.safetensors").exists()
    )
    (tmp_path / "out").write_text("a file, not a folder")
    blocked = enhance("models", "convert", "a.ckpt", "-o", "out/c.safetensors")
    assert blocked.code == 3 and "cannot be written" in blocked.stderr
