"""Local copies of stored files: those of killed runs are removed by the next run, those of others that are at work are not."""

import subprocess
import sys

import pytest

CODE = """
import sys
from pathlib import Path, PurePath
from enhance_cli.batch import transfer
from enhance_cli.batch.outputs import Job
from enhance_cli.batch.storage import StoredFile

transfer.fetch = lambda file, path: path.write_bytes(b"sound")
with transfer.fetched(Job(StoredFile("s3://take/a.wav"), PurePath("a.wav"), Path("out/a.wav"))) as job:
    print(job.source.read_text(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_what_a_killed_run_has_fetched_is_removed_by_the_next(tmp_path, start_python):
    (tmp_path / "room").mkdir()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": {"TMPDIR": str(tmp_path / "room")}}
    with start_python("-c", CODE, **pipes) as killed, start_python("-c", CODE, **pipes) as living:
        assert killed.stdout.readline() == living.stdout.readline() == b"sound\n"
        killed.kill()
        killed.wait()
        assert len(list((tmp_path / "room").iterdir())) == 2
        with start_python("-c", CODE, **pipes) as after:
            after.communicate(b"")
        assert len(list((tmp_path / "room").iterdir())) == 1
        living.communicate(b"")
    assert living.returncode == 0 and not list((tmp_path / "room").iterdir())
