"""A folder that is watched: files are taken when they have stopped growing, each once, and bad ones are set aside."""

import os
from functools import partial
from types import SimpleNamespace

import pytest

from enhance_cli.batch import inbox as module
from enhance_cli.batch.inbox import Inbox
from enhance_cli.batch.outcome import record_of
from enhance_cli.batch.outputs import plan
from enhance_cli.errors import AudioError, OutputError
from tests import audio_zoo as zoo


class Stop:
    """The event that ends a watch after so many seconds of the clock. `meanwhile()` is called in every pause."""

    def __init__(self, seconds, meanwhile=lambda: None):
        self.end, self.meanwhile = clock.now + seconds, meanwhile

    def is_set(self):
        return clock.now >= self.end - 1e-9

    def wait(self, seconds):
        self.meanwhile()
        clock.now += seconds


clock = SimpleNamespace(now=0.0)  # only the pauses of an inbox move it, so that a slow machine changes nothing


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Inbox, "PAUSE", 0.02)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def watching(folder, recursive=False, settle=0.2, **arguments):
    arguments = {"output": "out/", "existing": "newer", **arguments}
    return Inbox(folder, lambda item: partial(plan, **arguments)([item])[0], recursive=recursive, settle=settle)


def taken(inbox, seconds=0.6):
    """The jobs of the inbox within so many seconds."""
    return list(inbox.arrivals(Stop(seconds)))


def failed(inbox, job, error):
    record = record_of(job, {"status": "failed", "reason": str(error), "error": error})
    return inbox.settle_failure(record)


def names(jobs):
    return [job.source.name for job in jobs]


def test_a_file_is_taken_once_it_has_stopped_growing_and_only_once(folder):
    inbox, file = watching(folder), folder / "slow.wav"
    zoo.save(folder / "old.wav", zoo.noise())
    begin, grown = clock.now, []

    def grow():
        if clock.now - begin <= 0.6:
            with file.open("ab") as slow:
                slow.write(bytes(1000))
            grown.append(clock.now)

    arrived = [(job.source.name, clock.now) for job in inbox.arrivals(Stop(2.0, grow))]
    assert [name for name, _ in arrived] == ["old.wav", "slow.wav"]
    assert len(grown) > 20 and arrived[0][1] - begin < 0.3 and 0.2 <= arrived[1][1] - grown[-1] < 0.3
    assert taken(inbox) == [], "they have been taken"
    zoo.save(file, zoo.noise())
    assert names(taken(inbox)) == ["slow.wav"], "it has changed"


def test_a_folder_that_takes_long_to_look_through_is_polled_less_often(folder):
    """Or the polls of an inbox of 100,000 files, which keeps all of them, would hold up the work on the few new ones."""
    inbox, begin, polls = watching(folder), clock.now, []

    def files():
        polls.append(clock.now)
        clock.now += 1.0
        return []

    inbox._files = files
    assert taken(inbox, seconds=10.0) == []
    assert [poll - begin for poll in polls] == pytest.approx([0.0, 5.0])


def test_the_oldest_comes_first_and_hidden_other_and_empty_files_do_not_come(folder):
    for age, name in enumerate(["c.wav", "a.wav", "b.wav"]):
        zoo.save(folder / name, zoo.noise())
        os.utime(folder / name, (1e9 + age, 1e9 + age))
    (folder / "empty.wav").touch()
    (folder / ".hidden.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("no audio")
    assert names(taken(watching(folder))) == ["c.wav", "a.wav", "b.wav"]
    assert names(taken(watching(folder, settle=0.02))) == ["c.wav", "a.wav", "b.wav", "empty.wav"], (
        "after ten times as long"
    )


def test_a_bad_file_is_set_aside_with_its_reason_under_a_free_name(folder):
    inbox = watching(folder, recursive=True)
    for number in (1, 2):
        (folder / "bad.wav").write_bytes(b"x" * number)
        (job,) = taken(inbox)
        moved = failed(inbox, job, AudioError(f"{job.source} is no audio", "look at it"))
        assert moved == folder / "failed" / ("bad.wav" if number == 1 else "bad (2).wav")
        assert moved.read_bytes() == b"x" * number and not (folder / "bad.wav").exists()
        assert moved.with_name(f"{moved.name}.txt").read_text() == f"{job.source} is no audio: look at it\n"
    assert taken(inbox) == [], "the folder of failed ones is not watched"


def test_a_file_that_changed_meanwhile_is_not_set_aside_but_comes_again(folder):
    inbox, file = watching(folder), folder / "a.wav"
    file.write_bytes(b"half")
    (job,) = taken(inbox)
    file.write_bytes(b"half and half")
    assert failed(inbox, job, AudioError(f"{file} is truncated")) is None and file.exists()
    assert names(taken(inbox)) == ["a.wav"]


@pytest.mark.parametrize("error", [OutputError("out/a.wav could not be written"), OSError(28, "full"), MemoryError()])
def test_an_output_that_cannot_be_written_is_not_the_fault_of_its_input(folder, monkeypatch, error):
    monkeypatch.setattr(Inbox, "RETRY", 0.5)
    inbox = watching(folder)
    zoo.save(folder / "a.wav", zoo.noise())
    (job,) = taken(inbox)
    assert failed(inbox, job, error) is None and (folder / "a.wav").exists()
    assert taken(inbox, 0.3) == []
    assert names(taken(inbox)) == ["a.wav"]
    assert failed(inbox, job, error) is None
    assert taken(inbox) == [], "after twice as long"


def test_of_two_files_with_one_output_the_later_fails_and_neither_is_lost(folder):
    zoo.save(folder / "a.wav", zoo.noise())
    os.utime(folder / "a.wav", (1e9, 1e9))
    zoo.save(folder / "a.aiff", zoo.noise(), container="AIFF")
    first, second = taken(watching(folder, extension=".flac"))
    assert first.source.name == "a.wav" and not first.problem
    assert second.problem.startswith(f"{first.source} and {second.source} would both be written to out/a.flac")


def test_a_plan_that_is_refused_is_a_failure_of_that_file(folder, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("a.wav", "b.wav"):
        zoo.save(folder / name, zoo.noise())
    (tmp_path / "out" / "a.wav").touch()
    jobs = {job.source.name: job for job in taken(watching(folder, existing="error"))}
    assert "this output exists" in jobs["a.wav"].problem and not jobs["b.wav"].problem


def test_a_folder_that_is_away_for_a_while_is_waited_for(folder, tmp_path):
    zoo.save(folder / "a.wav", zoo.noise())
    inbox = watching(folder)
    folder.rename(tmp_path / "away")
    assert taken(inbox, 0.2) == []
    (tmp_path / "away").rename(folder)
    assert names(taken(inbox)) == ["a.wav"]
