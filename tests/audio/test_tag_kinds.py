"""Descriptions in unusual places: each is carried, made true of the new samples, or named as lost."""

import io
import re
import struct

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import aiff, apev2, id3, mp4

from enhance_cli.audio.read import open_audio
from enhance_cli.audio.tags.carry import chapters_of
from enhance_cli.audio.tags.mark import read_mark
from tests import audio_zoo as zoo
from tests.audio.test_metadata import chapters, chunk, enhance, ixml, mp3
from tests.audio.test_padding import encode, id3v2, tone

RATE = 48000
PICTURE = b"\x89PNG\r\n" + bytes(range(200))


def tagged_mp3(path, *frames, version=4):
    mp3(path)
    tags = id3.ID3()
    for frame in frames:
        tags.add(frame)
    tags.save(path, v2_version=version)
    return path


def comment(desc, text):
    return id3.COMM(encoding=3, lang="eng", desc=desc, text=text)


def wav(path, *chunks, seconds=3, channels=1):
    path = zoo.save(path, zoo.noise(channels, seconds * RATE), RATE)
    raw = path.read_bytes() + b"".join(chunks)
    path.write_bytes(raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:])
    return path


CUE = struct.pack("<I", 2) + b"".join(
    struct.pack("<II4sIII", n, at, b"data", 0, 0, at) for n, at in ((1, 0), (2, 96000))
)
LABELS = (
    b"adtl"
    + zoo.chunk(b"labl", struct.pack("<I", 1) + b"Intro\0")
    + zoo.chunk(b"labl", struct.pack("<I", 2) + b"Talk\0")
)


@pytest.mark.parametrize("order", [("", "iTunNORM", "iTunSMPB", "iTunPGAP"), ("iTunNORM", "iTunSMPB", "iTunPGAP", "")])
def test_numbers_that_itunes_keeps_in_comments_are_no_comment(order, tmp_path):
    source = tagged_mp3(tmp_path / "a.mp3", *(comment(desc, desc or "Said") for desc in order))
    assert enhance(source, tmp_path / "b.flac")["tags_lost"] == ["COMM:iTunNORM:eng"]
    assert mutagen.File(tmp_path / "b.flac")["comment"] == ["Said"]
    enhance(source, tmp_path / "b.mp3")
    assert {"COMM::eng", "COMM:iTunNORM:eng"} == {key for key in id3.ID3(tmp_path / "b.mp3") if key.startswith("COMM")}


@pytest.mark.parametrize(("said", "whole"), [("128", "128"), ("127.6 BPM", "128"), ("fast", "0")])
def test_the_tempo_of_a_song_is_carried_and_as_a_whole_number_to_m4a(said, whole, tmp_path):
    source = tagged_mp3(tmp_path / "a.mp3", id3.TBPM(encoding=3, text=said))
    assert enhance(source, tmp_path / "b.flac")["tags_lost"] == []
    assert mutagen.File(tmp_path / "b.flac")["bpm"] == [said]
    for name in ("c.m4a", "d.mp3", "e.ogg", "f.caf"):
        assert enhance(tmp_path / "b.flac", tmp_path / name)["tags_lost"] == []
        enhance(tmp_path / name, tmp_path / "again.flac")
        assert mutagen.File(tmp_path / "again.flac")["bpm"] == [whole if name == "c.m4a" else said], name


@pytest.mark.parametrize("genre", ["(17)", "17", "Rock"])
def test_a_genre_by_number_is_written_by_name(genre, tmp_path):
    enhance(tagged_mp3(tmp_path / "a.mp3", id3.TCON(encoding=3, text=genre)), tmp_path / "b.flac")
    assert mutagen.File(tmp_path / "b.flac")["genre"] == ["Rock"]


def test_times_in_id3_are_not_those_of_another_beginning(tmp_path):
    lyrics = id3.SYLT(encoding=3, lang="eng", format=2, type=1, desc="", text=[("la", 1500)])
    title = id3.TIT2(encoding=3, text="Name")
    source = tagged_mp3(tmp_path / "a.mp3", title, lyrics, id3.ETCO(format=2, events=[(3, 100)]))
    assert enhance(source, tmp_path / "b.mp3")["tags_lost"] == []
    assert "SYLT::eng" in id3.ID3(tmp_path / "b.mp3")
    assert enhance(source, tmp_path / "c.mp3", start=0.1)["tags_lost"] == ["ETCO", "SYLT::eng"]
    assert "SYLT::eng" not in id3.ID3(tmp_path / "c.mp3")


@pytest.mark.parametrize("version", [3, 4])
def test_chapters_of_an_mp3_keep_their_links_and_pictures_and_its_version(version, tmp_path):
    link = id3.WXXX(encoding=1, desc="", url="http://x")
    one = id3.CHAP(element_id="one", start_time=0, end_time=300, sub_frames=[id3.TIT2(encoding=1, text="One"), link])
    two = id3.CHAP(element_id="two", start_time=300, end_time=500, sub_frames=[id3.TIT2(encoding=1, text="Two")])
    table = id3.CTOC(element_id="toc", flags=3, child_element_ids=["one", "two"], sub_frames=[])
    source = tagged_mp3(tmp_path / "a.mp3", one, two, table, version=version)
    assert enhance(source, tmp_path / "b.mp3", start=0.1)["tags_lost"] == []
    assert (tmp_path / "b.mp3").read_bytes()[3] == version
    found = id3.ID3(tmp_path / "b.mp3")
    assert found["CHAP:one"].sub_frames["WXXX:"].url == "http://x" and found["CHAP:one"].end_time == 200
    assert found["CTOC:toc"].child_element_ids == ["one", "two"] and found["CHAP:two"].start_time == 200
    assert enhance(source, tmp_path / "b.flac")["tags_lost"] == ["WXXX: of chapters"]
    assert chapters(tmp_path / "b.flac") == [(0, "One"), (0.3, "Two")]


@pytest.mark.parametrize("suffix", [".mp3", ".opus", ".flac", ".ogg"])
def test_chapters_of_any_format_come_into_m4a(suffix, tmp_path):
    source = tmp_path / f"a{suffix}"
    cues = zoo.chunk(b"cue ", CUE), zoo.chunk(b"LIST", LABELS)
    assert enhance(wav(tmp_path / "a.wav", *cues), source)["tags_lost"] == []
    assert enhance(source, tmp_path / "b.m4a", start=0.5)["tags_lost"] == []
    assert chapters(tmp_path / "b.m4a") == [(0, "Intro"), (1.5, "Talk")]


def test_cue_points_and_their_labels_move_with_the_samples(tmp_path):
    source = wav(tmp_path / "a.wav", zoo.chunk(b"cue ", CUE), zoo.chunk(b"LIST", LABELS))
    assert enhance(source, tmp_path / "b.wav", start=1.0, sample_rate=24000)["tags_lost"] == []
    (count, name, _, _, _, _, at) = struct.unpack("<III4sIII", chunk(tmp_path / "b.wav", b"cue "))
    assert (count, name, at) == (1, 2, 24000) and b"Talk" in chunk(tmp_path / "b.wav", b"LIST")


@pytest.mark.parametrize("name", [b"MD5 ", b"ovvw"])
def test_checksums_and_overviews_of_the_old_samples_are_named(name, tmp_path):
    fields = enhance(wav(tmp_path / "a.wav", zoo.chunk(name, bytes(16))), tmp_path / "b.wav")
    assert fields["tags_lost"] == [name.decode().strip()] and name not in (tmp_path / "b.wav").read_bytes()


def test_timers_of_a_cart_chunk_move(tmp_path):
    timers = struct.pack("<4sI", b"AUDs", 24000) + struct.pack("<4sI", b"SEC1", 96000) + bytes(48)
    source = wav(tmp_path / "a.wav", zoo.chunk(b"cart", b"0101".ljust(684, b"\0") + timers + bytes(1300)))
    enhance(source, tmp_path / "b.wav", start=1.0)
    assert chunk(tmp_path / "b.wav", b"cart")[684:748] == bytes(8) + struct.pack("<4sI", b"SEC1", 48000) + bytes(48)


IXML = (
    b"<BWFXML><SPEED><AUDIO_BIT_DEPTH>16</AUDIO_BIT_DEPTH></SPEED><SYNC_POINT_LIST><SYNC_POINT_COUNT>2</SYNC_POINT_COUNT>"
    b"<SYNC_POINT><SYNC_POINT_TYPE>RELATIVE</SYNC_POINT_TYPE><SYNC_POINT_LOW>100</SYNC_POINT_LOW></SYNC_POINT>"
    b"<SYNC_POINT><SYNC_POINT_TYPE>RELATIVE</SYNC_POINT_TYPE><SYNC_POINT_LOW>96000</SYNC_POINT_LOW></SYNC_POINT>"
    b"</SYNC_POINT_LIST><LOUDNESS><LOUDNESS_VALUE>-23</LOUDNESS_VALUE></LOUDNESS><TRACK_LIST><TRACK_COUNT>2</TRACK_COUNT>"
    b"<TRACK><CHANNEL_INDEX>1</CHANNEL_INDEX><NAME>Boom</NAME></TRACK>"
    b"<TRACK><CHANNEL_INDEX>2</CHANNEL_INDEX><NAME>Lapel</NAME></TRACK></TRACK_LIST></BWFXML>"
)


@pytest.mark.parametrize(
    ("options", "expected", "gone"),
    [
        ({"start": 1.0}, {"SYNC_POINT_LOW": "48000", "SYNC_POINT_COUNT": "1", "TRACK_COUNT": "2"}, b"<none>"),
        ({"loudness": -30.0}, {"TRACK_COUNT": "2"}, b"LOUDNESS"),
        ({"channels": "2"}, {"TRACK_COUNT": "1", "CHANNEL_INDEX": "1", "NAME": "Lapel"}, b"Boom"),
        ({"channels": "mix"}, {"TRACK_COUNT": "0"}, b"Boom"),
        ({"bit_depth": "float"}, {"AUDIO_BIT_DEPTH": "32"}, b"<none>"),
    ],
)
def test_ixml_tells_of_the_new_samples(options, expected, gone, tmp_path):
    enhance(wav(tmp_path / "a.wav", zoo.chunk(b"iXML", IXML), channels=2), tmp_path / "b.wav", **options)
    said = ixml(tmp_path / "b.wav")
    assert expected.items() <= said.items() and gone not in chunk(tmp_path / "b.wav", b"iXML")


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [*(("wav", s) for s in (".flac", ".m4a", ".mp3")), *(("aiff", s) for s in (".mp3", ".wav", ".aiff"))],
)
def test_chapters_of_id3_in_a_chunk_are_carried(kind, suffix, tmp_path):
    parts = [(0, 500, "one"), (500, 1000, "two")]
    frames = [
        id3.CHAP(element_id=title, start_time=begin, end_time=end, sub_frames=[id3.TIT2(encoding=3, text=title)])
        for begin, end, title in parts
    ]
    if kind == "wav":
        source = wav(tmp_path / "a.wav", zoo.chunk(b"id3 ", id3_chunk(*frames)), seconds=1)
    else:
        source = zoo.save(tmp_path / "a.aiff", zoo.noise(frames=RATE), RATE, "AIFF")
        file = aiff.AIFF(source)
        file.add_tags()
        file.tags.update(id3.ID3(io.BytesIO(id3_chunk(*frames))))
        file.save()
    target = tmp_path / f"b{suffix}"
    assert "chapters" not in enhance(source, target)["tags_lost"]
    with open_audio(target) as audio:
        carried = audio.info.chapters or chapters_of(target)
    assert [(round(c.start, 2), c.title) for c in carried] == [(0.0, "one"), (0.5, "two")]


def id3_chunk(*frames):
    buffer = io.BytesIO()
    tags = id3.ID3()
    for frame in (id3.TIT2(encoding=3, text="Name"), id3.TPE1(encoding=3, text="Someone"), *frames):
        tags.add(frame)
    tags.add(id3.APIC(encoding=3, mime="image/png", type=3, desc="", data=PICTURE))
    tags.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".flac", ".m4a", ".mp3", ".opus", ".aiff"])
@pytest.mark.parametrize("kind", ["wav", "aiff"])
def test_id3_in_a_chunk_is_carried_with_its_picture(kind, suffix, tmp_path):
    if kind == "wav":
        source = wav(tmp_path / "a.wav", zoo.chunk(b"id3 ", id3_chunk()))
    else:
        source = zoo.save(tmp_path / "a.aiff", zoo.noise(frames=RATE), RATE, "AIFF")
        file = aiff.AIFF(source)
        file.add_tags()
        file.tags.update(id3.ID3(io.BytesIO(id3_chunk())))
        file.save()
    target = tmp_path / f"b{suffix}"
    assert enhance(source, target)["tags_lost"] == []
    file = aiff.AIFF(target) if suffix == ".aiff" else mutagen.File(target)
    title = next(file[key] for key in ("title", "TIT2", "\xa9nam") if key in file)
    assert str(title[0]) == "Name" and (PICTURE in target.read_bytes() or suffix == ".opus")


@pytest.mark.parametrize("kind", ["flac", "wv", "tta", "aac"])
def test_id3_in_front_of_other_formats_is_carried(kind, tmp_path):
    source = tmp_path / f"a.{kind}"
    if kind == "flac":
        zoo.save(source, tone(), RATE, "FLAC")
    else:
        encode(source, tone(), {"aac": "adts"}.get(kind, kind), {"wv": "wavpack"}.get(kind, kind))
    source.write_bytes(id3v2(tmp_path) + source.read_bytes())
    assert enhance(source, tmp_path / "b.flac")["tags_lost"] == []
    assert mutagen.File(tmp_path / "b.flac")["title"] == ["Title"]


def test_pictures_of_an_ape_tag_are_carried(tmp_path):
    source = encode(tmp_path / "a.wv", tone(), "wv", "wavpack")
    tags = apev2.APEv2()
    tags["Title"], tags["Mood"] = "Name", "calm"
    tags["Cover Art (Front)"] = apev2.APEValue(b"cover.png\0" + PICTURE, apev2.BINARY)
    tags.save(source)
    assert enhance(source, tmp_path / "b.flac")["tags_lost"] == ["Mood"]
    assert mutagen.File(tmp_path / "b.flac").pictures[0].data == PICTURE
    assert sorted(enhance(source, tmp_path / "b.wav")["tags_lost"]) == ["Mood", "pictures"]


@pytest.mark.parametrize("suffix", [".flac", ".m4a", ".mp3", ".wav"])
def test_pictures_attached_to_a_matroska_are_carried_and_other_files_named(suffix, tmp_path):
    source = encode(tmp_path / "a.mka", tone(), "matroska", "flac")
    source.write_bytes(attached(source.read_bytes(), ("cover.png", "image/png", PICTURE), ("a.ttf", "font/ttf", b"x")))
    lost = enhance(source, tmp_path / f"b{suffix}")["tags_lost"]
    assert lost == ["attachment a.ttf"] + (["pictures"] if suffix == ".wav" else [])
    if suffix == ".flac":
        (picture,) = mutagen.File(tmp_path / "b.flac").pictures
        assert (picture.data, picture.mime, picture.desc) == (PICTURE, "image/png", "cover.png")
    elif suffix != ".wav":
        assert PICTURE in (tmp_path / f"b{suffix}").read_bytes()


def attached(raw, *files):
    """A Matroska file with files attached, in front of its first cluster and with a segment of unknown length."""

    def element(name, body):
        return bytes.fromhex(name) + (1 << 56 | len(body)).to_bytes(8, "big") + body

    bodies = [element("466e", n.encode()) + element("4660", m.encode()) + element("465c", d) for n, m, d in files]
    attachments = element("1941a469", b"".join(element("61a7", body) for body in bodies))
    segment, cluster = raw.index(bytes.fromhex("18538067")) + 4, raw.index(bytes.fromhex("1f43b675"))
    return raw[:segment] + b"\x01" + b"\xff" * 7 + raw[segment + 8 : cluster] + attachments + raw[cluster:]


def test_blocks_of_other_programs_stay_with_a_flac_and_are_named_elsewhere(tmp_path):
    source = zoo.save(tmp_path / "a.flac", tone(), RATE, "FLAC")
    raw = source.read_bytes()
    blocks = b"".join(b"\2" + struct.pack(">I", 8)[1:] + name + b"data" for name in (b"riff", b"ATCH"))
    source.write_bytes(raw[:42] + blocks + raw[42:])
    assert enhance(source, tmp_path / "b.flac")["tags_lost"] == []
    assert blocks[4:12] in (tmp_path / "b.flac").read_bytes() and blocks[16:] in (tmp_path / "b.flac").read_bytes()
    assert enhance(source, tmp_path / "c.flac", start=0.5)["tags_lost"] == ["APPLICATION riff"]
    assert enhance(source, tmp_path / "c.wav")["tags_lost"] == ["APPLICATION ATCH", "APPLICATION riff"]


def test_texts_that_a_phone_keeps_by_number_are_carried_and_its_place_is_named(tmp_path):
    import av

    with av.open(str(tmp_path / "a.m4a"), "w", format="ipod", options={"movflags": "use_metadata_tags"}) as file:
        file.metadata.update({"title": "Name", "com.apple.quicktime.make": "Maker"})
        stream = file.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(), format="fltp", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    for suffix, key in ((".flac", "title"), (".m4a", "\xa9nam")):
        assert enhance(tmp_path / "a.m4a", tmp_path / f"b{suffix}")["tags_lost"] == ["com.apple.quicktime.make"]
        assert mutagen.File(tmp_path / f"b{suffix}")[key] == ["Name"]


@pytest.mark.parametrize("kind", ["ogg", "flac", "mp3"])
def test_tags_of_later_recordings_in_one_file_are_named(kind, tmp_path):
    parts = []
    for number in (1, 2):
        path = tmp_path / f"{number}.{kind}"
        container, subtype = {"ogg": ("OGG", "VORBIS"), "flac": ("FLAC", "PCM_16")}.get(kind, ("MP3", "MPEG_LAYER_III"))
        zoo.save(path, tone(), RATE, container, subtype)
        file = mutagen.File(path, easy=True)
        if file.tags is None:
            file.add_tags()
        file["title"] = f"Song {number}"
        file.save()
        parts.append(path.read_bytes())
    (tmp_path / "a").write_bytes(b"".join(parts))
    assert enhance(tmp_path / "a", tmp_path / f"b.{kind}")["tags_lost"] == ["tags of recording 2"]
    assert mutagen.File(tmp_path / f"b.{kind}", easy=True)["title"] == ["Song 1"]


@pytest.mark.parametrize(("suffix", "container"), [(".w64", "W64"), (".au", "AU")])
def test_the_mark_of_w64_and_au_is_neither_sound_nor_in_the_way(suffix, container, tmp_path):
    source = zoo.save(tmp_path / f"a{suffix}", zoo.noise(2), container=container)
    enhance(source, tmp_path / f"b{suffix}", command="denoise")
    assert read_mark(tmp_path / f"b{suffix}") == "denoise"
    assert np.array_equal(soundfile.read(tmp_path / f"b{suffix}", dtype="float32")[0].T, zoo.noise(2))


def test_chunks_behind_the_samples_of_a_w64_are_no_samples(tmp_path):
    source = zoo.save(tmp_path / "a.w64", zoo.noise(), container="W64")
    guid = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    raw = source.read_bytes() + b"bext" + guid + struct.pack("<Q", 24 + 608) + bytes(608)
    source.write_bytes(raw[:16] + struct.pack("<Q", len(raw)) + raw[24:])
    assert enhance(source, tmp_path / "b.wav")["tags_lost"] == ["bext"]
    assert np.array_equal(soundfile.read(tmp_path / "b.wav", dtype="float32")[0], zoo.noise()[0])


def test_an_mp4_keeps_no_word_of_its_old_encoder(tmp_path):
    source = zoo.m4a(tmp_path)
    file = mp4.MP4(source)
    file["----:com.apple.iTunes:iTunSMPB"], file["\xa9nam"] = b" 00000000 00000840", "Name"
    file.save()
    enhance(source, tmp_path / "b.m4a")
    assert not [key for key in mp4.MP4(tmp_path / "b.m4a") if re.search("SMPB", key)]
