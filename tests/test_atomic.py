"""Files replaced whole: what a reader sees before, while and after one is written, by one run or by two."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from enhance_cli.atomic import replace_file


def test_a_file_appears_when_it_is_complete_with_the_folders_it_needs(tmp_path):
    target = tmp_path / "a" / "b" / "model.bin"
    with replace_file(target) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new" and os.listdir(target.parent) == ["model.bin"]


def test_what_fails_leaves_what_was_there(tmp_path):
    target = tmp_path / "model.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replace_file(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["model.bin"]


def test_a_killed_run_leaves_what_was_there(tmp_path):
    target = tmp_path / "model.bin"
    target.write_bytes(b"old")
    code = (
        "import os, pathlib, sys, signal\n"
        "from enhance_cli.atomic import replace_file\n"
        "with replace_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, target]).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    with replace_file(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == ["model.bin"], "nothing is left for ever"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_of_two_runs_that_write_one_file_the_second_waits_for_the_first(tmp_path):
    target, seen = tmp_path / "cache.bin", []

    def second():
        with replace_file(target) as file:
            seen.append(target.read_bytes())
            file.write(b"second")

    with replace_file(target) as first:
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.2)
        first.write(b"first" * 1000)
    waiting.join(300)
    assert seen == [b"first" * 1000] and target.read_bytes() == b"second" and os.listdir(tmp_path) == ["cache.bin"]


def test_other_users_may_read_it_as_any_file(tmp_path):
    with replace_file(tmp_path / "a") as file:
        file.write(b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
