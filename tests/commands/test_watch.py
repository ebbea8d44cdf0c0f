"""`--watch`: a process that is given files, good and bad, and is stopped and killed at its work."""

import json
import random
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import audio_zoo as zoo

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
MODEL = ["-m", "denoise-s", "--threads", "1"]


@pytest.fixture
def watch(start_python, tmp_path):
    """Start a watch of the folder in; at the end of the block it is told to stop, if it still runs."""
    (tmp_path / "in").mkdir()
    words = ["--watch", "in", "-o", "out", "--settle", "0.5", "--report", "report.jsonl"]

    @contextmanager
    def start(*flags, command=("denoise", *MODEL)):
        with open(tmp_path / "log", "ab") as log:
            process = start_python("-m", "enhance_cli", *command, *words, *flags, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(600)

    return start


def until(condition, process, seconds=600):
    """Wait until the condition holds, while the process runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, "it has ended, or takes too long"
        time.sleep(0.05)


def finished(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("[!.]*")} if folder.exists() else set()


@posix
def test_files_are_taken_as_they_come_and_bad_ones_are_set_aside(watch, tmp_path):
    with watch() as process:
        zoo.save(tmp_path / "in" / "a.wav", zoo.noise())
        until(lambda: finished(tmp_path / "out") == {"a.wav"}, process)
        whole = zoo.save(tmp_path / "b.flac", zoo.noise(), container="FLAC").read_bytes()
        (tmp_path / "in" / "b.flac").write_bytes(whole)
        (tmp_path / "in" / "bad.flac").write_bytes(whole[: len(whole) // 3])
        until(lambda: (tmp_path / "in" / "failed" / "bad.flac").exists(), process)
        until(lambda: finished(tmp_path / "out") == {"a.wav", "b.flac"}, process)
        until(lambda: (tmp_path / "report.jsonl").read_text().count("\n") == 3, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(600) == 130
    assert "truncated" in (tmp_path / "in" / "failed" / "bad.flac.txt").read_text()
    assert finished(tmp_path / "in") == {"a.wav", "b.flac", "failed"}
    records = {r["input"]: r for r in map(json.loads, (tmp_path / "report.jsonl").read_text().splitlines())}
    assert {name: record["status"] for name, record in records.items()} == {
        "in/a.wav": "done", "in/b.flac": "done", "in/bad.flac": "failed"
    }  # fmt: skip
    assert records["in/bad.flac"]["notes"] == ["set aside as in/failed/bad.flac"]
    log = (tmp_path / "log").read_text()
    assert "watching in: Ctrl-C ends it" in log and log.endswith("interrupted: 2 done, 0 skipped, 1 failed\n")


@pytest.mark.slow
@posix
def test_stems_are_taken_as_they_come_by_several_workers(watch, tmp_path):
    command = ("extract-stem", "--stem", "drums", "--residual", "--threads", "1")
    parts = {f"{name}_{part}.wav" for name in "abc" for part in ("drums", "residual")}
    with watch("--workers", "2", command=command) as process:
        for seed, name in enumerate("ab"):
            zoo.save(tmp_path / "in" / f"{name}.wav", zoo.noise(2, 22050, seed=seed), rate=44100)
        until(lambda: len(finished(tmp_path / "out")) == 4, process)
        (tmp_path / "in" / "bad.wav").write_text("no sound")
        zoo.save(tmp_path / "in" / "c.wav", zoo.noise(2, 22050, seed=2), rate=44100)
        until(lambda: finished(tmp_path / "out") == parts, process)
        until(lambda: (tmp_path / "in" / "failed" / "bad.wav.txt").exists(), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(600) == 130
    log = (tmp_path / "log").read_text()
    assert "in 2 processes, watching in" in log and log.endswith("interrupted: 3 done, 0 skipped, 1 failed\n")


@posix
@pytest.mark.slow
def test_kills_and_restarts_lose_nothing(watch, run_enhance, tmp_path):
    names = [f"{number}.wav" for number in range(12)]
    (tmp_path / "given").mkdir()
    for seed, name in enumerate(names):  # of the three in a round one takes long, so that it is seen at work
        zoo.save(tmp_path / "given" / name, zoo.noise(frames=16000 * (15 if seed % 3 == 2 else 1), seed=seed))
    assert run_enhance("denoise", "given", "-o", "plain", *MODEL).code == 0
    rng, killed_at_work = random.Random(0), 0
    for round in range(4):
        due = set(names[: 3 * round + 3])
        for left in (tmp_path / "out").glob(
            ".*.part"
        ):  # of the kill before, else nothing tells that this one is at work
            left.unlink()
        with watch("--quiet") as process:
            for name in names[3 * round : 3 * round + 3]:
                shutil.copy(tmp_path / "given" / name, tmp_path / "in" / name)
            until(
                lambda due=due: list((tmp_path / "out").glob(".*.part")) or finished(tmp_path / "out") == due, process
            )
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
            process.wait()
        killed_at_work += finished(tmp_path / "out") != due
        for name in finished(tmp_path / "out"):
            assert zoo.without_place(tmp_path / "out" / name) == zoo.without_place(tmp_path / "plain" / name)
    assert killed_at_work
    with watch("--quiet") as process:
        until(lambda: finished(tmp_path / "out") == set(names), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(600) == 130
    for name in names:
        assert zoo.without_place(tmp_path / "out" / name) == zoo.without_place(tmp_path / "plain" / name)
    assert not list((tmp_path / "out").glob(".*")) and not (tmp_path / "in" / "failed").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.wav", "--watch", "in", "-o", "out"], "IN and --watch exclude each other: leave IN out"),
        (["--watch", "in", "-o", "out", "--engine", "ray"], "--engine ray and --watch exclude each other"),
        (["--watch", "in", "-o", "out", "--dry-run"], "--dry-run and --watch exclude each other"),
        (["--watch", "in"], "--watch needs a folder for the results: give one with -o"),
        (["--watch", "in", "-o", "-"], "--watch needs a folder for the results"),
        (["--watch", "nope", "-o", "out"], "--watch nope: there is no such folder"),
        (["--watch", "in", "-o", "in"], "in: results would become new inputs in in"),
        (["--watch", "in", "-o", "in/out", "-r"], "in/out: results would become new inputs in in"),
    ],
)
def test_what_does_not_go_with_a_watch_is_refused(enhance, tmp_path, words, message):
    (tmp_path / "in").mkdir()
    refused = enhance("denoise", *words)
    assert refused.code == 2 and refused.errors[0].startswith(f"error: {message}")
