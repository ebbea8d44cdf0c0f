"""Reports read back: sums that count every file once, whatever happened to the run, and failed files done again."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.record import Record, ReportWriter
from enhance_cli.batch.reports import read, summary
from enhance_cli.batch.retry import failed_jobs, failed_records, other_settings
from enhance_cli.errors import UsageError
from tests import audio_zoo as zoo


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def unchanged(blocks, rate, channels, level):
    return blocks


def run_with_report(jobs, report="r.jsonl", base=None, options=FileOptions(), process=unchanged):
    """The jobs as a command does them, with a report."""
    with ReportWriter(report) as written:
        return run(jobs, lambda job: enhance_file(job, process, options), base or {}, written.write)


def write(name, *records):
    Path(name).write_text("".join(Record(**record).to_json() + "\n" for record in records))
    return Path(name)


def done(name, audio=3600.0, work=60.0, before=-30.0, after=-31.0):
    levels = {"loudness_before": before, "loudness_after": after}
    return {
        "input": name,
        "output": f"out/{name}",
        "status": "done",
        "seconds_audio": audio,
        "seconds_work": work,
        **levels,
    }


def skipped(name):
    return {"input": name, "output": f"out/{name}", "status": "skipped", "reason": "the output exists"}


def failed(name, reason):
    return {"input": name, "output": f"out/{name}", "status": "failed", "reason": reason}


def test_sums_of_a_report():
    path = write(
        "r.jsonl",
        *(done(f"{i}.wav", before=-30.0 - i) for i in range(10)),
        skipped("s.wav"),
        failed("b.wav", "b.wav is truncated: only 95 of 16000 samples can be read: copy it again"),
        failed("c.wav", "c.wav is truncated: only 7.5e3 of 800 samples can be read: copy it again"),
        failed("d.wav", "out/d.wav: there is no room for this file: free some space"),
    )
    facts = summary(read([path]).records)
    assert (facts["files"], facts["done"], facts["skipped"], facts["failed"]) == (14, 10, 1, 3)
    assert facts["failed_because"] == {
        "FILE is truncated: only N of N samples can be read: copy it again": ["b.wav", "c.wav"],
        "there is no room for this file: free some space": ["d.wav"],
    }
    assert facts["skipped_because"] == {"the output exists": ["s.wav"]}
    assert (facts["hours_audio"], facts["real_time_factor"]) == (10.0, round(60 / 3600, 4))
    assert facts["hours_work"] == pytest.approx(600 / 3600, abs=1e-5)
    assert facts["loudness_before"] == pytest.approx([-38.1, -34.5, -30.9], abs=0.01)
    assert facts["loudness_after"] == {"": [-31.0, -31.0, -31.0]}


def test_files_done_side_by_side_share_their_time_and_pauses_between_runs_do_not_count():
    def at(name, end, work):
        return done(name, audio=100.0, work=work) | {"ended": f"2030-01-01T{end}.000+00:00"}

    one = write("r1.jsonl", at("a.wav", "10:00:30", 20.0), at("b.wav", "10:00:35", 20.0), at("c.wav", "12:00:10", 5.0))
    two = write("r2.jsonl", at("d.wav", "10:00:40", 10.0))
    facts = summary(read([one, two]).records)
    assert facts["hours_passed"] == pytest.approx(35 / 3600, abs=1e-6) and facts["real_time_factor"] == 0.0875
    assert facts["hours_work"] == pytest.approx(55 / 3600, abs=1e-6)


def test_a_shard_that_had_no_files_does_not_spoil_the_sum_of_all():
    empty, full = write("r1.jsonl"), write("r2.jsonl", done("a.wav"))
    assert inputs([empty, full]) == inputs([full, empty]) == ["a.wav"]
    Path("notes.txt").write_text("Dear diary\n")
    with pytest.raises(UsageError, match="notes.txt: there are no records"):
        read([full, Path("notes.txt")])


def test_the_last_record_of_an_input_counts_but_skipping_does_not_undo_what_was_done():
    bad = failed("b.wav", "b.wav is empty")
    one = write("one.jsonl", done("a.wav"), bad, failed("c.wav", "c.wav is empty"))
    two = write("two.jsonl", skipped("a.wav"), done("b.wav"), skipped("c.wav"))
    records = read([one, two]).records
    assert {record["input"]: record["status"] for record in records} == {
        "a.wav": "done",
        "b.wav": "done",
        "c.wav": "skipped",
    }
    assert summary(records)["hours_audio"] == 2.0
    anew = {record["input"]: record["status"] for record in read([two, one]).records}
    assert anew["b.wav"] == "failed", "done once, and failed when it was done anew"


STEMS = {name: f"out/a_{name}.wav" for name in ("vocals", "drums", "bass")}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("done", "drums bass"), ("skipped", "vocals drums bass")], ["done"]),  # one stem is of a run that was killed
        ([("failed", "vocals drums bass"), ("done", "vocals drums bass")], ["done"]),
        ([("failed", "vocals drums bass"), ("done", "vocals")], ["failed", "done"]),
        ([("failed", "vocals drums bass"), ("done", "vocals"), ("done", "vocals drums bass")], ["done"]),
    ],
)
def test_the_stems_of_a_file_are_one_file_in_the_sum_and_a_failure_stays_until_all_are_there(runs, expected, tmp_path):
    records = [
        record_of_run(tmp_path, status, outputs={name: STEMS[name] for name in names.split()}, reason=None)
        for status, names in runs
    ]
    assert [record["status"] for record in read([write("r.jsonl", *records)]).records] == expected


def inputs(paths):
    return [record["input"] for record in read(paths).records]


@pytest.mark.parametrize("rest", [b'{"input": "b.wav", "sta', b"\xff\xfe\x00", b'{"input": 3}', b"[]", b'"done"'])
def test_a_line_that_a_crash_broke_off_is_left_out_and_named(rest):
    path = write("r.jsonl", done("a.wav"))
    path.write_bytes(path.read_bytes() + rest)
    assert (inputs([path]), read([path]).broken) == (["a.wav"], ["r.jsonl line 2"])
    with ReportWriter(path) as report:
        report.write(Record(**done("c.wav")))
    assert (inputs([path]), read([path]).broken) == (["a.wav", "c.wav"], ["r.jsonl line 2"])


def test_the_report_of_a_repetition_may_be_named_before_that_of_the_first_run(tmp_path):
    at = "2026-11-30T10:{}:00.000+00:00"
    first = Record(input="a.wav", output="b.wav", folder="/x", status="failed", ended=at.format("01"))
    again = Record(input="a.wav", output="b.wav", folder="/x", status="done", ended=at.format("02"))
    paths = [tmp_path / "again.jsonl", tmp_path / "first.jsonl"]
    for path, record in zip(paths, (again, first)):
        path.write_text(record.to_json() + "\n")
    assert [[r["status"] for r in read(order).records] for order in (paths, paths[::-1])] == [["done"], ["done"]]


def test_texts_that_all_records_have_are_kept_once():
    """Or a report of a million files would take 9 GB."""
    settings = {"model": {"value": "denoise-s", "from": "command line"}}
    records = [{**done(name), "model": "denoise-s", "settings": settings} for name in ("a.wav", "b.wav")]
    one, other = read([write("r.jsonl", *records)]).records
    assert one["model"] is other["model"]
    assert one["settings"]["model"]["from"] is other["settings"]["model"]["from"]
    assert all(a is b for a, b in zip(one, other, strict=True))


def test_silence_short_files_and_stems_have_sums_too():
    parts = {"drums": {"loudness": -20.0, "peak": -1.0}, "bass": {"loudness": None, "peak": None}}
    record = done("a.wav") | {
        "parts": parts,
        "loudness_after": None,
        "output": None,
        "outputs": {"drums": "d", "bass": "b"},
    }
    path = write("r.jsonl", record, done("s.wav", audio=0.0, work=0.0, before=None, after=None))
    facts = summary(read([path]).records)
    assert facts["loudness_after"] == {"drums": [-20.0, -20.0, -20.0], "bass": None, "": None}
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize("text", [None, "", "Dear diary\n", '{"other": "json"}\n'])
def test_what_is_no_report_is_refused_in_a_sentence(text):
    if text is not None:
        Path("r.jsonl").write_text(text)
    with pytest.raises(UsageError, match=r"r.jsonl: (this report cannot be read|there are no records)"):
        read([Path("r.jsonl")])


# --- failed files again -------------------------------------------------------------------------------------------


def test_failed_files_are_done_again_alone_to_the_places_they_were_meant_for():
    Path("in/sub").mkdir(parents=True)
    for name in ("in/a.wav", "in/sub/b.wav", "in/sub/c.wav"):
        zoo.save(Path(name), zoo.noise())
    whole = Path("in/sub/b.wav").read_bytes()
    Path("in/sub/b.wav").write_bytes(whole[:9000])
    Path("in/sub/c.wav").write_bytes(b"")
    jobs = plan(expand(["in"], recursive=True), "out", template="{stem}_clean{ext}", extension=".flac")
    assert (run_with_report(jobs).done, run_with_report(failed_jobs(Path("r.jsonl"), "skip")).failed) == (1, 2)
    Path("in/sub/b.wav").write_bytes(whole)
    again = failed_jobs(Path("r.jsonl"), "skip")
    assert [(str(job.source), str(job.target), job.action) for job in again] == [
        ("in/sub/b.wav", "out/sub/b_clean.flac", "run"),
        ("in/sub/c.wav", "out/sub/c_clean.flac", "run"),
    ]
    assert (run_with_report(again).done, run_with_report(failed_jobs(Path("r.jsonl"), "skip")).failed) == (1, 1)
    facts = summary(read([Path("r.jsonl")]).records)
    assert (facts["files"], facts["done"], facts["failed"]) == (3, 2, 1)


def test_all_parts_of_a_failed_file_are_done_again():
    Path("in").mkdir()
    zoo.save(Path("in/a.wav"), zoo.noise())
    options = FileOptions(parts=("low", "high"))
    double = lambda blocks, *facts: (np.concatenate([block / 2, block / 2]) for block in blocks)
    jobs = plan(expand(["in"]), "out", parts=("low", "high"))
    whole = Path("in/a.wav").read_bytes()
    Path("in/a.wav").write_bytes(whole[:5000])
    assert run_with_report(jobs, options=options, process=double).failed == 1
    Path("in/a.wav").write_bytes(whole)
    Path("out").mkdir()
    zoo.save(Path("out/a_low.wav"), zoo.noise(frames=10))  # somebody made one of them meanwhile
    for parts in ((), ("low",), ("mid", "low")):
        with pytest.raises(UsageError, match="was to become low, high, which this command does not make"):
            failed_jobs(Path("r.jsonl"), "skip", parts=parts)
    again = failed_jobs(Path("r.jsonl"), "skip", parts=("low", "mid", "high"))
    assert again[0].parts == (("high", Path("out/a_high.wav")),)
    assert run_with_report(again, options=options, process=double).done == 1
    assert soundfile.info("out/a_high.wav").frames == zoo.FRAMES and soundfile.info("out/a_low.wav").frames == 10


def record_of_run(folder, status, **fields):
    given = {"input": "a.wav", "relative": "a.wav", "output": "out/a.wav", "folder": str(folder), "status": status}
    return given | fields


def test_files_of_one_name_in_different_folders_are_different_and_failures_stay(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    write("r.jsonl", record_of_run(one, "failed", reason="x"), record_of_run(two, "done"))
    found = read([Path("r.jsonl")]).records
    assert sorted(record["status"] for record in found) == ["done", "failed"]
    write("o.jsonl", record_of_run(one, "failed", reason="x"), record_of_run(one, "done", output="flac/a.flac"))
    assert [job.source for job in failed_jobs(Path("o.jsonl"), "skip")] == [one / "a.wav"]
    write("b.jsonl", *(record_of_run(folder, "failed", reason="x") for folder in (one, two)))
    assert [job.target for job in failed_jobs(Path("b.jsonl"), "skip")] == [one / "out/a.wav", two / "out/a.wav"]
    write(
        "d.jsonl",
        record_of_run(one, "failed", reason="x"),
        record_of_run(two, "done", input="../one/a.wav", output="../one/out/a.wav"),
    )
    assert summary(read([Path("d.jsonl")]).records)["failed"] == 0, "the same file, from another folder"


def test_failed_files_are_done_again_from_any_folder(tmp_path):
    (tmp_path / "there").mkdir()
    zoo.save(tmp_path / "there" / "a.wav", zoo.noise())
    write("r.jsonl", record_of_run(tmp_path / "there", "failed", reason="x", track="2"))
    (job,) = failed_jobs(Path("r.jsonl"), "skip")
    assert (job.source, job.target) == (tmp_path / "there" / "a.wav", tmp_path / "there" / "out" / "a.wav")
    assert job.track == "2"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_names_that_are_not_utf8_are_found_again():
    name = os.fsdecode(b"in/caf\xe9.wav")
    Path("in").mkdir()
    Path(name).touch()
    run_with_report(plan(expand(["in"]), "out"))
    zoo.save(Path("x.wav"), zoo.noise()).replace(name)
    assert run_with_report(failed_jobs(Path("r.jsonl"), "skip")).done == 1
    assert os.listdir(b"out") == [b"caf\xe9.wav"]


def test_nothing_is_done_where_that_would_do_harm():
    Path("a.wav").touch()
    write("own.jsonl", failed("a.wav", "a.wav is empty") | {"output": "a.wav"})
    with pytest.raises(UsageError, match="would overwrite this input"):
        failed_jobs(Path("own.jsonl"), "overwrite")
    write("two.jsonl", *(failed(name, "x") | {"output": "out/x.wav"} for name in ("a.wav", "b.wav")))
    with pytest.raises(UsageError, match=r"out/x.wav is made of several inputs at once"):
        failed_jobs(Path("two.jsonl"), "skip")
    write(
        "three.jsonl",
        *(failed(n, "x") | {"output": f"out/{o}.wav"} for n, o in (("a.wav", "x"), ("b.wav", "x"), ("c.wav", "c"))),
    )
    assert [bool(job.problem) for job in failed_jobs(Path("three.jsonl"), "skip")] == [True, True, False]
    pipe = failed("-", "standard input is empty") | {"output": "-"}
    write("none.jsonl", done("a.wav"), skipped("b.wav"))
    assert failed_jobs(Path("none.jsonl"), "skip") == []
    write("pipe.jsonl", pipe)
    with pytest.raises(UsageError, match="the failed ones came from standard input"):
        failed_jobs(Path("pipe.jsonl"), "skip")
    with pytest.raises(UsageError, match="leave IN, --output and --name out"):
        failed_jobs(Path("two.jsonl"), "skip", given=[["in"], None, None])


def test_settings_that_differ_from_those_of_the_first_run_are_named():
    first = {"model": "denoise-s", "steps": 4, "seed": 0, "sampler_args": {"snr": 0.5}}
    write("r.jsonl", failed("a.wav", "x") | first, done("b.wav") | {"model": "other"})
    assert other_settings(failed_records(Path("r.jsonl")), first) == []
    assert other_settings(failed_records(Path("r.jsonl")), first | {"steps": 1, "sampler_args": {}}) == [
        'sampler_args {"snr": 0.5}',
        "steps 4",
    ]
