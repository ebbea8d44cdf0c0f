"""Progress: a bar on a terminal, lines elsewhere or JSON, right under several threads; stdout is always parseable."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from enhance_cli import console
from enhance_cli.batch.backends.backend import with_progress
from enhance_cli.batch.record import Record
from enhance_cli.commands.reporting import Reporter
from enhance_cli.console import span
from enhance_cli.progress import JsonLines, Lines, NoDisplay, Progress, display_for

RUN = """
import sys, time
import numpy as np
from types import SimpleNamespace
from enhance_cli.batch.backends.backend import with_progress
from enhance_cli.batch.record import Record
from enhance_cli.commands.reporting import Reporter
from enhance_cli.progress import Progress, display_for

choice = "json" if "--progress" in sys.argv else "auto"
with (
    Progress(4, display_for(choice, quiet="--quiet" in sys.argv), skips=1) as progress,
    Reporter(progress, json="--json" in sys.argv, quiet="--quiet" in sys.argv, verbose=False) as reporter,
):
    process = with_progress(lambda blocks, *facts: blocks, progress.move)
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
    environment = {"TERM": "xterm", "COLUMNS": "150", "NO_COLOR": "1", "CI": ""}
    told_at_once = RUN.replace("choice", "Progress.SETTLED_SECONDS = 0\nchoice", 1)
    with start_python("-c", told_at_once, "--json", stdout=-1, stderr=theirs, env=environment) as process:
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
    monkeypatch.setattr(Lines, "SECONDS", 0)
    monkeypatch.setattr(Progress, "SETTLED_SECONDS", 0)
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
    for seconds, quiet in ((Lines.SECONDS, False), (0, True)):
        monkeypatch.setattr(Lines, "SECONDS", seconds)
        with Progress(2, display_for("auto", quiet=quiet)) as progress:
            progress.advance(1.0)
        assert capfd.readouterr().err == ""


def test_json_lines_tell_a_script_how_far_a_batch_has_come(monkeypatch, capfd):
    monkeypatch.setattr(JsonLines, "SECONDS", 0.0)
    monkeypatch.setattr(Progress, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(sys, "argv", ["enhance", "--progress", "--quiet"])
    exec(compile(RUN, "run", "exec"), {})
    *lines, last_error = capfd.readouterr().err.splitlines()
    assert last_error == "error: c.wav is empty"
    told = [json.loads(line) for line in lines]
    assert told[0] == {
        "event": "progress", "files": 0, "files_total": 4, "skipped": 0, "failed": 0, "seconds_audio": 0.0,
        "seconds_passed": told[0]["seconds_passed"], "seconds_left": None, "speed": None,
    }  # fmt: skip
    half = next(line for line in told if line["files"] == 2 and line["seconds_audio"] > 36000)
    assert 36000 < half["seconds_audio"] < 72000 and half["speed"] > 1000 and half["seconds_left"] > 0
    assert {key: told[-1][key] for key in ("files", "skipped", "failed", "seconds_audio")} == {
        "files": 4, "skipped": 1, "failed": 1, "seconds_audio": 72000.0
    }  # fmt: skip
    times = [line["seconds_passed"] for line in told]
    assert times == sorted(times)


def test_the_time_left_is_told_once_the_speed_is_known(monkeypatch, capfd):
    """The first window of a model takes many times as long as the others, and would promise hours."""
    monkeypatch.setattr(JsonLines, "SECONDS", 0.0)
    monkeypatch.setattr(Progress, "SETTLED_SECONDS", 1e4)
    with Progress(100, display_for("json", quiet=True)) as progress:
        progress.advance(1.0)
        progress.started -= 1e4
        progress.advance(1.0)
    first, soon, later = (json.loads(line)["seconds_left"] for line in capfd.readouterr().err.splitlines())
    assert first is soon is None and later == pytest.approx(98 / 2 * 1e4, rel=0.01)


def test_training_tells_the_time_left_once_it_is_known(monkeypatch, capfd):
    monkeypatch.setattr(console.TrainingReporter, "SECONDS", 1e9)
    reporter = console.TrainingReporter(quiet=False)
    reporter.report({"step": 1, "loss": 2.0, "si_sdr": 3.0})
    reporter.report({"step": 49, "loss": 1.5, "lr": 0.1})  # so soon after the last one, it is not told
    reporter.report({"step": 50, "loss": 1.0, "frames": 4.0, "eta": 7200})  # a score of bandwidth extension
    assert capfd.readouterr().err.splitlines() == ["step 1  loss 2  si_sdr 3", "step 50  loss 1  frames 4  left 2.0 h"]


def test_json_lines_come_at_most_once_a_second_and_at_the_end(monkeypatch, capfd):
    with Progress(100, display_for("json", quiet=True)) as progress:
        for _ in range(100):
            progress.advance(1.0)
    told = [json.loads(line)["files"] for line in capfd.readouterr().err.splitlines()]
    assert told[0] == 0 and told[-1] == 100 and len(told) <= 3


def test_json_lines_tell_how_far_a_run_came_that_was_interrupted(monkeypatch, capfd):
    monkeypatch.setattr(JsonLines, "SECONDS", 1000.0)
    with contextlib.suppress(KeyboardInterrupt), Progress(100, display_for("json", quiet=True)) as progress:
        for _ in range(7):
            progress.advance(1.0)
        raise KeyboardInterrupt
    assert [json.loads(line)["files"] for line in capfd.readouterr().err.splitlines()] == [0, 7]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("env", [{"TERM": "xterm", "CI": "true"}, {"TERM": "dumb", "CI": ""}], ids=["ci", "dumb"])
def test_no_bar_moves_in_the_log_of_a_ci_or_on_a_terminal_without_a_cursor(start_python, env):
    import pty

    ours, theirs = pty.openpty()
    told_at_once = RUN.replace("choice", "Progress.SETTLED_SECONDS = 0\nchoice", 1)
    with start_python("-c", told_at_once, "--json", stdout=-1, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the other end has closed
                break
            shown += more
            if not more:
                break
        process.stdout.read()
    assert b"c.wav is empty" in shown and b"of 4 files" not in shown and b"\x1b[?25l" not in shown
    assert b"\n\r\n" not in shown, "a bar that cannot move leaves empty lines"


def test_a_file_counts_until_its_last_result_is_taken_not_until_its_end_is_read():
    """Models with long windows have read a file long before they have cleaned it."""
    seen = []

    def slow(blocks, *facts):
        yield from list(blocks)

    process = with_progress(slow, lambda key, share, seconds: seen.append((share, seconds)))
    results = process((np.zeros((1, 100)) for _ in range(3)), 100, 1, type("Level", (), {"frames": 300}))
    for _ in range(3):
        next(results)
        assert seen[-1] == (1.0, 3.0)
    assert not list(results) and seen[-1] == (None, 0.0)


def test_many_threads_move_one_bar_which_never_goes_back_and_ends_full():
    seen = []

    class Bar(NoDisplay):
        def update(self, standing):
            seen.append(standing.reached)

    files, threads = 40, 8
    with Progress(files, Bar()) as progress:
        process = with_progress(lambda blocks, *facts: (block for block in blocks), progress.move)
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
                progress.advance(10.0)
            shown = ready
    assert seen == sorted(seen) and seen[-1] == files and len(seen) > files
    assert progress.seconds == 10.0 * files and not progress.in_progress


def test_many_inputs_of_one_output_move_the_bar_once_each_and_name_output_or_failure_once(capfd):
    records = [Record(input=f"{n}.wav", output="all.npz", status="done", seconds_audio=1.0) for n in range(4)]
    progress = Progress(4, NoDisplay())
    with Reporter(progress, json=False, quiet=False, verbose=False) as reporter:
        for record in records:
            reporter.announce(record)
        for record in records:
            reporter.show(record)
        assert (progress.finished, progress.seconds) == (4, 4.0)
        for record in records:
            record.status, record.reason = "failed", "all.npz: there is no room"
            reporter.show(record)
    printed = capfd.readouterr()
    assert printed.out == "all.npz\n" and printed.err == "error: all.npz: there is no room\n"


def test_standard_input_is_named_in_notes(capfd):
    with Reporter(Progress(1, NoDisplay()), json=False, quiet=False, verbose=False) as reporter:
        reporter.show(Record(input="-", output="-", status="done", notes=["left as it is: no gap was found"]))
    assert capfd.readouterr().err == "standard input: left as it is: no gap was found\n"


def test_what_is_counted_shows_nothing_before_its_first_call(monkeypatch):
    """Until then another bar may be on the terminal, and rich refuses two."""
    from rich.progress import Progress as Bar

    monkeypatch.setattr(console, "shows_bars", lambda: True)
    with Bar(console=console.talk()), console.counted("recordings", quiet=False):
        pass
    with console.counted("recordings", quiet=False) as count:
        count(1, 2)


@pytest.mark.parametrize("rich", [False, True])
def test_a_line_reads_the_same_whether_rich_is_there_or_not(rich):
    """It is imported for bars only. Names of files may hold anything: colors, markup, bells."""
    code = f"import sys\nif {rich}: import rich.console\nfrom enhance_cli.console import say\n"
    code += "say('[bold]a\\x07\\rb.wav[/]: \\udcff, ' + 'long ' * 40)\n"
    code += f"assert ('rich.console' in sys.modules) is {rich}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[bold]a\\x07\\rb.wav[/]: \\udcff, " + "long " * 40 + "\n"


def test_a_name_with_line_ends_and_commands_for_the_terminal_stays_on_one_line(capfd):
    console.say("error: no\nwhere\x1b[2J\x9b1m.wav is missing")
    assert capfd.readouterr().err == r"error: no\nwhere\x1b[2J\x9b1m.wav is missing" + "\n"


@pytest.mark.parametrize(("terminal", "line"), [(True, rb"a\nb\x1b[31m.wav" + b"\r\n"), (False, b"a\nb\x1b[31m.wav\n")])
def test_a_result_with_such_a_name_is_escaped_on_a_terminal_and_as_it_is_for_a_script(terminal, line):
    import pty

    ours, theirs = pty.openpty() if terminal else os.pipe()
    code = r"from enhance_cli.console import result_line; result_line('a\nb\x1b[31m.wav')"
    subprocess.run([sys.executable, "-c", code], stdout=theirs, check=True)
    assert os.read(ours, 100) == line
    os.close(ours)
    os.close(theirs)
