"""Two runs at the same time: of one folder each file is done once, and outputs of other files are not replaced."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from enhance_cli.batch import claims
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.claims import claimed
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.job import local_job
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.safety.atomic import atomic
from enhance_cli.batch.worker import with_remote_files
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in "abc":
        zoo.save(Path("in", f"{name}.wav"), zoo.noise())


OPTIONS = FileOptions(command="denoise")
NAMED_APART = "choose another folder with -o, or a name template with {parent}"


def go(jobs, transform=lambda blocks, *_: blocks):
    records = []
    function = with_remote_files(lambda job: enhance_file(job, transform, OPTIONS))
    summary = run(jobs, function, {}, records.append)
    return summary.exit_code, [(record.status, record.reason) for record in records]


def test_an_output_that_another_run_is_writing_is_left_to_it():
    jobs = plan(expand(["in"]), "out")
    with claimed(local_job(jobs[1]), jobs[1].source, jobs[1].target, "denoise") as unfinished:
        code, ended = go(jobs)
        unfinished.write_bytes(b"of the other")
    assert code == 0 and ended == [("done", None), ("skipped", "another run is writing the output"), ("done", None)]
    assert Path("out/b.wav").read_bytes() == b"of the other"


def test_an_output_that_another_run_has_made_since_is_not_made_again():
    jobs = plan(expand(["in"]), "out")
    Path("out").mkdir()
    Path("out/a.wav").write_bytes(b"of the other")
    code, ended = go(jobs)
    assert code == 0 and ended[0] == ("skipped", "another run has made the output in the meantime")
    assert Path("out/a.wav").read_bytes() == b"of the other" and ended[1:] == [("done", None)] * 2
    stems = plan(expand(["in/a.wav"]), "stems", parts=["bass", "residual"])
    Path("stems").mkdir()
    Path("stems/a_bass.wav").write_bytes(b"of the other")
    assert stems[0].keeps_existing and not all(path.exists() for path in stems[0].targets), "one is missing still"


@pytest.mark.parametrize("existing", ["overwrite", "newer"])
def test_who_wants_outputs_anew_is_told_that_another_run_writes_them(existing):
    jobs = plan(expand(["in"]), "out", existing=existing)
    with atomic(Path("out/b.wav")) as unfinished:
        unfinished.write_bytes(b"of the other")
        code, ended = go(jobs)
    assert code == 1 and "out/b.wav: another run is writing this file: wait for it" in ended[1][1]


def cards():
    """Return the jobs of two runs, planned at the same time, on two files of one name, the second newer than the first."""
    for number in (1, 2):
        os.mkdir(f"card{number}")
        zoo.save(Path(f"card{number}/take.wav"), zoo.noise(seed=number))
        os.utime(f"card{number}/take.wav", (number * 10**9, number * 10**9))
    return [local_job(plan(expand([f"card{number}/take.wav"]), "out/")[0]) for number in (1, 2)]


def test_an_output_that_another_run_makes_from_another_file_fails():
    first, second = cards()
    started, finish, ended = threading.Event(), threading.Event(), []

    def waiting(blocks, *_):
        started.set()
        assert finish.wait(300)
        yield from blocks

    other = threading.Thread(target=lambda: ended.append(go([first], waiting)))
    other.start()
    assert started.wait(300)
    code, told = go([second])
    finish.set()
    other.join(300)
    assert ended == [(0, [("done", None)])], "the first is not disturbed"
    reason = f"card2/take.wav: another run is making out/take.wav from another file: {NAMED_APART}"
    assert (code, told) == (1, [("failed", reason)]) and os.listdir("out") == ["take.wav"]


def test_an_output_that_was_made_from_another_file_while_this_one_was_measured_is_not_replaced():
    first, second = cards()
    go([first])
    made = Path("out/take.wav").read_bytes()
    with pytest.raises(AudioError, match="take.wav exists, and was made from another file"):
        enhance_file(second, lambda blocks, *_: blocks, OPTIONS)
    assert Path("out/take.wav").read_bytes() == made and os.listdir("out") == ["take.wav"]


def test_a_run_waits_for_the_other_to_encode_its_output_before_it_judges_it(monkeypatch):
    first, second = cards()
    go([first])
    made, polled, ended = Path("out/take.wav").read_bytes(), threading.Event(), []
    Path("out/take.wav").unlink()
    monkeypatch.setattr(claims.time, "sleep", lambda seconds: polled.set())
    waiting = threading.Thread(target=lambda: ended.append(go([second])))
    with atomic(Path("out/take.wav")) as unfinished:
        unfinished.write_bytes(b"no source yet")
        waiting.start()
        assert polled.wait(300)
        unfinished.write_bytes(made)
    waiting.join(300)
    assert ended[0][0] == 1 and "from another file" in ended[0][1][0][1]
    assert Path("out/take.wav").read_bytes() == made


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_claim_of_a_killed_run_counts_for_nothing():
    code = (
        "import os, pathlib, signal\n"
        "from enhance_cli.batch.claims import claimed\n"
        "from enhance_cli.batch.job import local_job\n"
        "from enhance_cli.batch.inputs import expand\n"
        "from enhance_cli.batch.outputs import plan\n"
        "job = local_job(plan(expand(['card1/take.wav']), 'out/')[0])\n"
        "with claimed(job, job.source, job.target, 'denoise'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    _, second = cards()
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert go([second]) == (0, [("done", None)]) and os.listdir("out") == ["take.wav"]
