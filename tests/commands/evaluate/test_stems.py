"""`enhance evaluate --task stems` over folders of stems whose scores are known."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from enhance_cli.cli import app
from enhance_cli.commands.evaluate.stems import _extractors

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


def test_stems_of_opposite_polarity_are_not_silence(tmp_path):
    bass, drums = sine(100), sine(250)
    sides = lambda audio: np.stack([audio, -audio], 1)
    write(tmp_path / "truth" / "one", mixture=sides(bass + drums), bass=sides(bass), drums=sides(drums))
    write(tmp_path / "found" / "one", bass=sides(bass + 0.1 * drums), drums=sides(drums + 0.1 * bass))
    code, lines, _ = evaluate(tmp_path / "truth", tmp_path / "found", "--json")
    assert code == 0
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


def test_recordings_of_one_name_in_different_folders_have_estimates_of_their_own(tmp_path):
    bass, drums = sine(100), sine(250)
    for place, leakage in (("x/take", 0.1), ("y/take", 0.01)):
        write(tmp_path / "truth" / place, mix=bass + drums, bass=bass, drums=drums)
        write(tmp_path / "found" / place, bass=bass + leakage * drums)
    write(tmp_path / "found" / "take", bass=drums)
    code, lines, _ = evaluate(tmp_path / "truth", tmp_path / "found", "--json")
    assert code == 0
    found = {line["recording"]: line["stems"]["bass"]["whole"][0] for line in lines[:-1]}
    assert found == {"x/take": pytest.approx(20.0, abs=0.01), "y/take": pytest.approx(40.0, abs=0.01)}


def test_files_that_are_no_audio_or_not_unique_end_only_their_recording(truth):
    notes, twins, beside = (truth / name for name in ("notes", "twins", "one"))
    write(notes, bass=sine(100), drums=sine(250))
    (notes / "mix.mid").write_text("MThd")
    write(twins, mix=sine(100) + sine(250), bass=sine(100), drums=sine(250))
    soundfile.write(twins / "bass.flac", sine(50), RATE)
    for name in ("mix.mid", "mixture.txt", "mixture.wav.png"):
        (beside / name).write_text("no audio")
    code, lines, run = evaluate(truth, truth, "--json")
    assert code == 1 and [line.get("recording") for line in lines] == ["one", None]
    first, second = run.stderr.splitlines()
    assert "error: notes: no file called mixture or mix is audio" in first
    assert "error: twins: " in second and "differ in their extension only" in second


def test_two_estimates_of_one_stem_are_refused(truth, tmp_path):
    write(tmp_path / "found" / "one", mixture_bass=sine(100), bass=sine(250))
    code, lines, run = evaluate(truth, tmp_path / "found", "--json")
    assert (code, lines) == (1, []) and "are both of bass" in run.stderr


def test_a_model_is_timed_after_its_network_has_run(truth, stem_model):
    code, lines, _ = evaluate(truth, "--model", stem_model, "--steps", "0,1", "--device", "cpu", "--json")
    assert code == 0
    none, one = lines[-2:]
    assert (none["system"], one["system"]) == (f"{stem_model}, 0 steps", f"{stem_model}, 1 step")
    assert none["times_real_time"] > 0 and one["times_real_time"] > 0 and set(none["stems"]) == set(STEMS)
    calls = []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: calls.append(1))
    try:
        _extractors(str(stem_model), None, "cpu")
    finally:
        hook.remove()
    assert calls


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["."], "nothing to score"),
        (["nowhere", "."], "not a folder"),
        ([".", "nowhere"], "not a folder"),
        ([".", ".", "--steps", "1"], "add --model"),
        ([".", ".", "--task", "songs"], "--task': 'songs' is not one of 'speech', 'stems'"),
    ],
)
def test_wrong_use_is_one_line(truth, monkeypatch, arguments, words):
    monkeypatch.chdir(truth)
    import subprocess
    import sys

    command = [sys.executable, "-m", "enhance_cli", "evaluate", "--task", "stems", *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2 and words in run.stderr and run.stderr.count("\n") == 1
