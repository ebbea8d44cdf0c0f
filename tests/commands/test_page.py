"""`--page` of the commands that make audio, and of `enhance report`."""

import ast
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import enhance_cli
from tests import audio_zoo as zoo

COMMANDS = Path(enhance_cli.__file__).parent / "commands"
OTHER_OUTPUTS = {"OutputFlags", "VectorOutputFlags"}  # without pictures and pages


def data(path) -> dict:
    return json.loads(path.read_text().partition('id="data">')[2].partition("</script>")[0])


def test_a_batch_has_a_page_and_its_report_makes_the_same_one(enhance, tiny_model, tmp_path):
    (tmp_path / "in").mkdir()
    zoo.save(tmp_path / "in" / "a.wav", zoo.noise())
    zoo.save(tmp_path / "in" / "b.flac", zoo.noise(2), container="FLAC")
    told = enhance("denoise", "in", "-o", "out", "-m", tiny_model, "--page", "p.html", "--report", "r.jsonl")
    assert told.code == 0 and sorted(told.lines) == ["out/a.wav", "out/b.flac"]  # in the order in which they end
    assert "p.html: before and after" in told.stderr
    assert enhance("report", "r.jsonl", "--page", "q.html").code == 0
    first, second = (data(tmp_path / name)["entries"] for name in ("p.html", "q.html"))
    for entry in (*first, *second):
        assert entry["levels"][0]["loudness"] is not None and entry["change"] > 0
        assert any(line.startswith("model: ") for line in entry["settings"])
    same = ("name", "levels", "change", "notes", "seconds", "duration", "facts")
    assert [[entry[key] for key in same] for entry in first] == [[entry[key] for key in same] for entry in second]
    assert len(list((tmp_path / "p_files").glob("*.webp"))) == 4


def test_records_say_what_was_taken_of_the_input(enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(2))
    flags = ("--channel", 2, "--start", 0.25, "--report", "r.jsonl", "--page", "p.html")
    assert enhance("denoise", "a.wav", "-m", tiny_model, *flags).code == 0
    record = json.loads((tmp_path / "r.jsonl").read_text())
    assert (record["channel"], record["start"], record["track"]) == ("2", 0.25, None)
    (entry,) = data(tmp_path / "p.html")["entries"]
    assert entry["duration"] == pytest.approx(0.75) and entry["takes"][0]["href"].startswith("./p_files/a-")


def test_records_of_embeddings_are_listed_without_recordings(enhance, repair_model, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 256), np.float32))
    assert enhance("enhance-embedding", "a.npy", "-m", repair_model, "--report", "r.jsonl").code == 0
    assert enhance("report", "r.jsonl", "--page", "p.html").code == 0
    (entry,) = data(tmp_path / "p.html")["entries"]
    assert (entry["name"], entry["takes"], entry["problem"]) == ("a.npy", [], "")


def test_stems_of_a_song_on_one_page(enhance, stem_model, tmp_path):
    zoo.save(tmp_path / "song.wav", zoo.noise(2), 8000)
    told = enhance("extract-stem", "song.wav", "-m", stem_model, "-o", "out/", "--page", "p.html", "--page-embed")
    assert told.code == 0 and not (tmp_path / "p_files").exists()
    (entry,) = data(tmp_path / "p.html")["entries"]
    assert [take["label"] for take in entry["takes"]] == ["mix", "bass", "drums", "guitar", "piano"]
    assert all(take["href"].startswith("data:audio/flac") for take in entry["takes"])


def test_what_cannot_be_is_one_line_before_any_work(enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    for flags, reason in {
        ("--page", "none/p.html"): "there is no folder for this page",
        ("--page", "p.txt"): "the name of a page must end in .html: use p.html",
        ("--page-embed",): "there is no page",
    }.items():
        told = enhance("denoise", "a.wav", "-m", tiny_model, *flags)
        assert told.code == 2 and len(told.errors) == 1 and reason in told.errors[0]
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav"}


def test_every_command_with_the_flag_writes_the_page():
    """A command that takes the flags of audio outputs and does not hand them on would accept --page and forget it."""
    for path in COMMANDS.glob("*.py"):
        tree = ast.parse(path.read_text())
        annotations = {
            ast.unparse(node.annotation) for node in ast.walk(tree) if isinstance(node, ast.arg) and node.annotation
        }
        calls = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "run_batch"
        ]
        if any(name.endswith("OutputFlags") and name not in OTHER_OUTPUTS for name in annotations):
            for call in calls:
                assert "writing" in {keyword.arg for keyword in call.keywords}, (
                    f"{path.name}: run_batch(writing=writing)"
                )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_run_that_is_interrupted_has_a_page_of_what_is_done(start_python, identity_model, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(60):
        zoo.save(tmp_path / "in" / f"{number:02}.wav", zoo.noise(frames=80000))
    arguments = ("denoise", "in", "-o", "out", "-m", identity_model, "--page", "p.html", "--threads", "1")
    with start_python("-m", "enhance_cli", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = process.stdout.readline().decode().strip()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=600)
    assert process.returncode == 130 and "interrupted" in errors.decode() and "Traceback" not in errors.decode()
    names = {entry["name"] for entry in data(tmp_path / "p.html")["entries"]}
    assert names == {Path(line).name for line in [first, *rest.decode().split()]} and len(names) < 60
    assert all(entry["takes"] for entry in data(tmp_path / "p.html")["entries"])
