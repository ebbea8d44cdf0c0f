"""Names of outputs, and the plans that are refused before anything is touched."""

import os
import sys
from pathlib import Path, PurePath

import pytest

from enhance_cli.batch.inputs import Input, expand, shard
from enhance_cli.batch.outputs import plan
from enhance_cli.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode("utf-8", "surrogateescape"))


def targets(jobs):
    return [job.target.as_posix() for job in jobs]


def actions(jobs):
    return {job.source.as_posix(): job.action for job in jobs}


# Names


def test_without_o_the_result_lies_beside_its_input():
    make("rec/a.WAV", "b.flac")
    assert targets(plan(expand(["rec", "b.flac"]))) == ["rec/a_denoised.WAV", "b_denoised.flac"]


def test_o_is_a_file_for_one_input_and_a_folder_otherwise():
    make("a.wav", "b.wav")
    assert targets(plan(expand(["a.wav"]), "clean.flac")) == ["clean.flac"]
    assert targets(plan(expand(["a.wav"]), "clean")) == ["clean/a.wav"]
    assert targets(plan(expand(["a.wav"]), "clean.wav/")) == ["clean.wav/a.wav"]
    assert targets(plan(expand(["a.wav", "b.wav"]), "clean")) == ["clean/a.wav", "clean/b.wav"]
    Path("takes.wav").mkdir()
    assert targets(plan(expand(["a.wav"]), "takes.wav")) == ["takes.wav/a.wav"]


def test_output_folder_repeats_the_tree():
    make("rec/day1/x.wav", "rec/day2/x.wav")
    jobs = plan(expand(["rec"], recursive=True), "clean")
    assert targets(jobs) == ["clean/day1/x.wav", "clean/day2/x.wav"]


def test_tracks_of_videos_of_one_name_are_refused_and_told_apart_by_the_suffix_of_their_video():
    videos = [
        Input(Path(f"x.{end}"), PurePath(f"x_track{n}.wav"), track=str(n)) for end in ("avi", "mov") for n in (1, 2)
    ]
    with pytest.raises(UsageError, match=r"x.avi and x.mov would both be .*--name, as in '\{stem\}_\{suffix\}\{ext\}'"):
        plan(videos, "out")
    told_apart = targets(plan(videos, "out", template="{stem}_{suffix}{ext}"))
    assert told_apart == [f"out/x_track{n}_{end}.wav" for end in ("avi", "mov") for n in (1, 2)]


def test_template_names_the_model_and_may_make_folders():
    make("rec/day1/x.wav")
    inputs = expand(["rec"], recursive=True)
    fields = {"model": "me/tuned", "steps": 2}
    assert targets(plan(inputs, "out", template="{stem}_{model}_{steps:02d}{ext}", fields=fields)) == [
        "out/day1/x_me_tuned_02.wav"
    ]
    assert targets(plan(inputs, None, template="clean/{parent}-{stem}", fields=fields)) == ["rec/day1/clean/day1-x.wav"]


def test_the_parent_of_a_file_named_without_its_folder_is_the_folder_one_is_in(folder):
    make("a.wav")
    assert targets(plan(expand(["a.wav"]), "out", template="{parent}-{stem}{ext}")) == [f"out/{folder.name}-a.wav"]


@pytest.mark.parametrize(
    "template", ["{steam}{ext}", "{stem.__class__}", "{stem", "../{stem}{ext}", "/{stem}", "{parent}/"]
)
def test_template_that_makes_no_sense_is_refused(template):
    make("a.wav")
    with pytest.raises(UsageError):
        plan(expand(["a.wav"]), "out", template=template)


def test_unknown_template_field_is_answered_with_the_known_ones():
    make("a.wav")
    with pytest.raises(UsageError, match=r"no field \{nfe\}: use ext, model, parent, stem"):
        plan(expand(["a.wav"]), None, template="{stem}_{nfe}", fields={"model": "m"})


def test_what_cannot_be_written_becomes_wav_and_an_asked_extension_wins():
    make("talk.ts", "old.wma", "raw", "a.flac", "b.aac")
    inputs = expand(["talk.ts", "old.wma", "raw", "a.flac", "b.aac"])
    assert targets(plan(inputs, "out")) == [
        "out/talk.wav",
        "out/old.wav",
        "out/raw.wav",
        "out/a.flac",
        "out/b.wav",
    ]
    assert targets(plan(inputs[:2], "out", extension=".mp3")) == ["out/talk.mp3", "out/old.mp3"]


# Streams


def test_standard_streams():
    make("a.wav", "b.wav")
    assert targets(plan(expand(["-"]))) == ["-"]
    assert targets(plan(expand(["a.wav"]), "-")) == ["-"]
    assert targets(plan(expand(["-"]), "x.flac")) == ["x.flac"]
    assert targets(plan(expand(["-", "a.wav"]), "out")) == ["out/stdin.wav", "out/a.wav"]
    for arguments, output in [(["a.wav", "b.wav"], "-"), (["-", "a.wav"], None)]:
        with pytest.raises(UsageError, match="standard output"):
            plan(expand(arguments), output)


# Collisions


def test_two_inputs_with_one_output_are_both_named():
    make("day1/x.wav", "day2/x.wav")
    with pytest.raises(UsageError, match=r"day1/x.wav and day2/x.wav would both be written to out/x.wav"):
        plan(expand(["day1/x.wav", "day2/x.wav"]), "out")


@pytest.mark.skipif(sys.platform != "linux", reason="the usual disks of other systems do not tell the two apart")
def test_names_that_differ_in_the_form_of_their_accents_are_two_files_where_the_disk_knows_it():
    make("rec/caf\u00e9.wav", "rec/cafe\u0301.wav")
    assert targets(plan(expand(["rec"]), "out/new")) == ["out/new/cafe\u0301.wav", "out/new/caf\u00e9.wav"]
    assert len(set(targets(plan(expand(["rec"]))))) == 2
    assert not Path("out").exists() and len(list(Path("rec").iterdir())) == 2, "nothing is left of the trial"


def test_two_of_one_name_in_a_folder_fail_by_themselves_and_the_rest_is_done():
    make("rec/a.ts", "rec/a.wma", "rec/b.wav", "rec/c.wav")
    jobs = {job.source.name: job for job in plan(expand(["rec/*"]), "out")}
    assert [name for name, job in jobs.items() if job.problem] == ["a.ts", "a.wma"]
    assert "rec/a.ts and rec/a.wma would both be written to out/a.wav" in jobs["a.ts"].problem
    assert "{stem}_{suffix}{ext}" in jobs["a.wma"].problem
    apart = plan(expand(["rec/*"]), "out", template="{stem}_{suffix}{ext}")
    assert targets(apart) == ["out/a_ts.wav", "out/a_wma.wav", "out/b_wav.wav", "out/c_wav.wav"]
    with pytest.raises(UsageError, match="would both be written"):
        plan(expand(["rec/a.ts", "rec/a.wma", "rec/b.wav"]), "out")


@pytest.mark.skipif(sys.platform != "linux", reason="the usual disks of other systems do not tell the two apart")
def test_names_that_differ_in_case_only_are_two_files_where_the_disk_knows_it():
    make("rec/A.wav", "rec/a.wav")
    assert targets(plan(expand(["rec"]), "out/new")) == ["out/new/A.wav", "out/new/a.wav"]
    make("x/A.wav", "y/a.wav", "z/a.wav")
    with pytest.raises(UsageError, match=r"y/a.wav and z/a.wav would both be written to out/a.wav"):
        plan(expand(["x/A.wav", "y/a.wav", "z/a.wav"]), "out")


@pytest.fixture
def disk_that_folds_case(monkeypatch):
    """A name is found whatever its case, as on the usual disks of Windows and macOS."""

    def exists(path):
        head, name = os.path.split(os.path.abspath(path))
        return os.path.isdir(head) and name.casefold() in map(str.casefold, os.listdir(head))

    monkeypatch.setattr(os.path, "exists", exists)


def test_names_that_differ_in_case_only_would_overwrite_each_other_where_the_disk_folds_case(disk_that_folds_case):
    make("one/A.wav", "two/a.wav")
    with pytest.raises(UsageError, match=r"one/A.wav and two/a.wav would both be written to out/a.wav"):
        plan(expand(["one/A.wav", "two/a.wav"]), "out")


def test_two_of_one_name_in_one_folder_get_advice_that_helps():
    make("rec/a.ts", "rec/a.wma")
    with pytest.raises(UsageError, match="tell them apart with --name"):
        plan(expand(["rec/a.ts", "rec/a.wma"]), "out")


def test_collision_through_a_changed_extension_and_through_links():
    make("rec/talk.ts", "rec/talk.wav")
    with pytest.raises(UsageError, match="would both be written"):
        plan(expand(["rec/talk.ts", "rec/talk.wav"]), "out")
    make("in/one/x.wav", "in/two/x.wav")
    Path("out/one").mkdir(parents=True)
    Path("out/two").symlink_to("one")
    with pytest.raises(UsageError, match="would both be written"):
        plan(expand(["in"], recursive=True), "out")
    make("pair/a.wav", "pair/b.wav")
    Path("results").mkdir()
    Path("results/a.wav").symlink_to("b.wav")
    with pytest.raises(UsageError, match="would both be written"):
        plan(expand(["pair"]), "results", existing="overwrite")


@pytest.mark.parametrize("existing", ["skip", "overwrite", "error"])
def test_output_that_is_its_own_input_is_refused(existing):
    make("a.wav")
    Path("link.wav").symlink_to("a.wav")
    os.link("a.wav", "hard.wav")
    for output in ("a.wav", "./a.wav", ".", "link.wav", "hard.wav"):
        with pytest.raises(UsageError, match="would overwrite"):
            plan(expand(["a.wav"]), output, existing=existing)
    assert Path("a.wav").read_bytes() == b"a.wav"


def test_a_deep_folder_costs_no_further_look_at_the_disk_for_each_of_its_files(monkeypatch):
    """Each look is a request to the server of a network disk. The links in a folder are resolved once for all its files."""
    looks = []
    for function in ("stat", "lstat"):
        asked = getattr(os, function)
        monkeypatch.setattr(os, function, lambda *a, asked=asked, **k: (looks.append(a), asked(*a, **k))[1])

    def count(folder):
        make(*(f"{folder}/{n}.wav" for n in range(50)))
        found = expand([folder.split("/")[0]], recursive=True)
        looks.clear()
        plan(found, "out")
        return len(looks)

    assert count("deep/2/3/4/5/6/7") < count("flat") + 50


def test_output_that_is_another_named_input_is_refused():
    make("rec/x.wav", "out/x.wav")
    with pytest.raises(UsageError, match=r"out/x.wav: the output of rec/x.wav would overwrite this input"):
        plan(expand(["rec/x.wav", "out/x.wav"]), "out", existing="overwrite")


# What is there already


def test_existing_outputs_are_skipped_overwritten_or_refused():
    make("a.wav", "b.wav", "out/a.wav")
    inputs = expand(["a.wav", "b.wav"])
    skipped = plan(inputs, "out")
    assert actions(skipped) == {"a.wav": "skip", "b.wav": "run"} and skipped[0].reason == "the output exists"
    assert actions(plan(inputs, "out", existing="overwrite")) == {"a.wav": "run", "b.wav": "run"}
    with pytest.raises(UsageError, match=r"out/a.wav: this output exists"):
        plan(inputs, "out", existing="error")


@pytest.mark.parametrize("existing", ["skip", "overwrite"])
@pytest.mark.parametrize("arguments", [["rec"], ["rec/*.wav"], ["rec/a.wav", "rec/a_denoised.wav", "rec/b.wav"]])
def test_second_run_over_a_folder_does_not_clean_the_cleaned(arguments, existing):
    make("rec/a.wav", "rec/a_denoised.wav", "rec/b.wav")
    jobs = plan(expand(arguments), existing=existing)
    first = "skip" if existing == "skip" else "run"
    assert actions(jobs) == {"rec/a.wav": first, "rec/a_denoised.wav": "skip", "rec/b.wav": "run"}
    assert "output of rec/a.wav" in next(job.reason for job in jobs if job.source.name == "a_denoised.wav")


def test_second_run_with_the_output_folder_inside_the_input_folder():
    make("rec/a.wav", "rec/b.wav", "rec/clean/a.wav")
    inputs = expand(["rec"], recursive=True)
    jobs = plan(inputs, "rec/clean")
    assert actions(jobs) == {"rec/a.wav": "skip", "rec/b.wav": "run", "rec/clean/a.wav": "skip"}
    with pytest.raises(UsageError, match="would overwrite this input"):
        plan(inputs, "rec/clean", existing="overwrite")


def test_sharded_plans_still_know_the_outputs_of_the_other_shards():
    make(*[f"rec/{n}.wav" for n in range(8)], *[f"rec/{n}_denoised.wav" for n in range(8)])
    jobs = plan(expand(["rec"]), existing="overwrite")
    run = [job.source.name for index in (1, 2) for job in shard(jobs, index, 2) if job.action == "run"]
    assert sorted(run) == [f"{n}.wav" for n in range(8)]


# Places that cannot be written


def test_target_that_is_a_folder_and_folder_that_is_a_file():
    make("a.wav", "b.wav", "file")
    Path("out/a.wav").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"out/a.wav: .* is a folder"):
        plan(expand(["a.wav"]), "out", existing="overwrite")
    for output in ("file", "file/below", "file/below/"):
        with pytest.raises(UsageError, match="file: this is not a folder"):
            plan(expand(["a.wav"]), output)
    make("one.wav")
    with pytest.raises(UsageError, match="cannot go into one file"):
        plan(expand(["a.wav", "b.wav"]), "one.wav")


def test_video_name_as_output_of_a_recording_is_refused():
    make("a.wav")
    with pytest.raises(UsageError, match=r"a.wav has no pictures for a video: write the sound to clip.wav"):
        plan(expand(["a.wav"]), "clip.mp4")
    with pytest.raises(UsageError, match=r"\.wma cannot be written: write the sound to clip.wav"):
        plan(expand(["a.wav"]), "clip.wma")


@pytest.mark.parametrize("name", ["clip.wave1", "clip.mp9", "notes.txt"])
def test_output_that_ends_like_no_sound_is_no_folder_by_mistake(name):
    make("a.wav", "b.wav", "in/c.wav")
    Path("kept.new").mkdir()
    with pytest.raises(UsageError, match=rf"{name}: .* is no kind of sound: write \w+\.wav, or {name}/ for a folder"):
        plan(expand(["a.wav"]), name)
    assert targets(plan(expand(["a.wav"]), f"{name}/")) == [f"{name}/a.wav"]
    assert targets(plan(expand(["a.wav"]), "v1.2")) == ["v1.2/a.wav"]
    assert targets(plan(expand(["a.wav"]), "kept.new")) == ["kept.new/a.wav"]
    assert targets(plan(expand(["in"]), name)) == [f"{name}/c.wav"]
    assert targets(plan(expand(["a.wav", "b.wav"]), name)) == [f"{name}/a.wav", f"{name}/b.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permission bits")
def test_folder_without_write_permission_is_refused_before_work(unprivileged):
    make("a.wav")
    Path("locked").mkdir(mode=0o555)
    with unprivileged():
        for output in ("locked", "locked/new/folder", "locked/b.wav"):
            with pytest.raises(UsageError, match="locked: nothing can be written into this folder"):
                plan(expand(["a.wav"]), output)


def test_names_up_to_255_bytes_are_taken_and_longer_ones_refused():
    name = "ä" * 123 + ".wav"  # 250 bytes: fits, but not with _denoised
    make(name)
    assert targets(plan(expand([name]), "out")) == [f"out/{name}"]
    with pytest.raises(UsageError, match="more than 255 bytes"):
        plan(expand([name]))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not store such names")
def test_names_that_are_not_utf8():
    name = os.fsdecode(b"caf\xe9.wav")
    make(name, "b.wav")
    jobs = plan(expand(["."]))
    assert os.fsencode(jobs[1].target) == b"caf\xe9_denoised.wav"


def test_a_name_too_long_in_a_folder_fails_alone(tmp_path):
    for name in ("a", "x" * 248):
        (tmp_path / f"{name}.wav").touch()
    first, second = plan(expand([str(tmp_path)]))
    assert not first.problem and "more than 255 bytes: choose a shorter one" in second.problem
