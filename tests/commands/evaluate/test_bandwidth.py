"""`enhance evaluate --task extend-bandwidth`: recordings are cut and extended, and the measures mean what they say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import firwin, oaconvolve

from enhance_cli.errors import AudioError
from enhance_cli.metrics.made_band import score
from tests.audio_zoo import save

PAIRS = Path(__file__).parents[2] / "audio_files" / "pairs_48k"


@pytest.fixture
def clean(tmp_path):
    (tmp_path / "clean").mkdir()
    shutil.copy(PAIRS / "noisy" / "p254_waterfall.flac", tmp_path / "clean")
    return tmp_path


def rows(result) -> list[dict]:
    return [row for row in map(json.loads, result.lines) if "mean" in row]


def test_a_made_band_is_nearer_than_none(enhance, clean):
    result = enhance("evaluate", "clean", "--task", "extend-bandwidth", "--cutoff", "8000", "--json")
    assert result.code == 0
    cut, made = rows(result)
    assert (cut["system"], made["system"], made["cutoff"]) == ("cut at 8 kHz", "copy-up", 8000)
    assert (
        made["mean"]["lsd"] < 0.7 * cut["mean"]["lsd"] and made["mean"]["level_error"] < 20 < cut["mean"]["level_error"]
    )
    assert cut["mean"].get("added", 0) == 0 and made["times_real_time"] > 0
    table = enhance("evaluate", "clean", "--task", "extend-bandwidth", "--cutoff", "4000,8000", "-m", "copy-up")
    assert table.code == 0 and table.stdout.decode().count("copy-up") == 2


def test_a_recording_without_the_band_is_named_and_left_out(enhance, clean):
    low = oaconvolve(np.random.default_rng(0).standard_normal((1, 96000)), firwin(513, 8000, fs=48000)[None], axes=1)
    save(clean / "clean/low.wav", 0.1 * low.astype(np.float32), 48000, subtype="PCM_24")
    result = enhance("evaluate", "clean", "--task", "extend-bandwidth", "--cutoff", "8000", "--json")
    assert result.code == 1 and "low: holds nothing above" in result.errors[0]
    assert [row["files"] for row in rows(result)] == [1, 1]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--task", "extend-bandwidth", "--cutoff", "4k"], "--cutoff 4k: must be numbers from 2000 to 16000"),
        (["--task", "extend-bandwidth", "--cutoff", "30000"], "--cutoff 30000: must be numbers"),
        (["--cutoff", "4000"], "--cutoff is for --task extend-bandwidth"),
        (["--task", "extend-bandwidth", "--metrics", "pesq"], "--metrics: bandwidth is extended here"),
    ],
)
def test_what_makes_no_sense_is_said(enhance, clean, options, message):
    result = enhance("evaluate", "clean", *options)
    assert result.code == 2 and message in result.errors[0]


def test_the_measures_have_the_values_that_theory_gives():
    rng = np.random.default_rng(0)
    one, other = 0.1 * rng.standard_normal((2, 480000))
    equal = score(one, one, one, 8000.0)
    assert equal["lsd"] == equal["level_error"] == 0
    draws = score(one, other, one, 8000.0)
    assert draws["lsd_high"] == pytest.approx(0.79, abs=0.01) and draws["level_error"] < 0.2
    louder = score(one, 2 * one, one, 8000.0)
    assert louder["level_error"] == pytest.approx(6.02, abs=0.01) and louder["lsd_matched"] == pytest.approx(
        0, abs=1e-6
    )
    assert louder["lsd_high"] == pytest.approx(0.602, abs=0.001)


def test_what_is_added_to_pauses_is_measured_there():
    noise = 0.1 * np.random.default_rng(0).standard_normal(480000)
    noise[240000:] *= 1e-3
    hiss = 1e-4 * np.random.default_rng(1).standard_normal(480000)
    assert score(noise, noise + hiss, noise, 8000.0)["added"] == pytest.approx(3.0, abs=0.1)
    assert "added" not in score(noise[:240000], noise[:240000], noise[:240000], 8000.0)
    with pytest.raises(AudioError, match="nothing to score"):
        score(np.zeros(48000), noise[:48000], noise[:48000], 8000.0)
