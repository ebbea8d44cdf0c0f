"""`enhance evaluate` on real pairs: the numbers, the pairing, and what it says when files do not match."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer
from typer.testing import CliRunner

from enhance_cli.commands.evaluate.command import evaluate
from enhance_cli.commands.evaluate.speech import _denoisers
from enhance_cli.errors import AudioError, EnhanceError, UsageError

FILES = Path(__file__).parents[2] / "audio_files"
CLEAN, NOISY = FILES / "pairs" / "clean", FILES / "pairs" / "noisy"
CLEAN_48K, NOISY_48K = FILES / "pairs_48k" / "clean", FILES / "pairs_48k" / "noisy"


def run(*arguments):
    """The command's result; errors that `enhance` itself turns into exit codes are raised."""
    app = typer.Typer()
    app.command()(evaluate)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, EnhanceError):
        raise result.exception
    return result


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def estimates(tmp_path):
    """A folder as an enhancer might leave it: half of the noise gone, stored as WAV at 48 kHz."""
    import soxr

    folder = tmp_path / "estimates"
    folder.mkdir()
    for path in CLEAN.iterdir():
        clean, rate = soundfile.read(path)
        noisy, _ = soundfile.read(NOISY / path.name)
        soundfile.write(folder / f"{path.stem}.wav", soxr.resample((clean + noisy) / 2, rate, 48000), 48000)
    return folder


def test_means_and_differences_to_the_noisy_input(estimates):
    result = run(CLEAN, estimates, "--noisy", NOISY, "--metrics", "si_sdr,pesq", "--json")
    assert result.exit_code == 0
    files, (noisy, half) = lines(result)[:-2], lines(result)[-2:]
    assert [line["file"] for line in files] == [
        name for name in ("p232_263", "p232_328", "p257_094", "p257_395") for _ in range(2)
    ]
    assert noisy["system"] == "noisy"
    assert noisy["files"] == half["files"] == 4
    assert noisy["mean"]["si_sdr"] == pytest.approx(0.82, abs=0.01)
    # Half of the noise is 6 dB less, give or take what the noise correlates with the speech.
    assert half["difference"]["si_sdr"] == pytest.approx(6.0, abs=0.8)
    assert half["mean"]["pesq"] == pytest.approx(noisy["mean"]["pesq"] + half["difference"]["pesq"])
    assert half["difference"]["pesq"] > 0.1


@pytest.mark.slow
def test_all_measures_fit_in_a_table_of_80_columns():
    result = run(CLEAN, CLEAN, "--noisy", NOISY)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    texts = ["PESQ", "ESTOI", "SI-SDR", "OVRL", "SIG", "BAK", "P808", "4.64", "+3.50", "1.000", "+0.465", "inf"]
    for text in texts:
        assert text in result.stdout
    assert all(name in result.stdout for name in ("noisy", "clean"))
    assert "HF" not in result.stdout  # no file has a band above 8 kHz


def test_infinite_is_null_in_json():
    result = run(CLEAN, CLEAN, "--metrics", "si_sdr", "--json")
    assert [line["si_sdr"] for line in lines(result)[:-1]] == [None] * 4


def test_a_millisecond_is_trimmed_and_more_is_an_error_for_that_file(tmp_path):
    shutil.copytree(CLEAN, tmp_path, dirs_exist_ok=True)
    for name, extra in (("p232_263", 15), ("p257_094", 16)):
        audio, rate = soundfile.read(CLEAN / f"{name}.flac")
        soundfile.write(tmp_path / f"{name}.flac", np.append(audio, np.zeros(extra)), rate)
    result = run(CLEAN, tmp_path, "--metrics", "pesq", "--json")
    assert result.exit_code == 1
    assert "error: p257_094: 2.261 s against 2.260 s" in result.stderr
    assert lines(result)[-1] == {
        "system": str(tmp_path),
        "files": 3,
        "mean": {"pesq": pytest.approx(4.644, abs=1e-3)},
    }


def test_a_broken_file_fails_alone(estimates):
    (estimates / "p232_328.wav").write_text("not audio")
    result = run(CLEAN, estimates, "--noisy", NOISY, "--metrics", "si_sdr", "--json")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "p232_328" in result.stderr
    assert [row["files"] for row in lines(result)[-2:]] == [3, 3]


def test_a_file_without_sound_fails_alone(estimates):
    soundfile.write(estimates / "p232_328.wav", np.zeros(0), 48000)
    result = run(CLEAN, estimates, "--metrics", "si_sdr", "--json")
    assert result.exit_code == 1 and lines(result)[-1]["files"] == 3
    assert "error: p232_328: " in result.stderr and result.stderr.count("\n") == 1


def test_files_without_a_partner_are_named_and_left_out_of_every_row(estimates):
    (estimates / "p232_328.wav").rename(estimates / "other.wav")
    result = run(CLEAN, estimates, "--noisy", NOISY, "--metrics", "si_sdr", "--json")
    assert result.exit_code == 1
    assert "1 clean file without a partner here: p232_328" in result.stderr
    assert "1 file without a clean original: other" in result.stderr
    assert [row["files"] for row in lines(result)[-2:]] == [3, 3]


@pytest.mark.slow
def test_a_model_is_run_at_each_step_count_and_timed(identity_model):
    common = (CLEAN, "--noisy", NOISY, "--model", identity_model, "--steps", "1,3", "--metrics", "si_sdr", "-d", "cpu")
    result = run(*common, "--json")
    assert result.exit_code == 0
    noisy, one, three = lines(result)[-3:]
    assert (one["system"], three["system"]) == (f"{identity_model}, 1 step", f"{identity_model}, 3 steps")
    assert one["difference"]["si_sdr"] == pytest.approx(0, abs=1e-3)  # it returns its input
    assert one["times_real_time"] > 0 and three["times_real_time"] > 0
    assert "times_real_time" not in noisy
    assert "speed" in run(*common).stdout


def test_the_network_has_run_before_anything_is_timed(tiny_model):
    """What a first call costs, such as memory and the choice of kernels, is no part of a model's speed."""
    calls = []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: calls.append(1))
    try:
        _denoisers(str(tiny_model), [1], "cpu", {})
    finally:
        hook.remove()
    assert calls


@pytest.mark.slow
def test_at_48_khz_there_are_two_columns_of_the_band_above_8_khz():
    result = run(CLEAN_48K, CLEAN_48K, "--noisy", NOISY_48K)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for text in ("SI-SDR dB", "HF dB", "LSD dB", "P808", "0.00"):
        assert text in result.stdout


def test_si_sdr_is_taken_at_the_rate_of_the_clean_file(tmp_path):
    """An estimate that lost all above 8 kHz is near perfect below, and says so; at 16 kHz nobody would see it."""
    import soxr

    for path in CLEAN_48K.iterdir():
        clean, rate = soundfile.read(path)
        soundfile.write(tmp_path / f"{path.stem}.wav", soxr.resample(clean, rate, 16000), 16000, "FLOAT")
    row = lines(run(CLEAN_48K, tmp_path, "--metrics", "pesq,si_sdr,hf_si_sdr,hf_lsd", "--json"))[-1]["mean"]
    assert row["pesq"] > 4.6
    assert 10 < row["si_sdr"] < 30
    assert row["hf_si_sdr"] < 3 and row["hf_lsd"] > 20


def test_the_high_band_is_scored_where_a_file_has_one(tmp_path):
    both = {"clean": (CLEAN, CLEAN_48K), "noisy": (NOISY, NOISY_48K)}
    for name, folders in both.items():
        for folder in folders:
            shutil.copytree(folder, tmp_path / name, dirs_exist_ok=True)
    arguments = (tmp_path / "clean", "--noisy", tmp_path / "noisy", "--metrics", "si_sdr,hf_si_sdr")
    *files, row = lines(run(*arguments, "--json"))
    bands = [line["hf_si_sdr"] for line in files if "hf_si_sdr" in line]
    assert len(files) == 6 and len(bands) == 2
    assert row["mean"]["hf_si_sdr"] == pytest.approx(np.mean(bands))
    assert "HF and LSD of 2 files" in " ".join(run(*arguments).stdout.split())
    with pytest.raises(AudioError, match="holds anything above 8 kHz"):
        run(CLEAN, "--noisy", NOISY, "--metrics", "hf_lsd")


def test_late_files_get_a_hint(tmp_path):
    for path in CLEAN_48K.iterdir():
        clean, rate = soundfile.read(path)
        soundfile.write(tmp_path / path.name, np.append(np.zeros(1440), clean[:-1440]), rate)
    result = run(CLEAN_48K, tmp_path, "--noisy", NOISY_48K, "--metrics", "si_sdr", "--json")
    assert result.exit_code == 0
    (hint,) = result.stderr.splitlines()
    assert f"{tmp_path}: 2 of 2 files 30.0 ms late" in hint
    late = [line["delay_ms"] for line in lines(result) if "delay_ms" in line]
    assert late == [pytest.approx(30.0)] * 2 and "delay_ms" not in lines(result)[-1]["mean"]


@pytest.mark.slow
def test_several_models_share_a_table_and_each_does_the_steps_it_can(identity_model, tmp_path):
    from safetensors.numpy import load_file, save_file

    from enhance_cli.models.spec import read_spec

    quick = tmp_path / "quick.safetensors"
    save_file(load_file(identity_model), quick, replace(read_spec(Path(identity_model)), max_steps=1).to_metadata())
    models = ("--model", identity_model, "--model", quick, "-d", "cpu")
    common = (CLEAN, "--noisy", NOISY, *models, "--metrics", "si_sdr", "--json")
    result = run(*common, "--steps", "1,2", "--steps", "3")
    rows = [line["system"] for line in lines(result) if "mean" in line]
    assert rows == ["noisy", *(f"{identity_model}, {n}" for n in ("1 step", "2 steps", "3 steps")), f"{quick}, 1 step"]
    assert [line.split(":")[1] for line in result.stderr.splitlines()] == [" --steps 2", " --steps 3"]
    with pytest.raises(UsageError, match="--steps 2"):
        run(*common, "--steps", "2,3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([CLEAN], "nothing to score"),
        ([CLEAN / "missing"], "not a folder"),
        ([CLEAN, "--model", "toy"], "--noisy"),
        ([CLEAN, NOISY, "--steps", "1"], "add --model"),
        ([CLEAN, "--noisy", NOISY, "--model", "toy", "--steps", "one"], "write it like 1,2,5"),
        ([CLEAN, NOISY, "--metrics", "snr"], "unknown metric 'snr'"),
        ([CLEAN, NOISY, "--metrics", ","], "--metrics is empty"),
        ([CLEAN, CLEAN / "p232_263.flac"], "not a folder"),
        ([CLEAN, CLEAN / "missing"], "not a folder"),
        ([CLEAN, "--noisy", CLEAN / "missing"], "not a folder"),
        ([CLEAN, "--noisy", NOISY, "--model", "denoise-s", "-d", "tpu"], "tpu"),
        ([CLEAN, NOISY, "--task", "stems", "--noisy", NOISY], "--noisy is for speech"),
        ([CLEAN, NOISY, "--task", "stems", "--metrics", "snr"], "--metrics is for speech"),
    ],
)
def test_wrong_use_is_refused_before_any_work(arguments, message):
    with pytest.raises(UsageError, match=message):
        run(*arguments)


def test_folders_with_nothing_in_common_are_refused(tmp_path):
    shutil.copy(CLEAN / "p232_263.flac", tmp_path / "p232_263_denoised.flac")
    with pytest.raises(UsageError, match="names must match"):
        run(CLEAN, tmp_path)


def test_folders_that_share_no_clean_file_are_refused(tmp_path):
    for folder, source in zip(("a", "b"), sorted(CLEAN.iterdir())):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder)
    with pytest.raises(UsageError, match="no clean file has a partner in every folder"):
        run(CLEAN, tmp_path / "a", tmp_path / "b")


def test_files_that_differ_in_their_extension_only_are_paired_by_it_or_named(estimates, tmp_path):
    """p232_263 has a copy of the clean file's extension, p257_094 two files of others."""
    shutil.copy(CLEAN / "p232_263.flac", estimates)
    shutil.copy(estimates / "p257_094.wav", estimates / "p257_094.aiff")
    result = run(CLEAN, estimates, "--metrics", "si_sdr", "--json")
    files = {line["file"]: line["si_sdr"] for line in lines(result)[:-1]}
    assert result.exit_code == 1
    assert sorted(files) == ["p232_263", "p232_328", "p257_395"] and files["p232_263"] is None  # equal: infinite
    error, warning, *_ = result.stderr.splitlines()
    assert error.endswith("1 clean file without a partner here: p257_094")
    assert warning.endswith("3 files without a clean original: p232_263.wav, p257_094.aiff, p257_094.wav")
    clean = tmp_path / "clean"
    shutil.copytree(CLEAN, clean)
    shutil.copy(clean / "p257_395.flac", clean / "p257_395.wav")
    assert "p257_395.wav" in {
        line.get("file") for line in lines(run(clean, estimates, "--metrics", "si_sdr", "--json"))
    }


def test_one_pair_of_equal_files_does_not_make_the_mean_infinite(tmp_path):
    shutil.copytree(NOISY, tmp_path / "cleaned")
    shutil.copy(CLEAN / "p232_263.flac", tmp_path / "cleaned")
    result = run(CLEAN, tmp_path / "cleaned", "--metrics", "si_sdr", "--json")
    *files, mean = lines(result)
    assert "1 of 4 files with infinite scores" in result.stderr
    finite = [line["si_sdr"] for line in files if line["file"] != "p232_263"]
    assert mean["mean"]["si_sdr"] == pytest.approx(np.mean(finite), abs=1e-3)


def test_the_sound_of_videos_is_scored(estimates):
    import av

    with av.open(str(CLEAN / "p232_263.flac")) as old, av.open(str(estimates / "p232_263.mkv"), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    (estimates / "p232_263.wav").unlink()
    result = run(CLEAN, estimates, "--metrics", "si_sdr", "--json")
    assert result.exit_code == 0 and "p232_263" in {line.get("file") for line in lines(result)}
