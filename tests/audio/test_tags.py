"""Tags: time codes, cue points, titles, pictures are carried, and what cannot be is named."""

import base64
import struct
import tracemalloc

import mutagen
import numpy as np
import pytest
from mutagen import flac, id3, mp4

from enhance_cli.audio.containers.chunks import read_payload, walk
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.tags.carry import copy_tags
from tests import audio_zoo as zoo

FORMATS = {
    "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "mp3": ("MP3",
    "MPEG_LAYER_III"),
    "wav": ("WAV", "PCM_16"),
}  # fmt: skip
PICTURE = b"\x89PNG\r\n" + bytes(range(256)) * 300


def make(folder, kind, name, rate=48000):
    """A second of noise, in the format `kind`, with a name that says nothing about it."""
    if kind == "m4a":
        return zoo.m4a(folder, frames=rate, name=name)
    container, subtype = FORMATS[kind]
    return zoo.save(folder / name, zoo.noise(2, rate), rate, container, subtype)


def tagged(folder, kind):
    path = make(folder, kind, "source")
    if kind == "wav":
        info = [
            (b"INAM", "Title é"),
            (b"IART", "Artist"),
            (b"IPRD", "Album"),
            (b"ITRK", "3/12"),
            (b"ICMT", "Said"),
        ]
        body = b"".join(zoo.chunk(name, text.encode() + b"\0") for name, text in info)
        return zoo.add_chunks(path, zoo.chunk(b"LIST", b"INFO" + body))
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if kind == "mp3":
        for frame, text in [("TIT2", "Title é"), ("TPE1", "Artist"), ("TALB", "Album"), ("TRCK", "3/12")]:
            file.tags.add(getattr(id3, frame)(encoding=3, text=text))
        file.tags.add(id3.COMM(encoding=3, lang="eng", desc="", text="Said"))
        file.tags.add(id3.APIC(encoding=0, mime="image/png", type=3, desc="", data=PICTURE))
    elif kind == "m4a":
        file.tags.update({"\xa9nam": ["Title é"], "\xa9ART": ["Artist"], "\xa9alb": ["Album"], "trkn": [(3, 12)]})
        file.tags["\xa9cmt"] = ["Said"]
        file.tags["covr"] = [mp4.MP4Cover(PICTURE, mp4.MP4Cover.FORMAT_PNG)]
        file.tags["----:com.apple.iTunes:iTunSMPB"] = [b" 00000000 00000840"]
    else:
        file["title"], file["artist"], file["album"], file["tracknumber"] = (
            "Title é",
            "Artist",
            "Album",
            "3/12",
        )
        file["comment"] = "Said"
        if kind == "flac":
            picture = flac.Picture()
            picture.data, picture.mime, picture.type = PICTURE, "image/png", 3
            file.add_picture(picture)
    file.save()
    return path


def fields(path):
    """title, artist, album, track and comment of a file, whatever it is."""
    data = path.read_bytes()
    if data[:4] == b"RIFF":
        ids = b"INAM", b"IART", b"IPRD", b"ITRK", b"ICMT"
        at = [data.index(name) for name in ids]
        return [data[i + 8 : i + 8 + struct.unpack_from("<I", data, i + 4)[0]].rstrip(b"\0").decode() for i in at]
    file = mutagen.File(path)
    if isinstance(file, mp4.MP4):
        track = "/".join(map(str, file["trkn"][0]))
        return [file["\xa9nam"][0], file["\xa9ART"][0], file["\xa9alb"][0], track, file["\xa9cmt"][0]]
    if "TIT2" in file:
        return [str(file[name]) for name in ("TIT2", "TPE1", "TALB", "TRCK", "COMM::eng")]
    return [file[name][0] for name in ("title", "artist", "album", "tracknumber", "comment")]


@pytest.mark.parametrize("before", [*FORMATS, "m4a"])
@pytest.mark.parametrize("after", [*FORMATS, "m4a"])
def test_common_tags_are_carried_between_any_two_formats(before, after, tmp_path):
    source, target = tagged(tmp_path, before), make(tmp_path, after, ".target.part")
    with open_audio(target) as audio:
        samples = np.concatenate(list(audio.blocks()), axis=1)
    lost = copy_tags(source, target)
    assert fields(target) == ["Title é", "Artist", "Album", "3/12", "Said"]
    assert all("picture" in name or name in ("APIC", "covr") for name in lost)
    with open_audio(target) as audio:
        assert np.array_equal(np.concatenate(list(audio.blocks()), axis=1), samples)


@pytest.mark.parametrize("kind", ["flac", "mp3", "m4a"])
def test_pictures_are_carried_within_a_format_and_named_where_they_cannot(kind, tmp_path):
    source = tagged(tmp_path, kind)
    assert copy_tags(source, make(tmp_path, kind, ".same.part")) == []
    assert PICTURE in (tmp_path / ".same.part").read_bytes()
    assert copy_tags(source, make(tmp_path, "wav", ".other.part")) in (["pictures"], ["APIC"], ["covr"])


@pytest.mark.parametrize(("before", "after"), [("flac", "ogg"), ("flac", "opus"), ("ogg", "flac"), ("opus", "ogg")])
def test_formats_with_vorbis_comments_carry_all_of_them_and_pictures_between_each_other(before, after, tmp_path):
    source, target = tagged(tmp_path, before), make(tmp_path, after, "target")
    file = mutagen.File(source)
    file["replaygain_track_gain"] = "-3.2 dB"
    picture = flac.Picture()
    picture.data, picture.mime, picture.type = PICTURE, "image/png", 3
    if before == "flac":
        file.clear_pictures()
        file.add_picture(picture)
    else:
        file["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    file.save()
    assert copy_tags(source, target) == []
    new = mutagen.File(target)
    assert new["title"] == ["Title é"] and new["replaygain_track_gain"] == ["-3.2 dB"]
    if after == "flac":
        assert [p.data for p in new.pictures] == [PICTURE] and "metadata_block_picture" not in new
    else:
        (kept,) = new["metadata_block_picture"]
        assert flac.Picture(base64.b64decode(kept)).data == PICTURE


def test_a_damaged_picture_is_named_and_the_rest_carried(tmp_path):
    source, target = tagged(tmp_path, "ogg"), make(tmp_path, "flac", "target")
    file = mutagen.File(source)
    file["metadata_block_picture"] = ["AAA"]
    file.save()
    assert copy_tags(source, target) == ["pictures"] and mutagen.File(target)["title"] == ["Title é"]


def test_what_the_old_encoder_said_of_its_own_samples_is_not_carried(tmp_path):
    target = make(tmp_path, "m4a", "target")
    copy_tags(tagged(tmp_path, "m4a"), target)
    assert b"iTunSMPB" not in target.read_bytes()


def chunks(path):
    with open(path, "rb") as file:
        form = walk(file)
        result = {}
        for chunk in form.chunks:
            file.seek(chunk.start)
            body = file.read(chunk.size)
            result[body[:4] if chunk.name == b"LIST" else chunk.name] = body
        return result, path.stat().st_size, path.read_bytes()


CARRIED = (b"bext", b"iXML", b"cue ", b"adtl", b"INFO", b"odd ")


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_broadcast_wave_chunks_are_carried_byte_for_byte(container, tmp_path):
    source = zoo.broadcast_wav(tmp_path)
    target = zoo.save(tmp_path / ".x.part", zoo.noise(2), zoo.RATE, container, "PCM_24")
    assert copy_tags(source, target) == []
    before, _, _ = chunks(source)
    after, size, raw = chunks(target)
    assert {name: after[name] for name in CARRIED} == {name: before[name] for name in CARRIED}
    field = struct.unpack_from("<Q", raw, 20)[0] if container == "RF64" else struct.unpack_from("<I", raw, 4)[0]
    assert field == size - 8
    with open_audio(target) as audio:
        assert np.array_equal(np.concatenate(list(audio.blocks()), axis=1), zoo.noise(2))


def time_code(path):
    return struct.unpack_from("<Q", chunks(path)[0][b"bext"], 338)[0]


def cue_points(path):
    with open(path, "rb") as file:
        body = read_payload(file, walk(file).find(b"cue "))
    return [struct.unpack_from("<I", body, at + 20)[0] for at in range(4, len(body), 24)]


def test_at_another_rate_the_time_code_and_the_cue_points_are_converted(tmp_path):
    source = zoo.broadcast_wav(tmp_path)
    target = zoo.save(tmp_path / "x", zoo.noise(2, 2 * zoo.FRAMES), 2 * zoo.RATE)
    assert copy_tags(source, target) == []
    assert time_code(source) == 12 * 3600 * zoo.RATE and time_code(target) == 12 * 3600 * 2 * zoo.RATE
    assert cue_points(target) == [2 * at for at in cue_points(source)]


def test_an_excerpt_has_the_time_code_of_its_own_beginning(tmp_path):
    source = zoo.broadcast_wav(tmp_path)
    target = zoo.save(tmp_path / "x", zoo.noise(2, zoo.RATE // 4))
    assert copy_tags(source, target, start=0.25) == []
    assert time_code(target) == time_code(source) + zoo.RATE // 4
    assert cue_points(target) == [at - zoo.RATE // 4 for at in cue_points(source)]


def test_aiff_texts_are_carried(tmp_path):
    source, target = (zoo.save(tmp_path / name, zoo.noise(), container="AIFF") for name in ("a", "b"))
    with open(source, "ab") as file:
        file.write(b"NAME" + struct.pack(">I", 6) + b"A take")
    assert copy_tags(source, target) == []
    assert chunks(target)[0][b"NAME"] == b"A take"


def test_what_has_no_place_in_the_output_is_named(tmp_path):
    source = zoo.broadcast_wav(tmp_path)
    assert copy_tags(source, make(tmp_path, "flac", "x.flac")) == ["bext", "iXML", "odd"]
    assert set(copy_tags(tagged(tmp_path, "flac"), zoo.save(tmp_path / "z", zoo.noise(), container="W64"))) >= {"title"}


def test_files_without_tags_are_left_alone(tmp_path):
    for kind in (*FORMATS, "m4a"):
        source, target = make(tmp_path, kind, f"a.{kind}"), make(tmp_path, kind, f"b.{kind}")
        assert copy_tags(source, target) == []


def test_damaged_tags_do_not_stop_the_work(tmp_path):
    source, target = tagged(tmp_path, "mp3"), make(tmp_path, "mp3", "b.mp3")
    raw = bytearray(source.read_bytes())
    raw[3:10] = b"\x04\x00\x00\x7f\x7f\x7f\x7f"
    source.write_bytes(raw)
    assert isinstance(copy_tags(source, target), list)


def test_a_chunk_that_claims_gigabytes_is_named_and_costs_nothing(tmp_path):
    source, target = zoo.broadcast_wav(tmp_path), zoo.save(tmp_path / "b.wav", zoo.noise())
    with open(source, "ab") as file:
        file.write(b"huge" + struct.pack("<I", 0xFFFFFF00) + b"little")
    tracemalloc.start()
    lost = copy_tags(source, target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "huge" in lost and peak < 1 << 20
    assert chunks(target)[0][b"iXML"].startswith(b"<?xml"), "the others are carried"
