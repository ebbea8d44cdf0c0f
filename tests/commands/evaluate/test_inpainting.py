"""`enhance evaluate --task inpaint`: recordings get gaps, which are filled and compared with what was there."""

import json

import numpy as np
import pytest

from tests.audio_zoo import save

RATE = 16000


@pytest.fixture
def clean(tmp_path):
    t = np.arange(4 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal((2, len(t)))
    (tmp_path / "clean").mkdir()
    save(tmp_path / "clean/tones.wav", 0.2 * np.sin(2 * np.pi * np.array([[300], [470]]) * t) + 0.002 * noise)
    return tmp_path


def test_predicted_tones_are_nearer_than_silence_and_a_model_has_a_row(enhance, clean, tiny_model):
    options = ["--task", "inpaint", "--gaps-ms", "5,120", "--json", "-m", tiny_model]
    result = enhance("evaluate", "clean", *options)
    assert result.code == 0
    rows = [row for row in map(json.loads, result.lines) if "mean" in row]
    names = ("silence", "linear prediction", str(tiny_model))
    assert [row["system"] for row in rows] == [f"{ms} ms, {name}" for ms in (5, 120) for name in names]
    silent, predicted, made = (row["mean"] for row in rows[:3])
    assert silent["sdr"] == 0 and predicted["sdr"] > 20 > made["sdr"] and predicted["lsd"] < silent["lsd"]
    assert rows[4]["mean"]["sdr"] < predicted["sdr"] and rows[4]["times_real_time"] > 0


def test_what_cannot_be_scored_is_named(enhance, clean):
    save(clean / "clean/short.wav", np.full((1, RATE), 0.1, np.float32))
    save(clean / "clean/silence.wav", np.zeros((1, 4 * RATE), np.float32))
    result = enhance("evaluate", "clean", "--task", "inpaint", "--gaps-ms", "20")
    assert result.code == 1 and len(result.errors) == 2
    assert all("has no two seconds with sound" in error for error in result.errors)
    assert "Mean of 1 file" in result.stdout.decode()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--task", "inpaint", "--gaps-ms", "long"], "--gaps-ms long: must be numbers from 1 to 500"),
        (["--task", "inpaint", "--gaps-ms", "0"], "--gaps-ms 0: must be numbers"),
        (["--gaps-ms", "5"], "--gaps-ms is for --task inpaint"),
        (["--task", "inpaint", "--metrics", "pesq"], "--metrics: gaps are filled here"),
    ],
)
def test_what_makes_no_sense_is_said(enhance, clean, options, message):
    result = enhance("evaluate", "clean", *options)
    assert result.code == 2 and message in result.errors[0]
