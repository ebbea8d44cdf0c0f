"""`enhance report` and `--retry-failed`, as a user has them after a run in which something failed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import audio_zoo as zoo


@pytest.fixture
def after_a_run(enhance, tiny_model, tmp_path):
    """in/{a,b,c}.wav, of which b.wav is truncated; `report.jsonl` of a run over them, cut off in its last line."""
    (tmp_path / "in").mkdir()
    for name in "abc":
        zoo.save(tmp_path / "in" / f"{name}.wav", zoo.noise())
    broken = tmp_path / "in" / "b.wav"
    broken.write_bytes(broken.read_bytes()[:9000])
    assert enhance("denoise", "in", "-o", "out", "-m", tiny_model, "--report", "report.jsonl").code == 1
    with (tmp_path / "report.jsonl").open("a") as report:
        report.write('{"input": "in/d.w')
    return tmp_path


def test_a_report_is_summed_up_for_people(enhance, after_a_run):
    told = enhance("report", "report.jsonl")
    assert told.code == 0
    text = told.stdout.decode()
    assert text.startswith("3 files: 2 done, 0 skipped, 1 failed\n2.0 s of audio in ")
    assert "\nloudness before -" in text and "\nloudness after -" in text
    assert "\nfailed 1: FILE is truncated: only N of N samples can be read: " in text and text.endswith(
        "such as in/b.wav\n"
    )
    assert told.stderr == "report.jsonl line 4: incomplete record, left out: a run was killed there\n"
    assert enhance("report", "report.jsonl", "--quiet").stderr == ""


def test_a_report_may_come_through_a_pipe(after_a_run, start_python):
    with start_python("-m", "enhance_cli", "report", "-", stdin=-1, stdout=-1, stderr=-1) as process:
        text, _ = process.communicate((after_a_run / "report.jsonl").read_bytes(), timeout=120)
    assert process.returncode == 0 and text.startswith(b"3 files: 2 done, 0 skipped, 1 failed")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_a_report_from_a_closed_standard_input_is_one_line():
    command = f"exec '{sys.executable}' -m enhance_cli report - <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("error: -") and done.stderr.count("\n") == 1


def test_and_for_programs(enhance, after_a_run):
    (line,) = enhance("report", "report.jsonl", "--json").lines
    facts = json.loads(line)
    assert (facts["files"], facts["done"], facts["skipped"], facts["failed"], facts["broken_lines"]) == (3, 2, 0, 1, 1)
    assert list(facts["failed_because"].values()) == [["in/b.wav"]]
    assert facts["hours_audio"] == pytest.approx(2 / 3600, abs=1e-6) and facts["real_time_factor"] > 0


def test_a_report_that_is_not_there_is_one_line_and_exit_2(enhance):
    told = enhance("report", "no.jsonl")
    assert (told.code, told.stdout) == (2, b"")
    assert told.stderr == "error: no.jsonl: this report cannot be read (No such file or directory): check its name\n"


def test_only_what_failed_is_done_again(enhance, tiny_model, after_a_run):
    zoo.save(Path("in/b.wav"), zoo.noise())
    Path("out/c.wav").unlink()
    again = ["denoise", "--retry-failed", "report.jsonl", "-m", tiny_model, "--report", "report.jsonl"]
    assert enhance(*again, "--dry-run").lines == ["out/b.wav"]
    assert enhance(*again).lines == ["out/b.wav"]
    facts = json.loads(enhance("report", "report.jsonl", "--json").lines[0])
    assert (facts["done"], facts["failed"]) == (3, 0)
    nothing = enhance(*again)
    assert (nothing.code, nothing.lines) == (0, []) and "no file in it has failed" in nothing.stderr
    refused = enhance("denoise", "in", "--retry-failed", "report.jsonl", "-m", tiny_model)
    assert refused.code == 2 and "leave IN, --output and --name out" in refused.stderr


def test_other_settings_than_the_first_run_had_are_pointed_out(enhance, tiny_model, after_a_run):
    other = enhance("denoise", "--retry-failed", "report.jsonl", "-m", tiny_model, "--steps", 2)
    assert "the failed run used steps 1" in other.stderr
    same = enhance("denoise", "--retry-failed", "report.jsonl", "-m", tiny_model)
    assert "the failed run used" not in same.stderr


def test_what_failed_for_a_model_of_another_task_is_not_done_again(enhance, tmp_path):
    Path("in").mkdir()
    Path("in/b.wav").write_bytes(b"no audio")
    assert enhance("denoise", "in", "-o", "out", "-m", "denoise-s", "--report", "r.jsonl").code == 1
    refused = enhance("extend-bandwidth", "--retry-failed", "r.jsonl")
    assert refused.code == 2 and "use the command that wrote the report" in refused.stderr
    assert "r.jsonl: its failed files were for denoise, with denoise-s" in refused.stderr


def test_embeddings_that_could_not_be_used_are_counted_and_named(enhance, repair_model, tmp_path):
    rows = np.ones((30, 256), np.float32)
    rows[3], rows[7] = 0, np.nan
    np.save(tmp_path / "few.npy", rows)
    np.save(tmp_path / "many.npy", np.zeros((30, 256), np.float32))
    common = ["-m", repair_model, "--report", "r.jsonl"]
    assert enhance("enhance-embedding", "few.npy", *common).code == 1
    told = enhance("report", "r.jsonl").lines
    assert told[0] == "1 file: 1 done, 0 skipped, 0 failed"
    assert told[1:] == [
        "unusable 2 in 1 file done: embeddings that are zero or not finite, left as they were",
        "  few.npy: 3",
        "  few.npy: 7",
    ]
    enhance("enhance-embedding", "many.npy", *common)
    assert enhance("report", "r.jsonl").lines[-1] == "  and 12 more: --json names all"
    unusable = json.loads(enhance("report", "r.jsonl", "--json").lines[0])["unusable"]
    assert unusable == {"few.npy": ["3", "7"], "many.npy": [str(i) for i in range(30)]}
