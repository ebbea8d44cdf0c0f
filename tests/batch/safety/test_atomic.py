"""Outputs appear whole or not at all, under failure, Ctrl-C, full disks, kill -9 and two runs at once."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from enhance_cli.atomic import unfinished_path
from enhance_cli.batch.safety import atomic as module
from enhance_cli.batch.safety.atomic import atomic, spool_stdin
from enhance_cli.errors import AudioError

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


def python(code, *arguments, environment=None, **options):
    """A real process that has `atomic`, `spool_stdin`, os, sys and signal at hand."""
    header = "import os, signal, sys\nfrom pathlib import Path\nfrom enhance_cli.batch.safety.atomic import *\n"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(module.__file__).parents[3]), *sys.path]),
        **(environment or {}),
    }
    command = [sys.executable, "-c", header + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, **options)


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_target_appears_only_when_complete_and_folders_are_made(tmp_path):
    target = tmp_path / "new" / "deep" / "a.wav"
    with atomic(target) as part:
        part.write_bytes(b"sound")
        assert not target.exists() and part.parent == target.parent
    assert target.read_bytes() == b"sound" and listing(target.parent) == ["a.wav"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "a.wav"
    target.write_bytes(b"old")
    with pytest.raises(error), atomic(target) as part:
        part.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old" and listing(tmp_path) == ["a.wav"]


@posix
def test_kill_9_leaves_no_target_and_the_next_run_overwrites_the_leftover(tmp_path):
    target = tmp_path / "a.wav"
    code = """
    with atomic(Path(sys.argv[1])) as part:
        part.write_bytes(b"half of a much longer file")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert python(code, target).wait() == -signal.SIGKILL
    assert listing(tmp_path) == [unfinished_path(target).name]
    with atomic(target) as part:
        part.write_bytes(b"whole")
    assert target.read_bytes() == b"whole" and listing(tmp_path) == ["a.wav"]


@posix
def test_two_runs_on_one_target_do_not_mix_their_bytes(tmp_path):
    target = tmp_path / "a.wav"
    code = """
    with atomic(Path(sys.argv[1])) as part:
        part.write_bytes(b"first")
        print("writing", flush=True)
        sys.stdin.read()
    """
    with python(code, target, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"writing\n"
        with pytest.raises(AudioError, match="another run is writing"), atomic(target):
            pass
        first.stdin.close()
    assert first.returncode == 0 and target.read_bytes() == b"first"


@posix
def test_full_disk_leaves_nothing(tmp_path):
    """A limit on the file size gives the write errors of a full disk, without needing to be root."""
    code = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with atomic(Path(sys.argv[1])) as part:
        part.write_bytes(bytes(5000))
    """
    process = python(code, tmp_path / "a.wav", stderr=subprocess.PIPE)
    assert b"OSError" in process.communicate()[1] and process.returncode == 1
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", ["ä" * 125 + ".wav", "x" * 251 + ".wav"])
def test_names_near_the_limit_have_room_for_the_temporary_name(tmp_path, name):
    with atomic(tmp_path / name) as part:
        part.write_bytes(b"x")
    assert listing(tmp_path) == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not store such names")
def test_names_that_are_not_utf8(tmp_path):
    target = tmp_path / os.fsdecode(b"caf\xe9.wav")
    with atomic(target) as part:
        part.write_bytes(b"x")
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9.wav"]


def test_dash_sends_the_finished_bytes_to_standard_output(tmp_path):
    code = """
    with atomic(Path("-")) as part:
        part.write_bytes(bytes(range(256)) * 20000)
    """
    process = python(code, stdout=subprocess.PIPE, environment={"TMPDIR": str(tmp_path)})
    assert process.communicate()[0] == bytes(range(256)) * 20000 and listing(tmp_path) == []


def test_standard_input_is_spooled_whole_and_removed_at_exit(tmp_path):
    data = os.urandom(3_000_001)
    code = """
    sys.stdout.buffer.write(spool_stdin().read_bytes())
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = python(code, environment={"TMPDIR": str(tmp_path)}, **pipes)
    assert process.communicate(data)[0] == data and listing(tmp_path) == []


def test_empty_standard_input_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (tmp_path / "empty").open("w+") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(AudioError, match="standard input is empty"):
            spool_stdin()
    assert listing(tmp_path) == ["empty"]


@posix
def test_standard_input_that_does_not_fit_says_what_to_do(tmp_path):
    code = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    spool_stdin()
    """
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = python(code, environment={"TMPDIR": str(tmp_path)}, **pipes)
    assert b"TMPDIR" in process.communicate(bytes(100_000))[1] and listing(tmp_path) == []
