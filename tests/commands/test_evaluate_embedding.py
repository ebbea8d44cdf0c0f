"""`enhance evaluate-embedding` on a handful of recordings: every condition and system is there, and bad folders are named."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.data.degraded import CONDITIONS

CLIPS = Path(__file__).parents[1] / "audio_files" / "pairs" / "clean"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("speakers")
    for clip in CLIPS.glob("*.flac"):
        audio, rate = soundfile.read(clip)
        (root / "speech" / clip.stem).mkdir(parents=True)
        for half, part in enumerate(np.array_split(audio, 2)):
            soundfile.write(root / "speech" / clip.stem / f"{half}.flac", part, rate)
    (root / "noise").mkdir()
    soundfile.write(root / "noise" / "hiss.wav", 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    return root


@pytest.fixture
def evaluate(enhance, root, tmp_path):
    pytest.importorskip("pyroomacoustics")
    options = ("--noise", str(root / "noise"), "--rooms", "2", "--cache", str(tmp_path / "cache"))
    return lambda folder, *more: enhance("evaluate-embedding", str(root / folder), *options, *more)


def test_every_condition_is_measured_raw_repaired_and_mixed(evaluate, tmp_path):
    done = evaluate("speech", "--json")
    assert done.code == 0, done.stderr
    rows = [json.loads(line) for line in done.lines]
    systems = {"raw", "repaired", "both, 0.5 raw"}
    expected = {*CONDITIONS, *(f"clean-{c}" for c in CONDITIONS[1:]), "crossed", "degraded"}
    assert {(row["condition"], row["system"]) for row in rows} == {(c, s) for c in expected for s in systems}
    assert all(0 <= row["eer"] <= 100 for row in rows)
    assert not [row for row in rows if row.keys() & {"interval", "change_interval"}]  # of four speakers
    assert "no intervals: they take 10 speakers, and these trials tell of 4" in done.stderr
    raw = {row["condition"]: row for row in rows if row["system"] == "raw"}
    for row in (row for row in rows if row["system"] != "raw"):
        before = raw[row["condition"]]
        assert row["cosine_only"] == (row["cosine"] > before["cosine"] and row["eer"] >= before["eer"])
    degraded = [row["eer"] for row in rows if row["condition"] not in ("clean", "degraded") and row["system"] == "raw"]
    (mean,) = [row["eer"] for row in rows if row["condition"] == "degraded" and row["system"] == "raw"]
    assert mean == pytest.approx(np.mean(degraded), abs=0.01)
    (stored,) = (tmp_path / "cache").glob("test-*.npy")
    before = stored.stat().st_mtime_ns
    table = evaluate("speech")
    assert table.code == 0 and "8 recordings of 4 speakers" in " ".join(table.stdout.decode().split())
    assert stored.stat().st_mtime_ns == before, "embedded again"
    assert table.stdout.decode().count("of one speaker rise") == sum(row.get("cosine_only", False) for row in rows) > 0


@pytest.mark.slow
def test_ten_speakers_give_intervals_that_hold_their_rates(enhance, root, tmp_path):
    pytest.importorskip("pyroomacoustics")
    for speaker in range(10):
        clip = sorted((root / "speech").rglob("*.flac"))[speaker % 8]
        audio, rate = soundfile.read(clip)
        (tmp_path / "ten" / str(speaker)).mkdir(parents=True)
        for half, part in enumerate(np.array_split(audio[speaker * 100 :], 2)):
            soundfile.write(tmp_path / "ten" / str(speaker) / f"{half}.flac", part, rate)
    options = ["--noise", root / "noise", "--rooms", 2, "--cache", tmp_path / "cache", "--json"]
    done = enhance("evaluate-embedding", tmp_path / "ten", *options)
    assert done.code == 0 and "no intervals" not in done.stderr
    for row in map(json.loads, done.lines):
        low, high = row["interval"]
        assert 0 <= low <= row["eer"] <= high <= 100 and low < high


@pytest.mark.parametrize(
    ("flag", "folder", "said"),
    [
        ("--noise", "nosuch", "--noise nosuch: no such folder: check its name"),
        ("--music", "nothing", "--music nothing: there is no file in this folder"),
        (None, "nosuch", "SPEECH nosuch: no such folder"),
    ],
)
def test_a_folder_that_is_missing_is_said_before_anything_is_done(flag, folder, said, enhance, root, tmp_path):
    (tmp_path / "nothing").mkdir()
    speech = [root / "speech", flag, folder] if flag else [folder]
    done = enhance("evaluate-embedding", *speech, "--noise", root / "noise")
    assert done.code == 2 and done.errors == done.stderr.splitlines() and said in done.errors[0]
    assert not (tmp_path / "cache").exists()


def test_recordings_without_speakers_are_refused(evaluate):
    done = evaluate("noise")
    assert done.code == 2 and len(done.errors) == 1 and "a folder of recordings for every speaker" in done.errors[0]


def test_what_is_kept_lies_where_pulled_models_lie(enhance, root, tmp_path, monkeypatch):
    """And not in whatever folder the command is run from."""
    (tmp_path / "home").touch()
    monkeypatch.setenv("ENHANCE_HOME", str(tmp_path / "home"))
    refused = enhance("evaluate-embedding", root / "speech", "--noise", root / "noise")
    assert refused.code == 2 and f"{tmp_path}/home/evaluate-embedding: nothing can be kept there" in refused.stderr
    assert "--cache" in refused.stderr and not (tmp_path / "cache").exists()
