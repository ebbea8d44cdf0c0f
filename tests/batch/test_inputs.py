"""What the words on the command line mean: real folders, globs, lists and awkward names."""

import io
import os
import sys
from pathlib import Path, PurePath

import pytest

from enhance_cli.batch.inputs import SOUND_SUFFIXES, Input, expand, shard
from enhance_cli.errors import UsageError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in [
        "b.WAV",
        "a.flac",
        "notes.txt",
        "._a.flac",
        ".a_denoised.flac.part",
        "day1/x.wav",
        "day2/x.wav",
    ]:
        path = tmp_path / "rec" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "rec"


def relatives(inputs):
    return [item.relative.as_posix() for item in inputs]


def test_folder_gives_its_audio_in_any_case_sorted_without_hidden_files(tree):
    assert relatives(expand([str(tree)])) == ["a.flac", "b.WAV"]


def test_a_folder_gives_the_rare_recordings_and_videos_that_are_read_when_named(tmp_path):
    rare = ["a.thd", "b.paf", "c.sf", "d.8svx", "e.latm", "f.nut", "g.m2ts", "h.flv", "i.wmv"]
    for name in rare:
        (tmp_path / name).write_bytes(b"\0\0\0\0\x47")
    (tmp_path / "broadcast.ts").write_bytes(b"\x47\x40\0\x10")
    (tmp_path / "index.ts").write_text("export const GAIN = 1;")
    found = expand([str(tmp_path)], searched=SOUND_SUFFIXES)
    assert sorted(item.path.name for item in found) == sorted([*rare, "broadcast.ts"])


def test_recursive_keeps_the_path_below_the_folder(tree):
    assert relatives(expand(["rec"], recursive=True)) == ["a.flac", "b.WAV", "day1/x.wav", "day2/x.wav"]


def test_quoted_globs_with_two_stars_keep_the_tree(tree):
    assert relatives(expand(["rec/**/x.wav"])) == ["day1/x.wav", "day2/x.wav"]
    assert relatives(expand([str(tree / "*.WAV")])) == ["b.WAV"]


def test_file_whose_name_looks_like_a_glob_is_taken_as_itself(tree):
    (tree / "take[1].wav").write_bytes(b"x")
    assert expand(["rec/take[1].wav"]) == [Input(Path("rec/take[1].wav"), PurePath("take[1].wav"))]


def test_each_file_comes_once_however_often_it_is_named(tree):
    found = expand(["rec/b.WAV", "./rec/../rec/b.WAV", str(tree), "rec/*.WAV"])
    assert relatives(found) == ["b.WAV", "a.flac"]


def test_list_with_comments_blank_lines_windows_ends_and_foreign_bytes(tree, tmp_path):
    if sys.platform == "linux":
        Path(os.fsdecode(b"rec/caf\xe9.wav")).write_bytes(b"x")
    lines = b"\xef\xbb\xbf# my takes\r\n\r\nrec/a.flac\r\n  # more\nrec/caf\xe9.wav\nrec/two words .wav\n"
    (tmp_path / "list.txt").write_bytes(lines)
    paths = [item.path for item in expand(["@list.txt"])]
    assert paths == [Path("rec/a.flac"), Path(os.fsdecode(b"rec/caf\xe9.wav")), Path("rec/two words .wav")]
    if sys.platform == "linux":
        assert paths[1].exists()


def test_lists_of_powershell_are_utf16(tree, tmp_path):
    wanted = [tree / "day1" / "x.wav", tree / "day2" / "x.wav"]
    for order in ("utf-16-le", "utf-16-be"):
        text = "\ufeff" + "".join(f"{path}\r\n" for path in wanted)
        (tmp_path / "list.txt").write_bytes(text.encode(order))
        assert [item.path for item in expand([f"@{tmp_path / 'list.txt'}"])] == wanted


def test_missing_file_is_left_to_fail_as_one_of_the_batch(tree):
    assert relatives(expand(["rec/gone.wav", "rec/a.flac"])) == ["gone.wav", "a.flac"]


def test_name_longer_than_any_file_system_allows_is_left_to_fail_too(tree):
    assert len(expand(["x" * 5000 + ".wav"])) == 1


def test_dash_is_standard_input():
    assert expand(["-"]) == [Input(Path("-"), PurePath("stdin.wav"))]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rec/day3*"], "no file matches"),
        (["@nowhere.txt"], "nowhere.txt: this list cannot be read"),
        ([""], "empty name"),
        ([], "no input files"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(tree, arguments, said):
    with pytest.raises(UsageError, match=said):
        expand(arguments)


def test_folder_without_audio_is_refused_and_recursive_is_suggested(tree):
    (tree / "only_below" / "deep").mkdir(parents=True)
    (tree / "only_below" / "deep" / "a.wav").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"no audio files.*--recursive"):
        expand(["rec/only_below"])
    assert relatives(expand(["rec/only_below"], recursive=True)) == ["deep/a.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permission bits")
def test_folder_that_cannot_be_read_fails_by_itself(tree, unprivileged):
    (tree / "locked").mkdir(mode=0o000)
    with unprivileged():
        found = expand(["rec"], recursive=True)
        (problem,) = [item for item in found if item.problem]
        assert "locked: this folder cannot be read" in problem.problem and len(found) > 2
        with pytest.raises(UsageError, match=r"locked: this folder cannot be read"):
            expand(["rec/locked"], recursive=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_in_a_folder_is_not_waited_for_and_a_link_to_nothing_is_told(tmp_path):
    (tmp_path / "a.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    assert [item.path.name for item in expand([str(tmp_path)])] == ["a.wav", "gone.wav"]
    assert [item.path.name for item in expand([str(tmp_path / "pipe.wav")])] == ["pipe.wav"]


def test_what_cannot_be_had_fails_by_itself_among_others(tree, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("nothing*.wav\nrec\n")
    found = expand(["rec", f"{tmp_path}/empty", "*.nothing", "@gone.txt", f"@{tmp_path}/list.txt"])
    problems = [item.problem for item in found if item.problem]
    said = ["no audio files in this folder", "no file matches", "this list cannot be read", "no file matches"]
    assert len(problems) == 4 and all(part in problem for part, problem in zip(said, problems))
    assert [item for item in found if not item.problem] == expand(["rec"])


def test_lists_with_nul_from_standard_input_and_names_that_begin_with_at(tree, tmp_path, monkeypatch):
    odd = tmp_path / "a\nb.wav"
    odd.touch()
    (tmp_path / "list").write_bytes(os.fsencode(odd) + b"\0")
    assert [item.path for item in expand([f"@{tmp_path}/list"])] == [odd]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(odd) + b"\0")))
    assert [item.path for item in expand(["@-"])] == [odd]
    Path("@home.wav").touch()
    assert [item.path for item in expand(["@home.wav"])] == [Path("@home.wav")]


def test_quoted_pattern_below_a_folder_with_brackets(tree):
    Path("Show [2024]/one").mkdir(parents=True)
    Path("Show [2024]/one/a.wav").touch()
    (found,) = expand(["Show [2024]/*/*.wav"])
    assert (found.path, found.relative) == (Path("Show [2024]/one/a.wav"), PurePath("one/a.wav"))


def test_shards_are_disjoint_complete_and_unmoved_by_new_files():
    old = [Input(Path(f"/r/{n}.wav"), PurePath(f"{n}.wav")) for n in range(60)]
    new = [Input(Path(f"/r/new{n}.wav"), PurePath(f"new{n}.wav")) for n in range(60)]
    parts = [shard(old, index, 4) for index in (1, 2, 3, 4)]
    assert sorted((item for part in parts for item in part), key=old.index) == old
    assert all(5 <= len(part) <= 25 for part in parts)
    for index, part in enumerate(parts, start=1):
        assert [item for item in shard(new + old, index, 4) if item in old] == part


def test_shards_do_not_depend_on_where_the_folder_is_mounted():
    here = [Input(Path(f"/a/{n}.wav"), PurePath(f"{n}.wav")) for n in range(20)]
    there = [Input(Path(f"/b/c/{n}.wav"), PurePath(f"{n}.wav")) for n in range(20)]
    assert relatives(shard(here, 1, 3)) == relatives(shard(there, 1, 3))


@pytest.mark.parametrize(("index", "count"), [(0, 2), (3, 2), (1, 0)])
def test_shard_that_does_not_exist_is_refused(index, count):
    with pytest.raises(UsageError):
        shard([], index, count)
