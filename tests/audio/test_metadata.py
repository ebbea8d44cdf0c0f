"""Chapters, cue sheets, time codes and loudness fields: carried, made true, or named."""

import re
import struct
from pathlib import Path, PurePath

import mutagen
import numpy as np
import pytest
from mutagen import apev2, id3

from enhance_cli.audio.containers.chunks import read_payload, walk
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.write import AudioWriter, OutputFormat
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.job import Job
from tests import audio_zoo as zoo

FIELD = Path(__file__).parents[1] / "audio_files" / "field"
TIMECODE = FIELD / "timecode_ixml.wav"


def enhance(source, target, **options):
    job = Job(source, PurePath(source.name), target)
    return enhance_file(job, lambda blocks, *_: blocks, FileOptions(**options))


def chunk(path, name):
    with open(path, "rb") as file:
        form = walk(file)
        names = [each.name for each in form.chunks]
        assert name != b"bext" or names.index(b"bext") < names.index(b"data")
        return read_payload(file, form.find(name))


def ixml(path):
    return {k.decode(): v.decode() for k, v in re.findall(rb"<([A-Z_]+)>([^<]+)</", chunk(path, b"iXML"))}


TEN_O_CLOCK = 10 * 3600 * 48000 + 1234


@pytest.mark.parametrize(
    ("options", "reference", "rate", "bits"),
    [
        ({}, TEN_O_CLOCK, 48000, 16),
        ({"start": 1.0}, TEN_O_CLOCK + 48000, 48000, 16),
        ({"sample_rate": 96000, "bit_depth": "24"}, 2 * TEN_O_CLOCK, 96000, 24),
        ({"sample_rate": 24000, "start": 0.5}, TEN_O_CLOCK // 2 + 12000, 24000, 16),
    ],
)
def test_time_rate_and_depth_of_a_broadcast_wav_are_true(options, reference, rate, bits, tmp_path):
    target = tmp_path / "a.wav"
    enhance(TIMECODE, target, **options)
    assert struct.unpack_from("<Q", chunk(target, b"bext"), 338)[0] == reference
    said = ixml(target)
    high, low = (int(said[f"TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_{half}"]) for half in ("HI", "LO"))
    assert high << 32 | low == reference
    assert (said["FILE_SAMPLE_RATE"], said["TIMESTAMP_SAMPLE_RATE"]) == (str(rate), str(rate))
    assert said["AUDIO_BIT_DEPTH"] == str(bits) and said["SCENE"] == "12"
    with open_audio(target) as audio:
        assert audio.info.rate == rate and sum(b.shape[1] for b in audio.blocks()) == audio.info.frames


def test_without_a_change_the_chunks_are_the_same_bytes(tmp_path):
    enhance(TIMECODE, tmp_path / "a.wav")
    for name in (b"bext", b"iXML"):
        assert chunk(tmp_path / "a.wav", name) == chunk(TIMECODE, name)


def test_after_a_gain_the_loudness_fields_are_new(tmp_path):
    fields = enhance(TIMECODE, tmp_path / "a.wav", loudness=-30.0)
    value, *others = struct.unpack_from("<5h", chunk(tmp_path / "a.wav", b"bext"), 412)
    assert value == pytest.approx(100 * fields["loudness_after"], abs=1.5) and set(others) == {0x7FFF}


def chapters(path):
    with open_audio(path) as audio:
        if audio.info.chapters:
            return [(round(c.start, 2), c.title) for c in audio.info.chapters]
    file = mutagen.File(path)
    if isinstance(file.tags, id3.ID3):
        return [(c.start_time / 1000, str(c.sub_frames["TIT2"])) for c in sorted(file.tags.getall("CHAP"), key=str)]
    return [(float(file[f"CHAPTER00{n}"][0][-6:]), file[f"CHAPTER00{n}NAME"][0]) for n in (1, 2)]


@pytest.mark.parametrize("suffix", [".m4a", ".m4b", ".mp3", ".flac", ".ogg", ".opus"])
def test_chapters_are_carried_to_every_format_that_holds_them(suffix, tmp_path):
    first = tmp_path / f"a{suffix}"
    assert "chapters" not in enhance(FIELD / "chapters.m4a", first)["tags_lost"]
    assert chapters(first) == [(0, "Opening"), (2, "On the quay")]
    assert "chapters" not in enhance(first, tmp_path / f"b{suffix}")["tags_lost"]
    assert chapters(tmp_path / f"b{suffix}") == [(0, "Opening"), (2, "On the quay")]
    enhance(first, tmp_path / f"c{suffix}", start=1.0)
    assert chapters(tmp_path / f"c{suffix}") == [(0, "Opening"), (1, "On the quay")]


def test_chapters_become_cue_points_of_a_wav_and_are_named_where_there_is_no_place(tmp_path):
    assert enhance(FIELD / "chapters.m4a", tmp_path / "a.wav")["tags_lost"] == []
    cue = chunk(tmp_path / "a.wav", b"cue ")
    assert struct.unpack_from("<I", cue)[0] == 2 and struct.unpack_from("<II", cue, 28)[1] == 2 * 44100
    assert b"On the quay" in (tmp_path / "a.wav").read_bytes()
    assert "chapters" in enhance(FIELD / "chapters.m4a", tmp_path / "a.caf")["tags_lost"]


def test_a_cue_sheet_stays_with_a_flac_and_is_named_elsewhere(tmp_path):
    enhance(FIELD / "cuesheet.flac", tmp_path / "a.flac")
    before, after = (mutagen.File(path).cuesheet for path in (FIELD / "cuesheet.flac", tmp_path / "a.flac"))
    assert after == before and len(after.tracks) == 3
    assert "cuesheet" in enhance(FIELD / "cuesheet.flac", tmp_path / "a.wav")["tags_lost"]
    assert "cuesheet" in enhance(FIELD / "cuesheet.flac", tmp_path / "b.flac", start=1.0)["tags_lost"]


def mp3(path):
    with AudioWriter(path, OutputFormat("MP3", "MPEG_LAYER_III", 48000, ".mp3", 64000), 1) as writer:
        writer.write(zoo.noise(frames=24000))
    return path


def test_id3_keeps_its_version_and_replay_gain_goes_with_a_gain(tmp_path):
    source = mp3(tmp_path / "a.mp3")
    for version in (3, 4):
        tags = id3.ID3()
        tags.add(id3.TIT2(encoding=1, text="Title"))
        tags.add(id3.TXXX(encoding=1, desc="replaygain_track_gain", text="-3 dB"))
        tags.save(source, v2_version=version)
        assert enhance(source, tmp_path / "b.mp3")["tags_lost"] == []
        assert (tmp_path / "b.mp3").read_bytes()[3] == version
        lost = enhance(source, tmp_path / "c.mp3", loudness=-35.0)["tags_lost"]
        assert lost == ["TXXX:replaygain_track_gain"] and id3.ID3(tmp_path / "c.mp3")["TIT2"] == "Title"


def test_ape_tags_of_an_mp3_are_carried_or_named(tmp_path):
    source = mp3(tmp_path / "a.mp3")
    tags = apev2.APEv2()
    tags["Title"], tags["Artist"], tags["Mood"] = "Name", "Someone", "calm"
    tags.save(source)
    assert enhance(source, tmp_path / "b.mp3")["tags_lost"] == ["Mood"]
    assert id3.ID3(tmp_path / "b.mp3")["TIT2"] == "Name" and id3.ID3(tmp_path / "b.mp3")["TPE1"] == "Someone"


@pytest.mark.parametrize(
    ("suffix", "muxer", "codec"),
    [
        ("wma", "asf", "wmav2"),
        ("wv", "wv", "wavpack"),
        ("tta", "tta", "tta"),
        ("mka", "matroska", "libmp3lame"),
        ("avi", "avi", "mp2"),
    ],
)
def test_texts_of_formats_that_only_ffmpeg_reads_are_carried(suffix, muxer, codec, tmp_path):
    import av

    source = tmp_path / f"a.{suffix}"
    with av.open(str(source), "w", format=muxer) as file:
        file.metadata.update({"title": "Name", "artist": "Someone"})
        stream = file.add_stream(codec, rate=48000, layout="mono")
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    fields = enhance(source, tmp_path / "b.flac")
    assert mutagen.File(tmp_path / "b.flac")["title"] == ["Name"], fields["tags_lost"]
    assert mutagen.File(tmp_path / "b.flac")["artist"] == ["Someone"]


def test_an_annotation_and_texts_of_caf(tmp_path):
    path = zoo.save(tmp_path / "a.au", zoo.noise(), container="AU")
    raw = path.read_bytes()
    path.write_bytes(raw[:4] + struct.pack(">I", 40) + raw[8:24] + b"A note".ljust(16, b"\0") + raw[24:])
    assert enhance(path, tmp_path / "b.wav")["tags_lost"] == ["annotation"]
    path = zoo.save(tmp_path / "a.caf", zoo.noise(), container="CAF")
    text = struct.pack(">I", 1) + b"title\0Name\0"
    with open(path, "ab") as file:
        file.write(struct.pack(">4sq", b"info", len(text)) + text)
    assert enhance(path, tmp_path / "b.caf")["tags_lost"] == []
    assert text in (tmp_path / "b.caf").read_bytes()
    assert enhance(path, tmp_path / "c.flac")["tags_lost"] == []
    assert mutagen.File(tmp_path / "c.flac")["title"] == ["Name"]
