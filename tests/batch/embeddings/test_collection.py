"""Many recordings into one file of embeddings: killed, gone on with, added to; nothing embedded twice, nothing lost."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.batch.backends.backend import Listener
from enhance_cli.batch.embeddings.checkpoint import EmbeddingCheckpoint
from enhance_cli.batch.embeddings.collection import CollectionBackend, plan_into_one_file
from enhance_cli.batch.embeddings.file import EmbeddingWorker, refuse_lost_archives
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.errors import AudioError, VectorError
from enhance_cli.vectors import SUFFIXES, read

BASE = {"version": "1"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """in/{0..5}.wav, whose first byte is all that its embedding knows of it."""
    (tmp_path / "in").mkdir()
    for number in range(6):
        (tmp_path / "in" / f"{number}.wav").write_bytes(bytes([number + 1]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def embed_all(folder):
    """Embeds in/ into all.npz and returns the summary, the records by name, and which were embedded now."""

    def go(
        existing="skip", die=None, embedded_by="ours", extractor="ours", output="all.npz", on_wait=lambda reason: None
    ):
        embedded = []

        def embed(path):
            number = path.read_bytes()[0]
            if number == 99:
                raise AudioError(f"{path}: silent", "check the recording")
            if number == die:
                raise KeyboardInterrupt
            embedded.append(path.stem)
            return np.full(3, number, np.float32) / 3, 1.0, []

        repair = lambda rows, *_: (rows + 1, ~rows.any(axis=1))
        worker = EmbeddingWorker(
            SimpleNamespace(
                embed_file=embed,
                repair=repair,
                repair_recorded=repair,
                extractor_id=extractor,
                embedded_by=embedded_by,
                lanes=1,
            )
        )
        found = expand(["in"])
        kinds = {"writable": SUFFIXES, "fallback": ".npz"}
        (job,) = plan(found[:1], output, suffix="enhanced", existing=existing, **kinds)
        refuse_lost_archives([job], existing)
        records = []
        facts = {"device": "cpu", "precision": "fp32"}
        backend = CollectionBackend(WorkerSpec(lambda *_: (worker, facts), None), BASE)
        summary = backend.run(plan_into_one_file(found, job), Listener(records.append, on_wait=on_wait))
        return summary, {record.relative: record for record in records}, embedded

    return go


def stored():
    vectors = read("all.npz")
    return dict(zip(vectors.ids, vectors.rows[:, 0].tolist()))


def rows(numbers):
    return {f"{n}.wav": float(np.float32(n + 1) / 3 + 1) for n in numbers}


def test_an_interrupted_run_is_gone_on_with_and_gives_what_an_undisturbed_one_gives(embed_all, folder):
    undisturbed, _, _ = embed_all()
    expected = (folder / "all.npz").read_bytes()
    os.remove("all.npz")
    summary, records, embedded = embed_all(die=5)
    assert summary.exit_code == 130 and embedded == list("0123") and not (folder / "all.npz").exists() and not records
    summary, records, embedded = embed_all()
    assert embedded == list("45") and {record.status for record in records.values()} == {"done"}
    assert (summary.done, summary.exit_code) == (undisturbed.done, 0) == (6, 0)
    assert (folder / "all.npz").read_bytes() == expected and sorted(os.listdir()) == ["all.npz", "in"]


@pytest.mark.parametrize("end", [b'{"id": "2.wav", "sta', b"\xff\x00"])
def test_a_line_that_a_kill_has_broken_spoils_no_other(embed_all, folder, end):
    embed_all(die=4)
    (kept,) = folder.glob(".*")
    kept.write_bytes(b"\n".join(kept.read_bytes().splitlines()[:3] + [end]))
    assert embed_all(die=6)[2] == list("234")
    assert embed_all()[2] == list("5") and stored() == rows(range(6))


def test_what_is_kept_counts_only_for_the_same_recording_and_the_same_way_of_embedding(embed_all, folder):
    embed_all(die=5)
    (folder / "in" / "1.wav").write_bytes(b"\x01longer")
    assert embed_all(die=6)[2] == list("14")
    assert embed_all(embedded_by="another")[2] == list("012345")


def test_a_recording_that_failed_is_tried_again_and_added_to_the_others(embed_all, folder):
    (folder / "in" / "1.wav").write_bytes(bytes([99]))
    for _ in range(2):
        summary, records, _ = embed_all()
        assert summary.exit_code == 1 and "1.wav: silent" in records["1.wav"].reason and "1.wav" not in stored()
    assert summary.skipped == 5
    (folder / "in" / "1.wav").write_bytes(bytes([2]))
    (folder / "in" / "new.wav").write_bytes(bytes([7]))
    summary, records, embedded = embed_all()
    assert (summary.done, summary.skipped, embedded) == (2, 5, ["1", "new"])
    assert stored() == rows(range(6)) | {"new.wav": float(np.float32(7) / 3 + 1)}
    assert embed_all()[0].skipped == 7 and embed_all("overwrite")[2] == list("012345") + ["new"]


def test_recordings_of_which_the_file_holds_none_are_added_too(embed_all, folder):
    embed_all()
    (folder / "in").rename(folder / "before")
    (folder / "in").mkdir()
    (folder / "in" / "new.wav").write_bytes(bytes([7]))
    assert embed_all()[2] == ["new"] and stored() == rows(range(6)) | {"new.wav": float(np.float32(7) / 3 + 1)}


def test_two_runs_do_not_replace_one_file_at_once(embed_all, folder):
    with (
        EmbeddingCheckpoint(folder / "all.npz", "ours"),
        pytest.raises(AudioError, match="another run is writing this file"),
    ):
        embed_all("overwrite")
    assert embed_all()[0].done == 6


@pytest.mark.parametrize("added_to", [False, True])
def test_the_second_of_two_runs_waits_and_adds_only_the_rest(added_to, embed_all, folder):
    """Both were planned before either wrote: the first has done 0 to 3 meanwhile, also where the file held 0 before."""
    waits, everything = threading.Event(), sorted((folder / "in").iterdir())
    for path in everything[4:]:
        path.rename(folder / path.name)
    embed_all()
    (folder / "all.npz").rename(folder / "done.npz")
    for path in everything[1:4]:
        path.rename(folder / path.name)
    if added_to:
        embed_all()
    for path in everything[1:]:
        (folder / path.name).rename(path)
    with ThreadPoolExecutor(1) as pool:
        with EmbeddingCheckpoint(folder / "all.npz", "ours"):
            told = []
            second = pool.submit(embed_all, on_wait=lambda reason: (told.append(reason), waits.set()))
            assert waits.wait(60)
            (folder / "done.npz").replace(folder / "all.npz")
        summary, records, embedded = second.result(60)
    assert "another run is writing this file: waiting for it" in told[0]
    assert embedded == ["4", "5"] and stored() == rows(range(6)) and len(read("all.npz").ids) == 6
    assert (summary.done, summary.skipped, summary.failed) == (2, 4, 0)
    assert added_to or records["3.wav"].reason == "another run has added it to the output meanwhile"


def test_a_file_that_holds_more_than_embeddings_is_not_written_anew(embed_all, folder):
    embed_all()
    with np.load("all.npz") as file:
        np.savez("all.npz", labels=np.arange(6), **file)
    (folder / "in" / "new.wav").write_bytes(bytes([7]))
    before = (folder / "all.npz").read_bytes()
    with pytest.raises(VectorError, match=r"all\.npz: holds more than embeddings"):
        embed_all()
    assert (folder / "all.npz").read_bytes() == before and sorted(os.listdir()) == ["all.npz", "in"]


def test_embeddings_of_another_length_are_not_added_to(embed_all, folder):
    np.savez("all.npz", ids=["old"], embeddings=np.ones((1, 5), np.float32))
    summary, records, _ = embed_all()
    assert summary.failed == 6 and "holds embeddings of 5 numbers, not of 3" in records["0.wav"].reason


def test_a_kaldi_list_is_added_to_with_its_archive(embed_all, folder):
    embed_all(output="all.scp")
    (folder / "in" / "new.wav").write_bytes(bytes([7]))
    summary, _, embedded = embed_all(output="all.scp")
    assert embedded == ["new"] and len(read(folder / "all.scp").ids) == 7


def test_embeddings_of_another_extractor_are_not_added_to(embed_all, folder):
    embed_all()
    (folder / "in" / "new.wav").write_bytes(bytes([7]))
    with pytest.raises(VectorError, match=r"all\.npz: holds embeddings of ours, not of theirs"):
        embed_all(extractor="theirs")


def test_a_form_without_ids_is_left_as_it_is(embed_all, folder):
    embed_all(output="all.npy")
    (folder / "in" / "new.wav").write_bytes(bytes([7]))
    summary, _, embedded = embed_all(output="all.npy")
    assert summary.skipped == 7 and not embedded and len(np.load("all.npy")) == 6


def test_what_cannot_be_repaired_is_named_in_its_record(embed_all, folder):
    (folder / "in" / "3.wav").write_bytes(bytes([0]))
    summary, records, _ = embed_all()
    assert summary.exit_code == 1 and summary.done == 6
    assert {name: record.unusable for name, record in records.items() if record.unusable} == {"3.wav": ["3.wav"]}
