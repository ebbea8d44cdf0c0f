"""Files damaged at random, of every format: each is read or refused in one line; no crash, hang, giant or half-written file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EACH = 55  # damaged files of each kind, each way of damage five times: more than 2,000 in all


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_damaged_files_are_read_or_refused_and_never_worse(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.audio.fuzz", str(tmp_path), str(EACH)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    lines = result.stdout.decode().splitlines()
    assert result.returncode == 0, (
        f"{lines[-1]}: exit {result.returncode}: {result.stderr.decode('utf-8', 'replace')[-300:]}"
    )

    ended = dict(line.split("\t") for line in lines)
    assert {name: end for name, end in ended.items() if end not in ("done", "refused")} == {}
    whole = [end for name, end in ended.items() if name.endswith(" as it is")]
    assert len(whole) > 20 and set(whole) == {"done"}
    damaged = [end for name, end in ended.items() if not name.endswith(" as it is")]
    assert len(damaged) >= 2000 and damaged.count("refused") > 600 and damaged.count("done") > 600
    assert not list((tmp_path / "out").iterdir())
