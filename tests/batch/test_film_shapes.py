"""Videos whose pixels are no squares keep their shape, also if only the container names it."""

import shutil
import zlib
from fractions import Fraction

import pytest

from enhance_cli.audio.film.matroska_shape import set_shapes
from tests import films
from tests.batch.test_films import clean

pytestmark = pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs the programs of FFmpeg")


def shape(path) -> str:
    return films.streams(path)[0].get("display_aspect_ratio", "unknown")


@pytest.mark.parametrize(
    "name, codec, sound, targets",
    [
        ("a.mov", "prores", "pcm_s16le", ["b.mov", "b.mkv"]), ("a.webm", "libvpx-vp9", "libopus", ["b.webm"]),
        ("a.mkv", "libx264", "flac", ["b.mkv", "b.mp4"]), ("a.avi", "mpeg4", "pcm_s16le", ["b.avi", "b.mkv"]),
    ],
)  # fmt: skip
def test_pictures_keep_their_shape(tmp_path, name, codec, sound, targets):
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-vf", "setsar=64/45", "-c:v", codec,
        "-c:a", sound, tmp_path / name,
    )  # fmt: skip
    for target in targets:
        clean(tmp_path / name, tmp_path / target)
        assert shape(tmp_path / target) == shape(tmp_path / name) != "4:3"
        assert films.packets(tmp_path / target)[0] == films.packets(tmp_path / name)[0]


@pytest.mark.slow
def test_a_shape_that_only_the_container_names_wins(tmp_path):
    source = films.simple(tmp_path / "a.mkv", "aac", 0.0, "-aspect", "4:3")
    films.ffmpeg("-i", source, "-c", "copy", "-aspect", "16:9", tmp_path / "b.mkv")
    for target in ("c.mkv", "c.mp4"):
        clean(tmp_path / "b.mkv", tmp_path / target)
        assert shape(tmp_path / target) == shape(tmp_path / "b.mkv") == "16:9"


def test_the_header_of_matroska_keeps_its_length_and_has_a_right_sum(tmp_path):
    path = films.simple(tmp_path / "a.mkv", "aac")
    clean(path, tmp_path / "b.mkv")
    before = (tmp_path / "b.mkv").read_bytes()
    tracks = before.rindex(bytes.fromhex("1654AE6B"), 0, 2000)  # behind the list of positions
    for number in range(1, 200):  # ratios of one to three bytes each, which leave more or less room
        set_shapes(tmp_path / "b.mkv", {1: Fraction(number, 7 + 300 * (number % 3))}, ratios=number % 2 == 0)
        after = (tmp_path / "b.mkv").read_bytes()
        size = int.from_bytes(after[tracks + 4 : tracks + 6], "big") & 0x3FFF
        data = after[tracks + 6 : tracks + 6 + size]
        assert data[:2] == b"\xbf\x84" and int.from_bytes(data[2:6], "little") == zlib.crc32(data[6:])
        assert (after[:tracks], after[tracks + 6 + size :]) == (before[:tracks], before[tracks + 6 + size :])
    assert len(films.streams(tmp_path / "b.mkv")) == 2


def test_files_that_are_not_matroska_stay_as_they_are(tmp_path):
    for content in (b"", b"\x1a", bytes(100), b"\x1a\x45\xdf\xa3\x84abcd" + bytes(3), b"\xff" * 50):
        (tmp_path / "a.mkv").write_bytes(content)
        set_shapes(tmp_path / "a.mkv", {1: Fraction(4, 3)}, ratios=True)
        assert (tmp_path / "a.mkv").read_bytes() == content
