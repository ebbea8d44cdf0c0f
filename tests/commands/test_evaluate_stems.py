"""`enhance evaluate --task stems` over folders of stems whose scores are known."""

import json
import math

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from enhance_cli.cli import app

RATE = 8000
STEMS = ("bass", "drums", "piano")


def sine(frequency):
    return 0.1 * np.sin(2 * np.pi * frequency * np.arange(8 * RATE) / RATE)


def write(folder, **signals):
    folder.mkdir(parents=True)
    for name, audio in signals.items():
        soundfile.write(folder / f"{name}.wav", audio, RATE, "FLOAT")


def evaluate(*arguments):
    run = CliRunner().invoke(app, ["evaluate", "--task", "stems", *map(str, arguments)])
    return run.exit_code, [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")], run


@pytest.fixture
def truth(tmp_path):
    bass, drums = sine(100), sine(250)
    write(tmp_path / "truth" / "one", mixture=bass + drums, bass=bass, drums=drums, piano=0 * bass)
    return tmp_path / "truth"


def test_known_leakage_gives_known_scores(truth, tmp_path):
    bass, drums = sine(100), sine(250)
    estimates = {"bass": bass + 0.1 * drums, "drums": drums + 0.01 * bass, "piano": 0 * bass}
    write(tmp_path / "found" / "one", **estimates)
    code, lines, _ = evaluate(truth, tmp_path / "found", "--json")
    assert code == 0
    row = lines[-1]
    assert row["stems"]["bass"]["active"] == pytest.approx(20.0, abs=0.01)
    assert row["stems"]["drums"]["whole"] == pytest.approx(40.0, abs=0.01)
    assert row["stems"]["bass"]["sdr"] == pytest.approx(20.0, abs=0.01)
    assert row["stems"]["piano"]["active"] is None and row["stems"]["piano"]["msdm"] is not None
    assert row["mean"]["active"] == pytest.approx(30.0, abs=0.01)


def test_stereo_mix_and_names_as_extract_stem_gives_them(truth, tmp_path):
    bass, drums = sine(100), sine(250)
    soundfile.write(truth / "one" / "mixture.wav", np.stack([bass + drums] * 2, 1), RATE, "FLOAT")
    write(tmp_path / "found" / "one", mixture_bass=bass + 0.1 * drums, mixture_residual=drums)
    code, lines, _ = evaluate(truth, tmp_path / "found", "--json")
    assert code == 0 and list(lines[-1]["stems"]) == ["bass"]
    assert lines[-1]["mean"]["whole"] == pytest.approx(20.0, abs=0.01)


def test_table_names_stems_and_folders(truth):
    code, _, run = evaluate(truth, truth)
    assert code == 0
    for word in (*STEMS, "mean", "truth"):
        assert word in run.stdout


def test_recordings_that_cannot_be_scored_are_named_and_the_others_are_scored(truth, tmp_path):
    write(tmp_path / "found" / "one", bass=sine(100), drums=sine(250))
    write(truth / "two", mixture=sine(50), bass=sine(50), drums=sine(90))
    write(tmp_path / "found" / "two", bass=sine(50)[:-800], drums=sine(90))
    code, lines, run = evaluate(truth, tmp_path / "found", "--json")
    assert code == 1 and "two: the estimate of bass is of another length" in run.stderr
    assert [line.get("recording") for line in lines] == ["one", None]
    assert math.isfinite(lines[-1]["mean"]["active"])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["."], "nothing to score"),
        (["nowhere", "."], "not a folder"),
        ([".", "nowhere"], "not a folder"),
        ([".", ".", "--steps", "1"], "add --model"),
    ],
)
def test_wrong_use_is_one_line(truth, monkeypatch, arguments, words):
    monkeypatch.chdir(truth)
    import subprocess
    import sys

    command = [sys.executable, "-m", "enhance_cli", "evaluate", "--task", "stems", *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and words in run.stderr and run.stderr.count("\n") == 1
