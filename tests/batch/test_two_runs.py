"""Two runs on one folder at the same time: each file is done once, and nothing fails for the other's sake."""

from pathlib import Path

import pytest

from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outputs import plan, plan_parts
from enhance_cli.batch.safety.atomic import atomic
from tests import audio_zoo as zoo


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in "abc":
        zoo.save(Path("in", f"{name}.wav"), zoo.noise())


def go(jobs):
    records = []
    function = lambda job: enhance_file(job, lambda blocks, *_: blocks, FileOptions())
    summary = run(jobs, function, {}, records.append)
    return summary.exit_code, [(record.status, record.reason) for record in records]


def test_an_output_that_another_run_is_writing_is_left_to_it():
    jobs = plan(expand(["in"]), "out")
    with atomic(Path("out/b.wav")) as unfinished:
        unfinished.write_bytes(b"of the other")
        code, ended = go(jobs)
    assert code == 0 and ended == [("done", None), ("skipped", "another run is writing the output"), ("done", None)]
    assert Path("out/b.wav").read_bytes() == b"of the other"


def test_an_output_that_another_run_has_made_since_is_not_made_again():
    jobs = plan(expand(["in"]), "out")
    Path("out").mkdir()
    Path("out/a.wav").write_bytes(b"of the other")
    code, ended = go(jobs)
    assert code == 0 and ended[0] == ("skipped", "another run has made the output in the meantime")
    assert Path("out/a.wav").read_bytes() == b"of the other" and ended[1:] == [("done", None)] * 2
    stems = plan_parts(expand(["in/a.wav"]), ["bass", "residual"], "stems")
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
