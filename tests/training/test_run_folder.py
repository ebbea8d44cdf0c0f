"""What a run leaves to look at and to listen to: metrics, TensorBoard's files, samples with pictures, and a dry run."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.training.logs import MetricsFile
from enhance_cli.training.only_run import only_run

SHORT = ["stage.0.steps=12", "stage.1.steps=2", "train.validate_every=10"]


def sets(*settings):
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture
def train(enhance, recipe_file, corpus_root, packed, tmp_path):
    def run(folder, *settings, arguments=()):
        command = [
            "train",
            recipe_file,
            "--data",
            corpus_root,
            "--cache",
            packed,
            "--run",
            tmp_path / folder,
        ]
        return enhance(*command, "--device", "cpu", *arguments, *sets(*settings))

    return run


@pytest.mark.slow
def test_samples_are_there_early_and_cost_the_run_nothing(train, tmp_path):
    assert train("with", *SHORT, "train.samples=1").code == 0
    folder = tmp_path / "with" / "samples"
    steps = ["000001", "000010", "000014"]
    wanted = ["1-clean.wav", "1-noisy.wav"] + [f"1-step{s}.{kind}" for s in steps for kind in ("png", "wav")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(wanted)
    noisy, rate = soundfile.read(folder / "1-noisy.wav")
    enhanced = soundfile.read(folder / "1-step000014.wav")[0]
    assert rate == 16000 and noisy.size == enhanced.size == 8000
    assert 0.1 < np.std(enhanced) / np.std(noisy) < 2 and not np.allclose(enhanced, noisy, atol=1e-3)
    assert (folder / "1-step000014.png").read_bytes().startswith(b"\x89PNG")

    assert train("without", *SHORT, "train.samples=0").code == 0
    assert not (tmp_path / "without" / "samples").exists()
    states = [torch.load(tmp_path / run / "state.pt") for run in ("with", "without")]
    assert all(torch.equal(value, states[1]["network"][name]) for name, value in states[0]["network"].items())


@pytest.mark.slow
def test_tensorboard_shows_what_metrics_say(train, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert train("run", *SHORT, "train.tensorboard=true").code == 0
    board = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for name in ("loss", "lr", "si_sdr"):
        drawn = [(event.step, event.value) for event in board.Scalars(name)]
        assert drawn == [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines]


def test_a_run_that_goes_on_forgets_what_lay_beyond_its_state(tmp_path):
    for step in (10, 20, 30):
        MetricsFile(tmp_path, step, tensorboard=False).write({"step": step, "loss": 1.0})
    MetricsFile(tmp_path, 20, tensorboard=False)
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [10, 20]


def test_a_dry_run_tells_memory_and_data_and_leaves_no_run(train, tmp_path):
    done = train("dry", arguments=["--dry-run"])
    facts = json.loads(done.stdout)
    assert facts["memory_gb"]["total"] >= facts["memory_gb"]["batch"] > 0
    (speech,), (noise,) = facts["data"]["speech"], facts["data"]["noise"]
    assert speech["clips"] + speech["clips_held_out"] == 4 and speech["rates"] == {"16000": 4}
    assert noise["level_db"]["median"] == pytest.approx(-20, abs=0.2)
    larger = json.loads(train("dry", "train.batch_size=40", arguments=["--dry-run"]).stdout)
    assert 5 < larger["memory_gb"]["batch"] / facts["memory_gb"]["batch"] < 11
    assert not (tmp_path / "dry").exists()


def test_a_disk_that_takes_no_more_is_told_with_the_run_and_not_as_a_fault_of_stdout(train, tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # bytes of a file: the state has more
    try:
        done = train("run", "stage.0.steps=1", "stage.1.steps=0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.code == 1 and done.stdout == b""
    assert done.errors == [
        f"error: {tmp_path / 'run'}: cannot be used (File too large): mend that, then the same command goes on from the last "
        "save"
    ]
    assert not (tmp_path / "run" / "state.pt").exists()


@pytest.mark.slow
def test_pairs_in_place_of_what_a_recipe_mixes(enhance, recipe_file, pairs_root, tmp_path):
    command = ["train", recipe_file, "--data", pairs_root, "--run", tmp_path / "run", "--device", "cpu"]
    done = enhance(*command, *sets("data.pairs=.", *SHORT))
    assert done.code == 0, done.stderr
    card = (tmp_path / "run" / "tiny.md").read_text()
    assert "4 pairs of noisy and clean recordings" in card and "not stated" in card and "CC BY" not in card
    done = enhance(*command, *sets("data.pairs=elsewhere"))
    assert done.code == 2 and "elsewhere/train/noisy: no such folder" in done.errors[0]


def test_a_second_run_in_the_same_folder_is_refused_until_the_first_has_ended(train, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    hold = "import sys; from pathlib import Path; from enhance_cli.training.only_run import only_run\n"
    hold += "with only_run(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "held\n"
        result = train("run", *SHORT)
        assert result.code == 2 and result.stderr.strip().endswith(
            f"{folder}: another run is training in this folder: name another one with --run"
        )
        first.kill()
    with only_run(folder):
        pass
    assert not list(folder.iterdir())
