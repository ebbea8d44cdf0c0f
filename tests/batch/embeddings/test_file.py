"""Embeddings on a bad night: inputs that change while they are read, output folders that vanish, full disks."""

import shutil
import sys
from pathlib import Path, PurePath
from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.atomic import unfinished_path
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.embeddings import file as embeddings
from enhance_cli.batch.embeddings.file import EmbeddingWorker, refuse_lost_archives
from enhance_cli.batch.job import Job
from enhance_cli.errors import UsageError
from enhance_cli.vectors import FORMS, Vectors, files_of, write
from tests import audio_zoo as zoo

ROWS = np.random.default_rng(0).standard_normal((40, 256)).astype(np.float32)


def leave(rows, *_):
    return rows, np.zeros(len(rows), bool)


@pytest.fixture
def record(tmp_path, monkeypatch):
    """That of one job, source -> out/target, and what lies in out; `happen` is called while its recording is read."""
    monkeypatch.chdir(tmp_path)

    def go(source, target, happen=lambda: None):
        def embed(path):
            happen()
            return ROWS[0], 1.0, []

        pipeline = SimpleNamespace(embed_file=embed, repair=leave, repair_recorded=leave, extractor_id="ours")
        worker, records = EmbeddingWorker(pipeline), []
        run([Job(Path(source), PurePath(source), Path("out", target))], worker.process_job, {}, records.append)
        left = sorted(path.name for path in Path("out").iterdir()) if Path("out").exists() else []
        return records[0], left

    return go


@pytest.mark.parametrize(
    ("happen", "said"),
    [
        (lambda: zoo.save(Path("a.wav"), zoo.noise(1, 30000)), "changed"),
        (lambda: Path("a.wav").unlink(), "disappeared"),
    ],
)
def test_a_recording_that_moves_while_it_is_read_is_not_embedded(record, happen, said):
    zoo.save(Path("a.wav"), zoo.noise())
    failed, left = record("a.wav", "a.npz", happen)
    assert failed.reason.startswith(f"a.wav: this file {said} while it was read: ") and left == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete what is open")
def test_an_output_folder_that_vanishes_is_told_and_made_again_by_the_next(record, monkeypatch):
    zoo.save(Path("a.wav"), zoo.noise())

    def vanish(parts, *rest):
        write(parts, *rest)
        shutil.rmtree("out")

    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "write", vanish)
        failed, _ = record("a.wav", "a.npz")
    assert failed.reason == "out/a.npz: its folder has disappeared: run again once it is there"
    done, left = record("a.wav", "a.npz")
    assert (done.status, left) == ("done", ["a.npz"])


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_said_to_be_full_and_nothing_is_left(form, record, tmp_path):
    """A limit on the file size gives the write errors of a full disk, without needing to be root."""
    import resource

    ids = [f"speaker-{number}" for number in range(len(ROWS))]
    write(files_of(tmp_path / f"x.{form}"), Vectors(ids, ROWS), form, tmp_path / f"x.{form}")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        failed, left = record(f"x.{form}", f"x.{form}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failed.reason.startswith(f"out/x.{form}: there is no room for this file") and left == []


def test_a_list_whose_archive_alone_came_into_place_is_made_again_and_an_archive_of_others_is_not_touched(tmp_path):
    """A kill between the two renames leaves the .ark under its name and the .scp under a hidden one."""
    target = tmp_path / "x.scp"
    target.with_suffix(".ark").write_bytes(b"something")
    job = Job(Path("x.npz"), PurePath("x.npz"), target)
    with pytest.raises(UsageError, match="x.ark: this output exists"):
        refuse_lost_archives([job], "skip")
    unfinished_path(target).touch()
    refuse_lost_archives([job], "skip")
