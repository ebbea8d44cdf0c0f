"""Runs that meet what happens on a bad night: kill -9 at any moment, inputs and output folders that change or vanish."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outputs import plan
from enhance_cli.vectors import Vectors, files_of, write
from tests import audio_zoo as zoo

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def recordings(folder):
    forms = [
        ("wav", "WAV", "PCM_16"),
        ("flac", "FLAC", "PCM_16"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
        ("caf", "CAF", "FLOAT"),
    ]
    folder.mkdir()
    for number in range(12):
        ending, container, subtype = forms[number % len(forms)]
        path = folder / f"take {number:02}.{ending}"
        zoo.save(path, zoo.noise(1 + number % 2, 4000 + 3000 * number, number), container=container, subtype=subtype)


def songs(folder):
    folder.mkdir()
    for number in range(4):
        zoo.save(folder / f"{number}.wav", zoo.noise(1 + number % 2, 3000 + 2000 * number, number), 8000)


def voices(folder):
    """Recordings, and stored embeddings in forms of one file and of two."""
    folder.mkdir()
    for number in range(8):
        zoo.save(folder / f"{number}.wav", zoo.noise(1, 16000 + 8000 * number, number))
    rows = np.random.default_rng(0).standard_normal((300, 256)).astype(np.float32)
    for form in ("npz", "csv", "ark", "scp"):
        path = folder / f"stored as {form}.{form}"
        write(files_of(path), Vectors([f"id{n}" for n in range(len(rows))], rows), form, path)
    (folder / "stored as scp.ark").rename(folder.parent / "stored as scp.ark")
    listed = (folder / "stored as scp.scp").read_text().replace(f"{folder}{os.sep}", f"{folder.parent}{os.sep}")
    (folder / "stored as scp.scp").write_text(listed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("command", "model", "make", "kills"),
    [
        ("denoise", "denoise-s", recordings, 18),
        ("extract-stem", "stems-s", songs, 9),
        ("enhance-embedding", "seed-ge2e", voices, 9),
    ],
)
def test_killed_at_any_moment_a_rerun_gives_what_an_undisturbed_run_gives(command, model, make, kills, tmp_path):
    make(tmp_path / "in")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [str(kills), command, "in", "-m", model]
    program = [sys.executable, "-m", "tests.batch.killed_runs", *words]
    result = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    *faults, counts = result.stdout.splitlines()
    assert faults == []
    at_work, done = map(int, counts.split())
    assert at_work >= kills // 6 and done > 0, "the kills must hit runs that are at work, early and late"


# --- the ground moves under a run --------------------------------------------------------------------------------


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """Runs a.wav, b.wav and c.wav through, and while b.wav is read for the second time does what it is told to."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in "abc":
        zoo.save(Path("in") / f"{name}.wav", zoo.noise(frames=200_000))

    def go(happen, when=1):
        current = []

        def process(blocks, rate, channels, level):
            for number, block in enumerate(blocks):
                if current[-1] == "b.wav" and number == when:
                    happen()
                yield block

        def work(job):
            current.append(job.source.name)
            return enhance_file(job, process, FileOptions(measure=False))

        records = []
        summary = run(plan(expand(["in"]), "out"), work, {}, records.append)
        return summary, {Path(record.input).name: record for record in records}

    return go


def left(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def shorten():
    soundfile.write("in/b.wav", np.zeros(1000), zoo.RATE)


def lengthen():
    soundfile.write("in/b.wav", np.zeros(300_000), zoo.RATE)


def spoil():
    Path("in/b.wav").write_bytes(b"not audio any more")


def rewrite():
    zoo.save(Path("in/b.wav"), zoo.noise(frames=200_000, seed=5))


@pytest.mark.parametrize("happen", [shorten, lengthen, spoil, rewrite])
@pytest.mark.parametrize("when", [0, 3])
def test_an_input_that_changes_while_it_is_read_fails_alone_and_is_told_so(batch, happen, when):
    summary, records = batch(happen, when)
    assert (summary.done, summary.failed, left()) == (2, 1, ["a.wav", "c.wav"])
    assert records["b.wav"].reason.startswith("in/b.wav: this file changed while it was read: ")


def test_an_input_that_disappears_while_it_is_read_fails_alone(batch):
    summary, records = batch(lambda: os.remove("in/b.wav"))
    assert (summary.done, summary.failed, left()) == (2, 1, ["a.wav", "c.wav"])
    assert records["b.wav"].reason.startswith("in/b.wav: this file disappeared while it was read: ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete what is open")
def test_inputs_that_disappear_before_their_turn_fail_one_by_one(batch):
    summary, records = batch(lambda: shutil.rmtree("in"))
    assert (summary.done, summary.failed) == (1, 2) and left() == ["a.wav"]
    assert "in/c.wav does not exist" in records["c.wav"].reason


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete what is open")
def test_an_output_folder_that_vanishes_fails_one_file_and_is_made_again(batch):
    summary, records = batch(lambda: shutil.rmtree("out"))
    assert records["b.wav"].reason == "out/b.wav: its folder has disappeared: run again once it is there"
    assert (summary.done, summary.failed, left()) == (2, 1, ["c.wav"])
    summary, _ = batch(lambda: None)
    assert (summary.done, summary.skipped, left()) == (2, 1, ["a.wav", "b.wav", "c.wav"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete what is open")
def test_an_output_folder_that_cannot_be_made_again_fails_every_file_after_it(batch):
    def replace():
        shutil.rmtree("out")
        Path("out").write_text("a file is where the folder was")

    summary, records = batch(replace)
    assert summary.failed == 2 and Path("out").is_file()
    assert all("out" in records[name].reason and ".part" not in records[name].reason for name in ("b.wav", "c.wav"))


KILLER = """
import builtins, os, sys
if "enhance_cli.audio.ffmpeg.decoder" in " ".join(sys.orig_argv):
    ordinary = builtins.open

    def open(file, *arguments, **more):
        if str(file).endswith("killer.m4a"):
            os.kill(os.getpid(), {signal})
        return ordinary(file, *arguments, **more)

    builtins.open = open
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("signal", "workers"), [(11, []), (9, ["--workers", "2"])])
def test_a_file_on_which_the_decoder_is_killed_fails_alone(signal, workers, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER.format(signal=signal))
    for name in ("a.m4a", "killer.m4a", "z.m4a"):
        zoo.m4a(tmp_path, frames=4800, name=name)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    command = [
        sys.executable,
        "-m",
        "enhance_cli",
        "denoise",
        "a.m4a",
        "killer.m4a",
        "z.m4a",
        "-o",
        "out",
        "--strength",
        "0",
    ]
    ran = subprocess.run([*command, *workers], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 1 and sorted(os.listdir(tmp_path / "out")) == ["a.m4a", "z.m4a"], ran.stderr
    assert "killer.m4a makes the decoder crash or hang" in ran.stderr and "2 done, 0 skipped, 1 failed" in ran.stderr
