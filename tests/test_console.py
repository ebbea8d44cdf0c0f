"""Progress: a bar on a terminal, a line now and then elsewhere, right under several threads; stdout is always parseable."""

import json
import os
import re
import sys
import threading
import time

import numpy as np
import pytest

from enhance_cli import console
from enhance_cli.batch.record import Record
from enhance_cli.console import Reporter, span

RUN = """
import sys, time
import numpy as np
from types import SimpleNamespace
from enhance_cli.batch.record import Record
from enhance_cli.console import Reporter

with Reporter(4, json="--json" in sys.argv, quiet=False, verbose=False, skips=1) as reporter:
    process = reporter.watch(lambda blocks, *facts: blocks)
    reporter.show(Record(input="s.wav", output="o.wav", status="skipped", reason="the output exists"))
    for name in ("a.wav", "b.wav"):
        blocks = (np.zeros((1, 3600 * 100)) for _ in range(10))
        for _ in process(blocks, 100, 1, SimpleNamespace(frames=36000 * 100)):
            time.sleep(0.02)
        reporter.show(Record(input=name, output=f"out/{name}", status="done", seconds_audio=36000.0, seconds_work=1.0))
    reporter.show(Record(input="c.wav", status="failed", reason="c.wav is empty"))
"""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (89, "89 s"), (90, "1.5 min"), (7200, "2.0 h"), (86400 * 12, "12.0 days")],
)
def test_lengths_of_time_are_said_as_people_say_them(seconds, said):
    assert span(seconds) == said


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_one_bar_with_files_audio_speed_and_time_left(start_python):
    import pty

    ours, theirs = pty.openpty()
    environment = {"TERM": "xterm", "COLUMNS": "150", "NO_COLOR": "1"}
    with start_python("-c", RUN, "--json", stdout=-1, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while process.poll() is None or shown[-1:] not in (b"\n", b"l", b"h"):
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other end has closed
                break
        lines = process.stdout.read().decode().splitlines()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    standing = re.findall(
        r"(\d) of 4 files, ([\d.]+) (min|h) of audio, (\S+) times as fast as it plays, ([\d.]+) s left", text
    )
    assert {files for files, *_ in standing} >= {"1", "2"}
    assert any(unit == "h" and 10 <= float(audio) < 20 for _, audio, unit, _, _ in standing), "within the second file"
    assert all(float(speed) > 1000 for *_, speed, _ in standing)
    assert [json.loads(line)["status"] for line in lines] == ["skipped", "done", "done", "failed"]
    assert "error: c.wav is empty" in text and "skipped s.wav" in text


def test_without_a_terminal_a_line_now_and_then(monkeypatch, capfd):
    monkeypatch.setattr(Reporter, "SECONDS", 0)
    monkeypatch.setattr(console, "talk", console.talk.__wrapped__)  # a console of this test's stderr
    monkeypatch.setattr(sys, "argv", ["enhance"])
    exec(compile(RUN, "run", "exec"), {})
    written = capfd.readouterr()
    assert written.out.splitlines() == ["out/a.wav", "out/b.wav"]
    lines = [line for line in written.err.splitlines() if " of 4 files" in line]
    assert lines[0] == "1 of 4 files"
    assert re.fullmatch(r"1 of 4 files, 2\.0 h of audio, \S+ times as fast as it plays, [\d.]+ s left", lines[2])
    assert re.fullmatch(r"3 of 4 files, 20\.0 h of audio, \S+ times as fast as it plays, [\d.]+ s left", lines[-1])
    assert "\x1b" not in written.err


def test_by_default_a_short_run_says_nothing_of_its_progress_and_a_quiet_one_never(monkeypatch, capfd):
    for seconds, quiet in ((Reporter.SECONDS, False), (0, True)):
        monkeypatch.setattr(Reporter, "SECONDS", seconds)
        with Reporter(2, json=False, quiet=quiet, verbose=False) as reporter:
            reporter.show(Record(input="a.wav", output="o.wav", status="done", seconds_audio=1.0, seconds_work=1.0))
        assert capfd.readouterr().err == ""


def test_many_threads_move_one_bar_which_never_goes_back_and_ends_full(monkeypatch):
    seen = []

    class Bar:
        def update(self, task, completed, description):
            seen.append(completed)

        def stop(self):
            pass

    files, threads = 40, 8
    with Reporter(files, json=False, quiet=False, verbose=False) as reporter:
        reporter.progress, reporter.task = Bar(), 0
        monkeypatch.setattr(console, "result", lambda line: None)
        process = reporter.watch(lambda blocks, *facts: (block for block in blocks))
        ended, lock = [], threading.Lock()

        def lane(count):
            for number in range(count):
                level = type("Level", (), {"frames": 1000})
                for _ in process((np.zeros((1, 100)) for _ in range(10)), 100, 1, level):
                    if number % 3 == 2:
                        break  # this one fails in the middle
                    time.sleep(0)
                with lock:
                    ended.append(1)

        lanes = [threading.Thread(target=lane, args=(files // threads,)) for _ in range(threads)]
        for thread in lanes:
            thread.start()
        shown = 0
        while shown < files:
            with lock:
                ready = len(ended)
            for _ in range(ready - shown):
                reporter.advance(10.0)
            shown = ready
    assert seen == sorted(seen) and seen[-1] == files and len(seen) > files
    assert reporter.seconds == 10.0 * files and not reporter.in_hand


def test_many_inputs_of_one_output_move_the_bar_once_each_and_name_output_or_failure_once(capfd):
    records = [Record(input=f"{n}.wav", output="all.npz", status="done", seconds_audio=1.0) for n in range(4)]
    with Reporter(4, json=False, quiet=False, verbose=False) as reporter:
        for record in records:
            reporter.announce(record)
        for record in records:
            reporter.show(record)
        assert (reporter.finished, reporter.seconds) == (4, 4.0)
        for record in records:
            record.status, record.reason = "failed", "all.npz: there is no room"
            reporter.show(record)
    printed = capfd.readouterr()
    assert printed.out == "all.npz\n" and printed.err == "error: all.npz: there is no room\n"
