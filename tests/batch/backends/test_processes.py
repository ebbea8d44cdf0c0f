"""Worker processes: they die, are interrupted, lose their parent, and no file is lost or half there for it."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.batch.backends.backend import Listener
from enhance_cli.batch.backends.processes import Processes
from enhance_cli.batch.files import FileOptions
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outcome import is_of_output, sendable
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.record import Record
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.commands.running import choose_backend
from enhance_cli.errors import AudioError, EnhanceError, ModelError, OutputError
from enhance_cli.flags.running import Running
from tests import audio_zoo as zoo
from tests.batch.backends import dying

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
BASE = {"model": "copier", "version": "1"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """in/{0..7}.wav, a quarter of a second each."""
    (tmp_path / "in").mkdir()
    for n in range(8):
        zoo.save(tmp_path / "in" / f"{n}.wav", 0.25 * zoo.noise(1, 4000))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spec(load=dying.load, refuse=False):
    return WorkerSpec(load, None, refuse, FileOptions(measure=False))


def run(jobs, spec, on_record, devices):
    return Processes(spec, BASE, devices).run(jobs, Listener(on_record))


def outputs(folder):
    return {p.name: soundfile.read(p)[0].shape for p in (folder / "out").iterdir()}


def deadly(folder, name, peak):
    wave = np.zeros((1, 4000), np.float32)
    wave[0, 100] = peak
    zoo.save(folder / "in" / name, wave)


@posix
def test_a_file_that_kills_is_tried_twice_and_reported_and_the_others_are_done(folder):
    deadly(folder, "5.wav", 0.875)
    records = []
    summary = run(plan(expand(["in"]), "out"), spec(), records.append, ["cpu", "cpu"])
    assert (summary.done, summary.failed, summary.exit_code) == (7, 1, 1)
    assert outputs(folder) == {f"{n}.wav": (4000,) for n in range(8) if n != 5}
    (failed,) = [record for record in records if record.status == "failed"]
    assert failed.input == "in/5.wav" and "died twice" in failed.reason and failed.model == "copier"
    assert {record.device for record in records if record.status == "done"} == {"cpu"}


@posix
def test_a_worker_that_is_killed_once_costs_nothing(folder):
    deadly(folder, "3.wav", 0.75)
    records = []
    summary = run(plan(expand(["in"]), "out"), spec(), records.append, ["cpu", "cpu"])
    assert (summary.done, summary.failed) == (8, 0) and (folder / "died").exists()
    assert sorted(r.input for r in records) == [f"in/{n}.wav" for n in range(8)] and len(outputs(folder)) == 8


def test_a_failure_is_that_of_the_file_and_what_is_there_is_skipped(folder):
    zoo.text_named_wav(folder / "in")
    (folder / "out").mkdir()
    (folder / "out" / "2.wav").write_bytes((folder / "in" / "2.wav").read_bytes())
    records = {}
    jobs = plan(expand(["in"]), "out")
    summary = run(jobs, spec(), lambda r: records.setdefault(Path(r.input).name, r), ["cpu"])
    assert (summary.done, summary.skipped, summary.failed) == (7, 1, 1)
    assert "not audio" in records["text.wav"].reason and "Traceback" in str(records["text.wav"].error)


@posix
def test_files_that_arrive_are_done_and_the_deadly_one_among_them_is_reported(folder):
    deadly(folder, "5.wav", 0.875)
    zoo.text_named_wav(folder / "in")
    (folder / "out").mkdir()
    (folder / "out" / "2.wav").write_bytes((folder / "in" / "2.wav").read_bytes())
    records, begun = [], []

    def arrivals(stop):
        for job in plan(expand(["in"]), "out"):
            begun.append(job)
            yield job
            while len(records) < len(begun) - 2:  # some at a time
                assert not stop.wait(0.02)

    summary = Processes(spec(), BASE, ["cpu", "cpu"]).run_arriving(arrivals, Listener(records.append))
    assert (summary.done, summary.skipped, summary.failed, summary.interrupted) == (6, 1, 2, False)
    assert outputs(folder) == {f"{n}.wav": (4000,) for n in range(8) if n != 5}


def test_what_ends_the_arrivals_ends_the_run_and_its_workers(folder):
    def arrivals(stop):
        yield from plan(expand(["in/0.wav"]), "out/")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        Processes(spec(), BASE, ["cpu"]).run_arriving(arrivals, Listener(lambda record: None))
    assert not multiprocessing.active_children()


def test_a_worker_tells_whether_the_output_was_at_fault():
    errors = [OutputError("no"), OSError("no"), AudioError("no")]
    assert [is_of_output(pickle.loads(pickle.dumps(sendable(Record(error=e)).error))) for e in errors] == [1, 1, 0]


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        (spec(refuse=True), ModelError, "not for workers"),
        (spec(dying.load_and_die), EnhanceError, "die while they load"),
    ],
)
def test_workers_without_a_model_end_the_run(folder, how, error, said):
    with pytest.raises(error, match=said):
        run(plan(expand(["in"]), "out"), how, lambda record: None, ["cpu", "cpu"])
    assert not list((folder / "out").glob("*"))


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_stopped_run_leaves_no_process_and_nothing_half(folder, identity_model, how):
    """Whether the parent is asked to end or is killed. Afterwards the same command does what is left."""
    for n in range(8):
        zoo.save(folder / "in" / f"{n}.wav", np.tile(zoo.noise(1, 16000), 10))
    command = [sys.executable, "-m", "enhance_cli", "denoise", "in", "-o", "out", "-m", str(identity_model)]
    command += ["--workers", "2", "--threads", "2", "--report", "report.jsonl", "--quiet"]
    root = str(Path(dying.__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    report = folder / "report.jsonl"
    for _ in range(5):  # until a run is not over before it is stopped
        shutil.rmtree(folder / "out", ignore_errors=True)
        report.write_bytes(b"")
        with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True) as process:
            wait_until(lambda process=process: report.read_bytes() or process.poll() is not None)
            os.killpg(process.pid, how) if how != signal.SIGKILL else process.kill()
        if process.returncode:
            break
    assert process.returncode == (130 if how != signal.SIGKILL else -signal.SIGKILL)
    wait_until(lambda: not alive(-process.pid))  # workers whose parent is gone end by themselves
    assert not [p for p in (folder / "out").iterdir() if "part" in p.name]
    assert set(outputs(folder).values()) == {(160000,)}
    if how != signal.SIGKILL:
        records = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
        assert {Path(r["output"]).name for r in records if r["status"] == "done"} == set(outputs(folder))
    if how != signal.SIGHUP:  # which is the same interruption as Ctrl-C
        assert subprocess.run(command, cwd=folder, env=environment).returncode == 0 and len(outputs(folder)) == 8


@posix
def test_a_worker_whose_parent_is_killed_while_it_loads_ends_too(folder, start_python):
    code = """
from enhance_cli.batch.outcome import is_of_output, sendable
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.record import Record
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.backends.backend import Listener
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.batch.backends.processes import Processes
from tests.batch.backends import dying

if __name__ == "__main__":
    Processes(WorkerSpec(dying.load_slowly, None), {}, ["cpu"]).run(plan(expand(["in"]), "out"), Listener(print))
"""
    (folder / "run.py").write_text(code)
    with start_python("run.py", start_new_session=True) as process:
        wait_until((folder / "loading").exists)
        process.kill()
        process.wait()
    (folder / "go on").touch()
    wait_until(lambda: not alive(int((folder / "loading").read_text())))


def wait_until(true, seconds=300):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@posix
def test_a_single_file_that_kills_is_reported_where_workers_are_asked_for(folder):
    deadly(folder, "5.wav", 0.875)
    jobs, records = plan(expand(["in/5.wav"]), "out"), []
    backend = choose_backend(spec(), BASE, jobs, Running(workers=2))
    backend.run(jobs, Listener(records.append))
    assert backend.where == "in 1 process" and "died twice" in records[0].reason
