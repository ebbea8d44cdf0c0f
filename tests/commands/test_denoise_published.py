"""A checkpoint of another program, from its file to a cleaned recording, as a user does it."""

import json
from pathlib import Path

import pytest
import soundfile

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]


@pytest.fixture
def recording(tmp_path) -> Path:
    audio, rate = soundfile.read(next((TESTS / "audio_files" / "pairs" / "noisy").glob("*.flac")))
    path = tmp_path / "in.wav"
    soundfile.write(path, audio[:16000], rate)
    return path


@pytest.fixture
def model(enhance, tmp_path) -> Path:
    """A score model of 47,000 weights in the layout of a published training run."""
    checkpoint = TESTS / "golden" / "sgmse_tiny_classic.ckpt"
    done = enhance("models", "convert", checkpoint, "-o", tmp_path / "tiny.safetensors")
    assert done.code == 0, done.stderr
    return Path(done.lines[0])


def test_settings_of_the_sampler_reach_it_and_the_record(enhance, recording, model):
    asked = ["--corrector-steps", "2", "--snr", "0.3", "--sampler-start", "0.7"]
    done = enhance("denoise", recording, "-m", model, "--steps", "2", "--json", *asked)
    assert done.code == 0, done.stderr
    record = json.loads(done.lines[0])
    assert record["sampler"] == "predictor_corrector" and record["steps"] == 2
    assert record["sampler_args"] == {"corrector_steps": 2, "snr": 0.3, "start": 0.7}
    result, _ = soundfile.read(recording.with_name("in_denoised.wav"))
    plain = enhance("denoise", recording, "-m", model, "--steps", "2", "--name", "plain{ext}")
    assert plain.code == 0 and len(result) == 16000
    assert (soundfile.read(plain.lines[0])[0] != result).any()


def test_a_share_of_the_path_is_sampled_and_none_of_it_is_the_input(enhance, recording, model):
    results = {}
    for share in ("0", "0.5", "1"):
        asked = ["--sdedit", share, "--name", f"{share}{{ext}}", "--bit-depth", "float"]
        done = enhance("denoise", recording, "-m", model, "--steps", "2", *asked)
        assert done.code == 0, done.stderr
        results[share] = soundfile.read(done.lines[0], dtype="float32")[0]
    assert (results["0"] == soundfile.read(recording, dtype="float32")[0]).all()
    changes = [abs(results[share] - results["0"]).mean() for share in ("0.5", "1")]
    assert changes[0] > 0 and abs(results["0.5"] - results["1"]).max() > 1e-4


@pytest.mark.parametrize(
    "asked, said",
    [
        (["--sampler", "bridge_ode"], "does not run with it"),
        (
            ["--sampler-start", "0.01"],
            "sampler start 0.01: the process does not start there: choose from above 0.03 to 1",
        ),
        (["--sdedit", "0.5", "--sampler-start", "0.5"], "both say where sampling starts"),
        (["--steps", "1000"], "takes 1 to 200 steps"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(enhance, recording, model, asked, said):
    done = enhance("denoise", recording, "-m", model, *asked)
    assert done.code == 2 and len(done.errors) == 1 and said in done.errors[0]
    assert not recording.with_name("in_denoised.wav").exists()


def test_a_setting_of_another_sampler_is_refused(enhance, recording):
    done = enhance("denoise", recording, "--snr", "0.3")
    assert done.code == 2 and "--snr: the sampler bridge_ode has no such setting" in done.errors[0]
