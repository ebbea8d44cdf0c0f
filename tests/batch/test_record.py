"""Records are valid JSON whatever the numbers and the names, and reports survive broken disks and killed
runs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path, PurePath

import numpy as np
import pytest

from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.job import Job
from enhance_cli.batch.record import Record, ReportWriter
from enhance_cli.errors import AudioError, UsageError


def strict(line):
    def refuse(name):
        raise AssertionError(name)

    return json.loads(line.encode("utf-8"), parse_constant=refuse)


def test_done_and_failed_records_have_the_same_keys():
    done = Record(input="a.wav", output="b.wav", status="done", seconds_audio=1.5, notes=["x"], tags_lost=["art"])
    failed = Record(input="a.wav", status="failed", reason="text", error=ValueError("x"))
    assert strict(done.to_json()).keys() == strict(failed.to_json()).keys()
    assert strict(done.to_json())["seconds_audio"] == 1.5
    assert "error" not in strict(failed.to_json())


def test_numbers_json_does_not_know_become_null():
    record = Record(loudness_before=float("-inf"), loudness_after=np.float32("nan"), peak_after=np.float32(-0.5))
    values = strict(record.to_json())
    assert values["loudness_before"] is None and values["loudness_after"] is None and values["peak_after"] == -0.5


def test_names_that_are_not_utf8_and_line_breaks_stay_on_one_valid_line():
    line = Record(input=os.fsdecode(b"caf\xe9\n.wav"), output="\u00fc \u2028.wav").to_json()
    assert "\n" not in line
    assert strict(line)["input"] == "caf\\udce9\n.wav" and strict(line)["output"] == "\u00fc \u2028.wav"


def test_report_appends_and_repairs_a_line_cut_by_a_crash(tmp_path):
    path = tmp_path / "report.jsonl"
    path.write_bytes(b'{"input": "first"}\n{"inp')
    with ReportWriter(path) as report:
        report.write(Record(input="second"))
        lines = path.read_text().splitlines()  # already there, before the report is closed
    assert strict(lines[0])["input"] == "first" and strict(lines[-1])["input"] == "second" and len(lines) == 3


def test_a_file_that_is_skipped_in_every_run_has_one_record_of_that(tmp_path):
    path = tmp_path / "report.jsonl"
    skipped = Record(input="a.wav", status="skipped", reason="the output exists")
    runs = [Record(input="a.wav", status="done"), skipped, skipped, Record(input="b.wav", status="skipped"), skipped]
    for record in [*runs, Record(input="a.wav", status="failed"), skipped]:
        with ReportWriter(path) as report:
            report.write(record)
    found = [(r["input"], r["status"]) for r in map(json.loads, path.read_text().splitlines())]
    a, b = "a.wav", "b.wav"
    assert found == [(a, "done"), (a, "skipped"), (b, "skipped"), (a, "failed"), (a, "skipped")]


def test_records_written_before_a_kill_are_kept(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from enhance_cli.batch.record import Record, ReportWriter\n"
        "with ReportWriter(sys.argv[1]) as report:\n"
        "    report.write(Record(input='a.wav', status='done'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "r.jsonl")], env=environment, check=False)
    assert strict((tmp_path / "r.jsonl").read_text())["input"] == "a.wav"


def test_report_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="report cannot be written"), ReportWriter(tmp_path / "no" / "r.jsonl"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_nothing_is_added_to_a_file_that_is_no_report(tmp_path):
    """As with --report a.wav, where -o was meant: the recording would have had text at its end."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE")
    with (
        pytest.raises(UsageError, match="a.wav: this file is no report, so nothing is added to it"),
        ReportWriter(path),
    ):
        pass
    assert path.read_bytes() == b"RIFF\0\0\0\0WAVE"


def test_a_report_may_go_into_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        with ReportWriter(tmp_path / "pipe") as report:
            report.write(Record(input="a.wav", status="done"))
        text = reader.communicate(timeout=60)[0].decode()
    assert strict(text)["input"] == "a.wav"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the always-full device of Linux")
def test_report_on_a_full_disk_is_an_error():
    with ReportWriter("/dev/full") as report, pytest.raises(AudioError, match="No space left"):
        report.write(Record(input="a.wav"))


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with ReportWriter(None) as report:
        report.write(Record(input="a.wav", status="done"))
    assert not list(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


def test_a_field_that_a_record_does_not_have_is_refused():
    """Else a misspelt one would silently be missing from every report."""
    record = Record(input="a.wav")
    with pytest.raises(AttributeError):
        record.loudnes_after = -20.0


def test_a_worker_that_returns_an_unknown_field_ends_the_run():
    job = Job(Path("a.wav"), PurePath("a.wav"), Path("out/a.wav"))
    with pytest.raises(AttributeError, match="loudnes_after"):
        run([job], lambda job: {"loudnes_after": -20.0}, {}, lambda record: None)
