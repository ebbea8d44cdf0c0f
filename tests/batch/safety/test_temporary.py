"""What runs keep in temporary folders: that of a killed run is removed by the next run, that of one still at work is not."""

import subprocess
import sys

import pytest

STORED = """
import sys
from pathlib import Path, PurePath
from enhance_cli.batch import transfer
from enhance_cli.batch.job import Job
from enhance_cli.batch.storage import StoredFile

transfer.fetch = lambda file, path: path.write_bytes(b"sound")
with transfer.fetched(Job(StoredFile("s3://take/a.wav"), PurePath("a.wav"), Path("out/a.wav"))) as job:
    print(job.source.read_text(), flush=True)
    sys.stdin.read()
"""
TO_STDOUT = """
import sys
from enhance_cli.batch.safety.atomic import STDOUT, atomic

with atomic(STDOUT) as part:
    part.write_bytes(b"")
    print("sound", flush=True)
    sys.stdin.read()
"""
FROM_STDIN = """
import shutil
from enhance_cli.batch.safety.atomic import spool_stdin

copy = shutil.copyfileobj
shutil.copyfileobj = lambda *files: (print("sound", flush=True), copy(*files))
spool_stdin()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
@pytest.mark.parametrize("code", [STORED, TO_STDOUT, FROM_STDIN], ids=["stored", "to stdout", "from stdin"])
def test_what_a_killed_run_kept_is_removed_by_the_next(tmp_path, start_python, code):
    folder = tmp_path / "temporary"
    folder.mkdir()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": {"TMPDIR": str(folder)}}
    with start_python("-c", code, **pipes) as killed, start_python("-c", code, **pipes) as living:
        assert killed.stdout.readline() == living.stdout.readline() == b"sound\n"
        killed.kill()
        killed.wait()
        assert len(list(folder.iterdir())) == 2
        with start_python("-c", code, **pipes) as after:
            after.communicate(b"x")
        assert len(list(folder.iterdir())) == 1
        living.communicate(b"x")
    assert living.returncode == 0 and not list(folder.iterdir())
