"""Files of folders: links, circles of links, pipes, hidden files."""

import os

import pytest

from enhance_cli.audio.search import find_files
from enhance_cli.batch.inputs import expand

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes of POSIX")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """in/{a.wav, sub/b.wav}, elsewhere/c.wav behind the link in/linked, and links that lead in a circle and upwards."""
    for name in ("in/a.wav", "in/sub/b.wav", "in/.hidden/x.wav", "in/._a.wav", "elsewhere/c.wav", "x.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "in" / "pipe.wav")
    links = {
        "in/linked": "../elsewhere",
        "in/sub/circle": "..",
        "in/again": "sub",
        "in/up": "../..",
        "elsewhere/back": "../in",
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_linked_folders_are_searched_once_and_no_circle_is_followed(tree):
    found = find_files(tree / "in", {".wav"})
    assert [path.relative_to(tree / "in").as_posix() for path in found] == ["a.wav", "linked/c.wav", "sub/b.wav"]
    assert [item.relative.as_posix() for item in expand(["in"], recursive=True)] == [
        "a.wav",
        "linked/c.wav",
        "sub/b.wav",
    ]
    assert [path.name for path in find_files(tree / "in", {".wav"}, recursive=False)] == ["a.wav"]


def test_two_stars_take_each_file_once_where_links_lead_in_circles(tree):
    for pattern in ("in/**/*.wav", "in/**/**/*.wav", "*/**/[abc].wav"):
        assert sorted({item.path.name for item in expand([pattern])}) == ["a.wav", "b.wav", "c.wav"]
    assert len(expand(["in/**/*.wav"])) == 3


def test_a_link_to_nothing_is_a_file_that_fails_by_itself(tree):
    (tree / "in" / "gone.wav").symlink_to("nowhere.wav")
    assert "gone.wav" in [path.name for path in find_files(tree / "in", {".wav"})]
