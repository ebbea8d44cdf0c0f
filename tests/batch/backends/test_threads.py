"""The loop over files: failures of every kind, and real processes that are interrupted in the middle."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path, PurePath

import pytest

from enhance_cli.batch.backends import threads as module
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.job import Job
from enhance_cli.errors import AudioError

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def job(name, action="run", reason=""):
    return Job(Path(name), PurePath(name), Path("out") / name, action, reason)


def fail(error):
    raise error


def test_one_bad_file_does_not_stop_the_rest_and_the_exit_code_tells():
    def work(job):
        return fail(AudioError("b.wav: truncated", "copy it again")) if job.source.name == "b.wav" else {"rate": 8000}

    records = []
    jobs = [job("a.wav"), job("b.wav"), job("c.wav", "skip", "the output exists"), job("d.wav")]
    summary = run(jobs, work, {"model": "m", "steps": 1}, records.append)
    assert [record.status for record in records] == ["done", "failed", "skipped", "done"]
    assert (summary.done, summary.failed, summary.skipped, summary.exit_code) == (2, 1, 1, 1)
    assert records[1].reason == "b.wav: truncated: copy it again"
    assert records[2].reason == "the output exists"
    assert all(record.model == "m" and record.output for record in records)
    assert records[0].rate == 8000 and records[0].seconds_work >= 0


def test_all_done_or_skipped_is_success():
    assert run([job("a.wav"), job("b.wav", "skip")], lambda job: {}, {}, lambda record: None).exit_code == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "out/a.wav: there is no room for"),
        (PermissionError(errno.EACCES, "Permission denied", "a.wav"), "a.wav: Permission denied"),
        (MemoryError(), "a.wav: out of memory"),
        (
            ZeroDivisionError("division\nby zero"),
            "unexpected ZeroDivisionError: division by zero: please report",
        ),
    ],
)
def test_every_kind_of_failure_is_one_line_that_names_the_file(error, said):
    records = []
    summary = run([job("a.wav")], lambda job: fail(error), {}, records.append)
    assert said in records[0].reason and "\n" not in records[0].reason and "a.wav" in records[0].reason
    assert summary.exit_code == 1 and records[0].error is error


def test_records_come_one_by_one_not_at_the_end():
    seen = []
    run(
        [job("a.wav"), job("b.wav")],
        lambda job: seen.append(job.source.name) or {},
        {},
        lambda r: seen.append(r.status),
    )
    assert seen == ["a.wav", "done", "b.wav", "done"]


BATCH = """
import os, sys, time
from pathlib import Path
from enhance_cli.batch.safety.atomic import atomic
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.record import ReportWriter
from enhance_cli.batch.backends.threads import run

def work(job):
    with atomic(job.target) as part, part.open("wb") as file:
        file.write(job.source.read_bytes()[:5])
        file.flush()
        if job.source.name == "b.wav" and "wait" in sys.argv:
            print("in b", flush=True)
            time.sleep(600)
        file.write(job.source.read_bytes()[5:])
    return {}

with ReportWriter("report.jsonl") as report:
    summary = run(plan(expand(["in"]), "out"), work, {}, report.write)
sys.exit(summary.exit_code)
"""


@pytest.fixture
def batch(tmp_path):
    """A folder of three files, and a function that starts a real run over it."""
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / f"{name}.wav").write_bytes(f"sound of {name}".encode())
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(module.__file__).parents[3]), *sys.path]),
    }

    def start(*arguments):
        command = [sys.executable, "-c", textwrap.dedent(BATCH), *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)

    return start


def outputs(folder):
    return {path.name: path.read_bytes().decode() for path in sorted((folder / "out").iterdir())}


def statuses(folder):
    records = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
    return {Path(record["input"]).name: record["status"] for record in records}


@posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_keeps_what_is_done_removes_what_is_half_and_exits_130(batch, tmp_path, stop):
    with batch("wait") as process:
        assert process.stdout.readline() == b"in b\n"
        process.send_signal(stop)
        assert process.wait(300) == 130
    assert outputs(tmp_path) == {"a.wav": "sound of a"} and statuses(tmp_path) == {"a.wav": "done"}


@posix
def test_run_after_kill_9_makes_only_what_is_missing(batch, tmp_path):
    with batch("wait") as process:
        assert process.stdout.readline() == b"in b\n"
        process.kill()
    assert outputs(tmp_path) == {"a.wav": "sound of a", ".b.wav.part": "sound"}
    made = (tmp_path / "out" / "a.wav").stat().st_mtime_ns
    with batch() as process:
        assert process.wait(300) == 0
    assert outputs(tmp_path) == {name + ".wav": f"sound of {name}" for name in "abc"}
    assert (tmp_path / "out" / "a.wav").stat().st_mtime_ns == made
    assert statuses(tmp_path) == {"a.wav": "skipped", "b.wav": "done", "c.wav": "done"}
