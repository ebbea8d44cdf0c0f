"""Earlier outputs among the inputs, inputs that changed since, pipes, links and signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.read import open_audio
from enhance_cli.audio.tags.mark import read_mark
from enhance_cli.batch import output_checks
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.job import Job
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.worker import with_remote_files
from enhance_cli.errors import UsageError
from tests import audio_zoo as zoo


def go(arguments, output=None, command="denoise", existing="skip", recursive=False, **names):
    records = []
    jobs = plan(expand(arguments, recursive=recursive), output, existing=existing, **names)
    options = FileOptions(command=command)
    run(jobs, with_remote_files(lambda job: enhance_file(job, lambda blocks, *_: blocks, options)), {}, records.append)
    return records


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aiff", ".caf", ".w64", ".au"])
def test_an_output_is_known_again_whatever_it_is_called(suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zoo.save(Path("a.wav"), zoo.noise(1, 48000), 48000)
    (first,) = go(["a.wav"], extension=suffix)
    assert first.status == "done" and read_mark(Path(first.output)) == "denoise"
    renamed = Path(f"other{suffix}")
    os.rename(first.output, renamed)
    (again,) = go([str(renamed)])
    assert again.status == "skipped" and "output of an earlier run" in again.reason
    assert go([str(renamed)], "out/")[0].status == "done", "with a folder of its own it is done once more"
    with open_audio(renamed) as audio:
        assert abs(sum(block.shape[1] for block in audio.blocks()) - 48000) <= (0 if suffix != ".opus" else 1)


def test_outputs_that_a_search_finds_in_the_folder_of_the_outputs_are_left_out(tmp_path, monkeypatch):
    """With another --format or --name, their names alone do not tell."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("in/sub")
    for name in ("in/a.wav", "in/sub/b.wav"):
        zoo.save(Path(name), zoo.noise())

    def ended(output, **named):
        return {record.input: record.status for record in go(["in"], output, recursive=True, **named)}

    assert set(ended("in/out").values()) == {"done"}
    second = ended("in/out", extension=".flac")
    assert second == {
        "in/a.wav": "done", "in/sub/b.wav": "done", "in/out/a.wav": "skipped", "in/out/sub/b.wav": "skipped"
    }  # fmt: skip
    third = ended("in", template="{stem}_x{ext}")
    assert {name for name, status in third.items() if status == "done"} == {"in/a.wav", "in/sub/b.wav"}
    assert go(["in/out"], "again")[0].status == "done", "into another folder they are done once more"


def test_a_command_takes_the_outputs_of_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zoo.save(Path("a.wav"), zoo.noise())
    go(["a.wav"])
    assert go(["a_denoised.wav"], command="extract-stem")[0].status == "done"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aiff", ".caf", ".w64", ".au"])
def test_files_of_one_name_in_runs_of_their_own_are_not_taken_for_each_other(suffix, tmp_path, monkeypatch):
    """As by a loop of a shell over the folders of a recorder: for f in */take.wav; do enhance denoise "$f" -o out; done."""
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        os.mkdir(f"card{number}")
        zoo.save(Path(f"card{number}/take.wav"), zoo.noise(1, 48000, seed=number), 48000)
        os.utime(f"card{number}/take.wav", (10**9, 10**9))
    first, second = (go([f"card{number}/take.wav"], "out/", extension=suffix)[0] for number in (1, 2))
    assert (first.status, second.status) == ("done", "failed")
    assert f"out/take{suffix} exists, and was made from another file" in second.reason and "{parent}" in second.reason
    made = Path(f"out/take{suffix}").read_bytes()
    assert go(["card2/take.wav"], "out/", extension=suffix, existing="newer")[0].status == "failed"
    os.rename("card1", "moved")
    assert go(["moved/take.wav"], "out/", extension=suffix)[0].reason == "the output exists"
    assert Path(f"out/take{suffix}").read_bytes() == made
    assert go(["card2/take.wav"], "out/", extension=suffix, existing="overwrite")[0].status == "done"


def test_a_source_that_was_edited_is_newer_and_not_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zoo.save(Path("a.wav"), zoo.noise())
    assert go(["a.wav"], "out/")[0].status == "done"
    zoo.save(Path("a.wav"), zoo.noise(seed=5))
    os.utime("a.wav", (time.time() + 5, time.time() + 5))
    assert "its input is newer" in go(["a.wav"], "out/")[0].reason
    assert go(["a.wav"], "out/", existing="newer")[0].status == "done"


@pytest.mark.parametrize("existing", ["skip", "newer"])
def test_a_newer_file_of_the_same_name_is_not_taken_for_an_edited_one(existing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        os.mkdir(f"card{number}")
        zoo.save(Path(f"card{number}/take.wav"), zoo.noise(seed=number))
    assert go(["card1/take.wav"], "out/")[0].status == "done"
    os.utime("card2/take.wav", (time.time() + 9, time.time() + 9))
    (second,) = go(["card2/take.wav"], "out/", existing=existing)
    assert second.status == "failed" and "out/take.wav exists, and was made from another file" in second.reason
    made = Path("out/take.wav").read_bytes()
    os.mkdir("elsewhere")
    for folder in ("card1", "out"):
        os.rename(folder, f"elsewhere/{folder}")
    zoo.save(Path("elsewhere/card1/take.wav"), zoo.noise(seed=3))
    os.utime("elsewhere/card1/take.wav", (time.time() + 9, time.time() + 9))
    monkeypatch.chdir("elsewhere")
    assert "its input is newer" in go(["card1/take.wav"], "out/")[0].reason, "a source that was moved with its output"
    zoo.save(Path("card1/take.wav"), zoo.noise(seed=1))
    assert go(["card1/take.wav"], "again/")[0].status == "done"
    assert Path("again/take.wav").read_bytes() == made, "the mark is the same in every folder"


def test_all_outputs_of_a_large_batch_are_compared_once_one_is_of_another_file(tmp_path, monkeypatch):
    monkeypatch.setattr(output_checks, "MOST_READ", 2)
    monkeypatch.chdir(tmp_path)
    for card in (1, 2):
        os.mkdir(f"card{card}")
        for number in range(6):
            zoo.save(Path(f"card{card}/{number}.wav"), zoo.noise(seed=10 * card + number))
            os.utime(f"card{card}/{number}.wav", (10**9, 10**9))
    assert [record.status for record in go(["card1"], "out/")] == ["done"] * 6
    assert [record.status for record in go(["card1"], "out/")] == ["skipped"] * 6
    assert [record.status for record in go(["card2"], "out/")] == ["failed"] * 6


def test_an_input_that_is_newer_than_its_output_is_told_and_done_when_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zoo.save(Path("a.wav"), zoo.noise())
    go(["a.wav"], "out/")
    assert go(["a.wav"], "out/")[0].reason == "the output exists"
    assert go(["a.wav"], "out/", existing="newer")[0].status == "skipped"
    os.utime("a.wav", (time.time() + 9, time.time() + 9))
    assert "its input is newer" in go(["a.wav"], "out/")[0].reason
    assert go(["a.wav"], "out/", existing="newer")[0].status == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes and links")
def test_a_named_pipe_is_read_and_a_link_is_written_through(tmp_path):
    source = zoo.save(tmp_path / "a.wav", zoo.noise())
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["cp", source, pipe])
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "b.wav"
    link.symlink_to(tmp_path / "elsewhere" / "real.wav")
    enhance_file(Job(pipe, PurePath("pipe.wav"), link), lambda blocks, *_: blocks, FileOptions())
    writer.wait()
    assert link.is_symlink() and np.array_equal(soundfile.read(tmp_path / "elsewhere" / "real.wav")[0], zoo.noise()[0])


def test_a_problem_fails_alone_and_nothing_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zoo.save(Path("a.wav"), zoo.noise())
    Path("empty").mkdir()
    jobs = plan(expand(["empty", "a.wav"]), "out/")
    assert [job.problem[:5] for job in jobs] == ["empty", ""]
    with pytest.raises(UsageError):
        expand(["empty"])


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_closed_terminal_ends_a_run_as_a_kill_does(start_python, tmp_path):
    code = "import time\nimport enhance_cli.cli as c\nc.main = lambda: (print('ready', flush=True), time.sleep(600))\n"
    code += "from enhance_cli.__main__ import main\nmain()\n"
    with start_python("-c", code, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.wait(300) == 130


def test_fewer_bits_are_dithered_and_equal_bits_are_not(tmp_path):
    tone = 2**-16 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)  # half a step of 16 bits
    source = zoo.save(tmp_path / "a.wav", tone[None], 48000, subtype="PCM_24")
    results = {}
    for dither in ("tpdf", "none"):
        job = Job(source, PurePath("a.wav"), tmp_path / f"{dither}.wav")
        enhance_file(job, lambda blocks, *_: blocks, FileOptions(bit_depth="16", dither=dither))
        results[dither] = soundfile.read(job.target)[0]
    spectrum = np.abs(np.fft.rfft(results["tpdf"])) / 24000
    assert spectrum[440] == pytest.approx(2**-16, rel=0.2) and spectrum[1320] < spectrum[440] / 5
    again = zoo.save(tmp_path / "b.wav", zoo.noise(), subtype="PCM_24")  # 16 bits stand in its 24
    job = Job(again, PurePath("b.wav"), tmp_path / "c.wav")
    enhance_file(job, lambda blocks, *_: blocks, FileOptions(bit_depth="16"))
    assert np.array_equal(soundfile.read(job.target, dtype="float32")[0], zoo.noise()[0])
