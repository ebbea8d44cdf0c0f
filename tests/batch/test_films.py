"""Videos: only the sound is replaced, everything else is copied packet by packet, in step with the picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from enhance_cli.audio.film.formats import film_format
from enhance_cli.audio.film.rewrite import FilmEncoder
from enhance_cli.audio.formats import Film
from enhance_cli.audio.read import open_audio
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.job import Job
from enhance_cli.batch.outputs import plan
from enhance_cli.errors import AudioError, NothingToDo, OutputError, UsageError
from tests import films

pytestmark = pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs the programs of FFmpeg")


def unchanged(blocks, rate, channels, level):
    yield from blocks


def halved(blocks, rate, channels, level):
    for block in blocks:
        yield block * block.dtype.type(0.5)


def clean(source: Path, target: Path, process=unchanged, **options) -> dict:
    job = Job(source, Path(source.name), target)
    return enhance_file(job, process, FileOptions(command="denoise", **options))


COMMON = [("a.mkv", "aac"), ("a.mp4", "aac"), ("a.mov", "pcm_s16be"), ("a.webm", "libopus"), ("a.avi", "pcm_s16le")]
OTHERS = [
    ("a.mkv", "ac3"), ("a.mkv", "eac3"), ("a.mkv", "libopus"), ("a.mkv", "libmp3lame"), ("a.mkv", "flac"),
    ("a.mkv", "pcm_s24le"), ("a.mkv", "mp2"), ("a.mp4", "alac"), ("a.mp4", "ac3"), ("a.mp4", "libmp3lame"),
    ("a.m4v", "aac"), ("a.mov", "aac"), ("a.mov", "pcm_s24le"), ("a.avi", "libmp3lame"), ("a.avi", "ac3"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name, codec", [*COMMON, *(pytest.param(*film, marks=pytest.mark.slow) for film in OTHERS)])
@pytest.mark.parametrize("late", [0.0, 0.25])
def test_pictures_are_copied_and_the_sound_stays_in_step(tmp_path, name, codec, late):
    source, target = films.simple(tmp_path / name, codec, late), tmp_path / f"out_{name}"
    notes = clean(source, target, halved)["notes"]
    chunks = source.suffix == ".avi" and codec != "pcm_s16le" and late > 0  # FFmpeg writes the delay as empty ones
    assert [note for note in notes if not (chunks and note.startswith("1 gaps in the time stamps, 0.2"))] == []
    assert len(notes) == chunks
    before, after = films.streams(source), films.streams(target)
    assert [stream["codec_name"] for stream in before] == [stream["codec_name"] for stream in after]
    assert films.packets(source)[0] == films.packets(target)[0]
    if chunks:  # which its own decoder passes over, so that the sound of the source is early: here it is in step again
        assert np.allclose(films.sound_clicks(source), np.subtract(films.CLICKS, late), atol=0.025)
        assert np.allclose(films.sound_clicks(target), films.flashes(target), atol=0.032)  # a chunk
    else:
        assert np.allclose(films.sound_clicks(target), films.sound_clicks(source), atol=0.001)
    if source.suffix in (".mp4", ".mov", ".m4v"):  # there the source is in step itself, and time counted in samples
        assert before[1]["start_time"] == after[1]["start_time"]
        assert np.allclose(films.sound_clicks(target), films.flashes(target), atol=0.001)
    assert np.abs(films.decoded(target)).max() == pytest.approx(np.abs(films.decoded(source)).max() / 2, rel=0.1)


@pytest.mark.parametrize(
    "muxer, suffix, codec",
    [("mov", ".mov", "pcm_f64le"), ("mov", ".mov", "pcm_f64be"), ("matroska", ".mkv", "pcm_f64le")],
)
def test_floats_of_64_bits_stay(muxer, suffix, codec, tmp_path):
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    samples = np.random.default_rng(0).standard_normal((1, 9000)) / 7
    with av.open(str(source), "w", format=muxer) as file:
        stream = file.add_stream(codec, rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="dbl", layout="mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
    assert clean(source, target)["notes"] == []
    with open_audio(target) as audio:
        assert audio.info.subtype == "DOUBLE" and audio.info.codec == codec
        assert np.array_equal(np.concatenate(list(audio.blocks()), axis=1), samples)


@pytest.mark.parametrize("suffix, told", [(".mp4", True), (".mkv", False)])
def test_loudspeakers_that_a_video_does_not_name_are_told(suffix, told, tmp_path):
    """FLAC in MP4 takes three channels for left, right and center."""
    source = tmp_path / "a.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i",
         "aevalsrc=sin(1000*t)|sin(2000*t)|sin(300*t):s=48000:d=1:c=2.1", "-c:v", "mpeg4", "-t", "1", "-c:a", "flac", source],
        check=True,
    )  # fmt: skip
    notes = clean(source, tmp_path / f"b{suffix}")["notes"]
    assert notes == (["this MP4 does not name the loudspeakers of its channels, FL FR LFE"] if told else [])


def kept(stream: dict) -> dict:
    """What must not change of a stream."""
    names = ("codec_name", "profile", "width", "height", "pix_fmt", "color_primaries", "color_transfer", "color_space",
             "r_frame_rate", "avg_frame_rate", "channels", "channel_layout", "sample_rate", "start_time",
             "extradata_size")  # fmt: skip
    tags = {
        name: text for name, text in stream.get("tags", {}).items() if name not in ("DURATION", "ENCODER", "encoder")
    }
    if stream["codec_type"] == "attachment":
        names = ("codec_name", "extradata_size")
    return {name: stream[name] for name in names if name in stream} | {"flags": stream["disposition"], "tags": tags}


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    return films.rich(folder / "film.mkv", folder)


@pytest.mark.slow
@pytest.mark.parametrize("track", [None, "2", "fra"])
def test_all_but_one_track_of_a_film_is_as_it_was(film, tmp_path, track):
    target = tmp_path / "clean.mkv"
    clean(film, target, halved, track=track)
    number = {None: 1, "2": 2, "fra": 3}[track]
    before, after = films.streams(film), films.streams(target)
    sound = [stream["index"] for stream in before if stream["codec_type"] == "audio"][number - 1]
    assert [kept(stream) for stream in before if stream["index"] != sound] == [
        kept(stream) for stream in after if stream["index"] != sound
    ]
    old, new = films.packets(film), films.packets(target)
    assert old[sound] != new[sound]
    assert {index: found for index, found in old.items() if index != sound} == {
        index: found for index, found in new.items() if index != sound
    }
    changed = {**kept(before[sound])}, {**kept(after[sound])}
    assert float(changed[0].pop("start_time")) == pytest.approx(float(changed[1].pop("start_time")), abs=0.0221)
    assert [values.pop("extradata_size", None) is None for values in changed]
    assert changed[0] == changed[1]
    assert films.probe(film, "-show_chapters") == films.probe(target, "-show_chapters")
    tags = films.probe(target, "-show_format")["format"]["tags"]
    assert (tags["title"], tags["ARTIST"]) == ("The Film", "Someone")
    assert np.allclose(films.sound_clicks(target, number - 1), films.sound_clicks(film, number - 1), atol=0.001)


def test_attachments_are_copied(film, tmp_path):
    target = tmp_path / "clean.mkv"
    clean(film, target)
    for path, folder in ((film, tmp_path / "before"), (target, tmp_path / "after")):
        folder.mkdir()
        for number, name in enumerate(("font.ttf", "notes.txt")):
            command = [
                "ffmpeg",
                "-v",
                "error",
                "-y",
                f"-dump_attachment:t:{number}",
                str(folder / name),
                "-i",
                str(path),
            ]
            subprocess.run(command, capture_output=True)
    for name in ("font.ttf", "notes.txt"):
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes() != b""


def test_the_old_track_stays_behind_the_new_one_if_that_is_asked_for(film, tmp_path):
    target = tmp_path / "both.mkv"
    clean(film, target, halved, track="2", keep_original=True)
    before, after = films.streams(film), films.streams(target)
    assert len(after) == len(before) + 1
    sounds = [stream for stream in after if stream["codec_type"] == "audio"]
    assert [stream["codec_name"] for stream in sounds] == ["ac3", "aac", "ac3", "opus"]
    assert [stream["tags"].get("title") for stream in sounds] == ["Ton (cleaned)", "Main", "Ton", None]
    assert [stream["tags"]["language"] for stream in sounds] == ["deu", "eng", "deu", "fra"]
    old, new = films.packets(film), films.packets(target)
    assert new[sounds[2]["index"]] == old[2]
    assert new[sounds[0]["index"]] != old[2]
    assert np.abs(films.decoded(target, 0)).max() == pytest.approx(np.abs(films.decoded(target, 2)).max() / 2, rel=0.1)


def test_of_two_tracks_the_new_one_is_played(tmp_path):
    source, target = films.simple(tmp_path / "a.mp4", "aac"), tmp_path / "b.mp4"
    clean(source, target, keep_original=True)
    flags = [stream["disposition"]["default"] for stream in films.streams(target) if stream["codec_type"] == "audio"]
    assert flags == [1, 0]


@pytest.mark.slow
def test_mp4_keeps_rotation_texts_chapters_and_is_played_while_it_loads(tmp_path):
    plain, source, target = tmp_path / "plain.mp4", tmp_path / "a.mp4", tmp_path / "b.mp4"
    films.simple(plain, "aac")
    (tmp_path / "a.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    (tmp_path / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=Clip\ncom.example.camera=X100\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1200\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1200\nEND=3000\ntitle=Two\n"
    )
    films.ffmpeg(
        "-i", plain, "-i", tmp_path / "a.srt", "-i", tmp_path / "meta.txt", "-map", 0, "-map", 1,
        "-map_metadata", 2, "-map_chapters", 2, "-c", "copy", "-c:s", "mov_text", "-metadata:s:v", "rotate=90",
        "-metadata:s:a", "language=eng", "-metadata:s:s", "language=deu", "-movflags", "faststart+use_metadata_tags",
        "-tag:v", "avc1", source,
    )  # fmt: skip
    clean(source, target)
    before, after = films.streams(source), films.streams(target)
    assert [stream["codec_tag_string"] for stream in before] == [stream["codec_tag_string"] for stream in after]
    sides = [[side for side in stream.get("side_data_list", [])] for stream in (before[0], after[0])]
    assert sides[0] == sides[1]
    assert sides[0][0]["rotation"] in (90, -90)
    assert kept(before[0]) == kept(after[0])
    assert [stream["tags"]["language"] for stream in before] == [stream["tags"]["language"] for stream in after]
    old, new = films.packets(source), films.packets(target)
    assert {n: old[n] for n in old if n != 1} == {n: new[n] for n in new if n != 1}
    times = [
        [(c["start_time"], c["tags"]["title"]) for c in films.probe(path, "-show_chapters")["chapters"]]
        for path in (source, target)
    ]
    assert times[0] == times[1]
    assert len(times[0]) == 2
    tags = films.probe(target, "-show_format")["format"]["tags"]
    assert (tags["title"], tags["com.example.camera"]) == ("Clip", "X100")
    raw = target.read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")


def test_mp4_of_hevc_keeps_its_tag_and_the_brightness_of_its_screen(tmp_path):
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    light = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-c:v", "libx265", "-x265-params",
        f"{light}:log-level=none",
        "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1", "-c:a", "aac", source,
    )  # fmt: skip
    clean(source, target)
    entries = ["-show_frames", "-select_streams", "v", "-read_intervals", "%+#1"]
    assert films.streams(target)[0]["codec_tag_string"] == "hvc1"
    assert (
        films.probe(source, *entries)["frames"][0]["side_data_list"]
        == films.probe(target, *entries)["frames"][0]["side_data_list"]
    )
    assert films.packets(source)[0] == films.packets(target)[0]


SUBTITLES = (
    "1\n00:00:00,500 --> 00:00:01,500\nHello <i>there</i>\nand here & now\n\n"
    "2\n00:00:02,000 --> 00:00:02,500\nWörld\n\n"
)


@pytest.mark.slow
def test_text_subtitles_take_the_form_of_the_container(tmp_path):
    """SubRip becomes the timed text of MP4, and SubRip again. WebM takes WebVTT. Nothing is lost on the way."""
    plain = films.simple(tmp_path / "plain.mp4", "aac")
    (tmp_path / "a.srt").write_text(SUBTITLES)
    films.ffmpeg(
        "-i", plain, "-i", tmp_path / "a.srt", "-map", 0, "-map", 1, "-c", "copy", "-c:s", "srt",
        "-metadata:s:s", "language=deu", "-disposition:s:0", "forced", tmp_path / "a.mkv",
    )  # fmt: skip
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-i", tmp_path / "a.mkv", "-map", 0, "-map", "1:a", "-map", "1:s",
        "-c:v", "libvpx", "-c:a", "libopus", "-c:s", "copy", tmp_path / "v.mkv",
    )  # fmt: skip
    steps = [("a.mkv", "b.mp4", "mov_text"), ("b.mp4", "c.mkv", "subrip"), ("v.mkv", "d.webm", "webvtt"),
             ("a.mkv", "e.mov", "mov_text")]  # fmt: skip
    for source, target, form in steps:
        fields = clean(tmp_path / source, tmp_path / target)
        assert [note for note in fields["notes"] if "subtitles of stream 2" in note], fields["notes"]
        stream = films.streams(tmp_path / target)[2]
        language = "ger" if target == "e.mov" else "deu"  # two names of German
        assert (stream["codec_name"], stream["tags"]["language"]) == (form, language)
        assert films.subtitles(tmp_path / target).split() == films.subtitles(tmp_path / source).split()
        assert "<i>there</i>" in films.subtitles(tmp_path / target) and "Wörld" in films.subtitles(tmp_path / target)
    assert films.streams(tmp_path / "c.mkv")[2]["disposition"]["forced"] == 1


@pytest.mark.parametrize("code, named, said", [("swe", "sve", 0), ("fre", "fra", 0), ("hrv", None, 1)])
def test_languages_that_mov_names_in_another_way_stay_and_others_are_told(tmp_path, code, named, said):
    source = films.simple(tmp_path / "a.mkv", "aac", 0.0, "-metadata:s:a", f"language={code}")
    fields = clean(source, tmp_path / "b.mov")
    assert films.streams(tmp_path / "b.mov")[1]["tags"].get("language") == named
    assert [f"the language {code}" in note for note in fields["notes"]] == [True] * said


def test_pictures_at_varying_rates_keep_their_times(tmp_path):
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE + ",select='not(mod(n,3))+lt(n,20)'", "-f", "lavfi", "-i", films.sound(),
        "-fps_mode", "vfr", "-c:v", "libx264", "-c:a", "aac", source,
    )  # fmt: skip
    clean(source, target)
    assert films.packets(source)[0] == films.packets(target)[0]
    assert len({round(b[1] - a[1], 3) for a, b in zip(films.packets(target)[0], films.packets(target)[0][1:])}) > 1


@pytest.mark.parametrize("name, codecs", [("a.flv", ("flv1", "libmp3lame")), ("a.wmv", ("wmv2", "wmav2"))])
def test_avi_counts_pictures_that_begin_between_two_of_its_own(tmp_path, name, codecs):
    source, target = tmp_path / name, tmp_path / "b.avi"
    films.ffmpeg(
        "-itsoffset", "0.065", "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(),
        "-c:v", codecs[0], "-c:a", codecs[1], "-ar", 44100, source,
    )  # fmt: skip
    clean(source, target, halved)
    (pictures,) = (stream for stream in films.streams(target) if stream["codec_type"] == "video")
    assert pictures["avg_frame_rate"] == "25/1"
    number = pictures["index"]
    assert [h for h, _ in films.packets(target)[number]] == [h for h, _ in films.packets(source)[number]]
    shift = films.flashes(target)[0] - films.flashes(source)[0]
    assert 0.001 < shift < 0.04, "the pictures come later by a part of one"
    assert films.sound_clicks(target) == pytest.approx([t + shift for t in films.sound_clicks(source)], abs=0.0015)


@pytest.mark.parametrize("rate", ["25/1", "24000/1001"])
def test_avi_counts_the_pictures_of_a_film_not_milliseconds(tmp_path, rate):
    source, target = tmp_path / "a.mkv", tmp_path / "a.avi"
    pictures = films.PICTURE.replace("r=25", f"r={rate}")
    films.ffmpeg(
        "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", films.sound(), "-c:v", "mpeg4", "-c:a", "pcm_s16le", source
    )
    clean(source, target, halved)
    assert films.streams(target)[0]["r_frame_rate"] == rate
    assert [h for h, _ in films.packets(target)[0]] == [h for h, _ in films.packets(source)[0]]
    assert films.flashes(target) == pytest.approx(films.flashes(source), abs=0.001)
    assert films.sound_clicks(target) == pytest.approx(films.sound_clicks(source), abs=0.001)


def test_a_film_that_matroska_does_not_hold_is_referred_to_a_container_that_is_written(tmp_path):
    source = tmp_path / "a.flv"
    films.ffmpeg("-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(0.0, 44100), source)
    with pytest.raises(AudioError, match=r"cannot hold its video stream .* choose .avi"):
        clean(source, tmp_path / "a.mkv", halved)
    clean(source, tmp_path / "a.avi", halved)
    assert films.sound_clicks(tmp_path / "a.avi") == pytest.approx(films.flashes(tmp_path / "a.avi"), abs=0.001)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_piece_of_a_longer_film_that_kept_its_times_begins_at_zero(tmp_path, name):
    source = films.simple(tmp_path / name, "aac", 0.25, "-output_ts_offset", "7200")
    target = tmp_path / f"out_{name}"
    fields = clean(source, target, halved)
    assert fields["seconds_audio"] < 4  # two hours of silence are not cleaned
    assert any("begin at 7200." in note for note in fields["notes"])
    assert films.sound_clicks(target) == pytest.approx(films.flashes(target), abs=0.001)
    assert [h for h, _ in films.packets(target)[0]] == [h for h, _ in films.packets(source)[0]]
    assert open_audio(source).info.late == pytest.approx(0.25 * 48000, abs=2 * 1024)  # less the delay of its encoder


@pytest.mark.parametrize("seconds", [1.5, 5.0])
def test_the_sound_may_be_shorter_or_longer_than_the_picture(tmp_path, seconds):
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    films.ffmpeg(
        "-f",
        "lavfi",
        "-i",
        films.PICTURE,
        "-f",
        "lavfi",
        "-i",
        films.sound(seconds=seconds),
        "-c:v",
        "libx264",
        "-c:a",
        "aac",
        source,
    )
    clean(source, target)
    before, after = films.streams(source), films.streams(target)
    assert before[0]["duration"] == after[0]["duration"]
    assert float(before[1]["duration"]) == pytest.approx(float(after[1]["duration"]), abs=1e-4)
    assert films.packets(source)[0] == films.packets(target)[0]


def test_broken_pictures_are_copied_all_the_same(tmp_path):
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    films.simple(tmp_path / "whole.mkv", "aac")
    raw = bytearray((tmp_path / "whole.mkv").read_bytes())
    with_pictures = films.probe(tmp_path / "whole.mkv", "-show_packets", "-select_streams", "v")["packets"]
    for packet in with_pictures[5:40:5]:
        middle = int(packet["pos"]) + 20
        raw[middle : middle + max(int(packet["size"]) - 20, 0)] = b"\xff" * max(int(packet["size"]) - 20, 0)
    source.write_bytes(raw)
    assert films.packets(source)[0] != films.packets(tmp_path / "whole.mkv")[0]
    clean(source, target)
    assert films.packets(source)[0] == films.packets(target)[0]


@pytest.mark.parametrize(
    "name, codec, target, becomes",
    [
        ("a.mov", "pcm_s16le", "b.mp4", "alac"), ("a.mkv", "flac", "b.mov", "alac"),
        ("a.mkv", "dca", "b.mkv", "aac"), ("a.mkv", "truehd", "b.mkv", "flac"), ("a.mov", "pcm_f32le", "b.mkv", "pcm_f32le"),
        ("a.mkv", "libvorbis", "b.mkv", "opus"), ("a.mkv", "wavpack", "b.mkv", "pcm_f32le"),
    ],
)  # fmt: skip
def test_a_codec_that_cannot_stay_becomes_the_nearest_one_and_that_is_said(tmp_path, name, codec, target, becomes):
    channels = 2 if codec in ("dca", "truehd") else 1
    source = films.simple(tmp_path / name, codec, channels=channels)
    fields = clean(source, tmp_path / target)
    after = films.streams(tmp_path / target)
    assert after[1]["codec_name"] == becomes
    assert any("is not kept" in note for note in fields["notes"]) == (becomes != codec)
    before, result = (films.decoded(path) for path in (source, tmp_path / target))
    if becomes in ("alac", "flac", "pcm_f32le"):
        length = min(len(before), len(result))
        assert np.array_equal(before[:length], result[:length])
    assert films.packets(source, times=False)[0] == films.packets(tmp_path / target, times=False)[0]


def test_webm_takes_opus(tmp_path):
    films.ffmpeg(
        "-f",
        "lavfi",
        "-i",
        films.PICTURE,
        "-f",
        "lavfi",
        "-i",
        films.sound(),
        "-c:v",
        "libvpx",
        "-c:a",
        "flac",
        tmp_path / "a.mkv",
    )
    fields = clean(tmp_path / "a.mkv", tmp_path / "b.webm")
    assert [stream["codec_name"] for stream in films.streams(tmp_path / "b.webm")] == ["vp8", "opus"]
    assert fields["notes"] == ["the codec FLAC 24 is not kept: the sound of the WEBM is OPUS"]


def test_a_container_that_cannot_hold_the_film_is_refused_before_any_work(film, tmp_path):
    def never(*_):
        raise AssertionError("work was done")

    for name, reason in (
        ("b.mp4", "MP4 cannot hold"),
        ("b.webm", "WebM cannot hold"),
        ("b.avi", "AVI cannot hold"),
    ):
        with pytest.raises(AudioError, match=f"{name} cannot be written: {reason}.*choose .mkv"):
            clean(film, tmp_path / name, never)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "codec, bits", [("aac", 64_000), ("aac", 256_000), ("libopus", 48_000), ("ac3", 384_000), ("libmp3lame", 128_000)]
)
def test_the_bit_rate_is_of_the_same_class(tmp_path, codec, bits):
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    noise = "anoisesrc=r=48000:d=4:a=0.2:seed=1"
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", noise, "-f", "lavfi", "-i", noise.replace("=1", "=2"),
        "-filter_complex", "[1][2]join=inputs=2:channel_layout=stereo[a]", "-map", 0, "-map", "[a]",
        "-c:v", "libx264", "-c:a", codec, "-b:a", bits, source,
    )  # fmt: skip
    clean(source, target)

    def size(path):
        return sum(
            int(packet["size"]) for packet in films.probe(path, "-show_packets", "-select_streams", "a")["packets"]
        )

    assert size(target) == pytest.approx(size(source), rel=0.15)


@pytest.mark.parametrize("codec", ["pcm_s16le", "libmp3lame"])
def test_a_video_that_breaks_off_is_refused(tmp_path, codec):
    whole = films.simple(tmp_path / "whole.avi", codec).read_bytes()
    (tmp_path / "a.avi").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="a.avi is truncated: only"):
        clean(tmp_path / "a.avi", tmp_path / "b.avi")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is full")
def test_a_full_disk_is_no_fault_of_the_film(tmp_path):
    source, full = films.simple(tmp_path / "a.mkv", "aac"), Path("/dev/full")
    with open_audio(source) as audio:
        film = Film(source, 1, 0.0, False)
        encoder = FilmEncoder(full, film_format(audio.info, ".mkv", film), film, audio.info.channels)
        with pytest.raises(OutputError, match="/dev/full could not be written .No space left on device."):
            for block in audio.blocks():
                encoder.write(block)
            encoder.close()


def test_a_video_without_sound_is_told_in_one_line(tmp_path):
    films.ffmpeg("-f", "lavfi", "-i", films.PICTURE, "-c:v", "libx264", tmp_path / "silent.mp4")
    with pytest.raises(AudioError, match=r"silent.mp4 has no sound track: there is nothing to process$"):
        clean(tmp_path / "silent.mp4", tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize("track, said", [("9", "9, only 3"), ("spa", "in the language spa, only eng, deu, fra")])
def test_a_track_that_is_not_there_is_told_with_those_that_are(film, tmp_path, track, said):
    with pytest.raises(AudioError, match=f"film.mkv has no sound track {said}: choose another --track"):
        clean(film, tmp_path / "b.mkv", track=track)


def test_nothing_is_left_where_the_work_fails(tmp_path):
    source = films.simple(tmp_path / "a.mkv", "aac")

    def failing(blocks, rate, channels, level):
        yield next(blocks)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        clean(source, tmp_path / "out" / "b.mkv", failing)
    assert list((tmp_path / "out").iterdir()) == []


def test_names_need_not_be_utf8(tmp_path):
    source = films.simple(tmp_path / "a.mkv", "aac")
    odd = Path(str(tmp_path) + "/odd\udcff :x.mkv")
    source.rename(odd)
    clean(odd, odd.with_name("clean\udcfe.mkv"))
    assert odd.with_name("clean\udcfe.mkv").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_film_is_read_twice_in_constant_memory(tmp_path):
    """The process that copies holds its packets and no more."""
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    noise, piece = "color=gray:s=320x240:r=25:d=4,noise=c0s=100:c0f=t+u", tmp_path / "piece.mkv"
    films.ffmpeg("-f", "lavfi", "-i", noise, "-c:v", "mjpeg", "-q:v", 2, piece)
    films.ffmpeg(
        "-stream_loop", 14, "-i", piece, "-f", "lavfi", "-i", films.sound(seconds=60), "-map", 0, "-map", 1,
        "-c:v", "copy", "-c:a", "aac", source,
    )  # fmt: skip
    assert source.stat().st_size > 50_000_000
    # A process of its own, whose only children are those of the film. They are waited for, so what they read counts too.
    code = (
        "import resource, sys; from pathlib import Path; from tests.batch.test_films import clean\n"
        "from enhance_cli.audio.ffmpeg import decode\n"
        "read = lambda: int(Path('/proc/self/io').read_text().split()[1])\n"
        "before = read(); clean(*map(Path, sys.argv[1:])); decode._end_all(); after = read()\n"
        "print(after - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, source, target]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert films.packets(source)[0] == films.packets(target)[0]
    read, kilobytes = map(int, done.stdout.split())
    assert kilobytes < 250_000
    sound = 4 * 48000 * 60  # bytes: read from the decoder, from the copies of before and after, and by the encoder
    print(source.stat().st_size, read, sound)
    assert read < 2 * source.stat().st_size + 5 * sound + 20_000_000, (
        "the film is read twice: for its sound, to be copied"
    )


def test_results_keep_the_names_of_their_films(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mkv", "b.MP4", "c.wav", "d.wma"):
        Path(name).touch()
    names = [job.target.name for job in plan(expand(["a.mkv", "b.MP4", "c.wav", "d.wma"]))]
    assert names == ["a_denoised.mkv", "b_denoised.MP4", "c_denoised.wav", "d_denoised.wav"]
    with pytest.raises(UsageError, match="2 inputs cannot go into one file, out.mkv"):
        plan(expand(["a.mkv", "b.MP4"]), "out.mkv")
    with pytest.raises(
        UsageError, match="out.flv: .flv cannot be written: write out.mkv, or the sound alone to out.wav"
    ):
        plan(expand(["a.mkv"]), "out.flv")
    with pytest.raises(UsageError, match="clip.mp4: c.wav has no pictures for a video: write the sound to clip.wav"):
        plan(expand(["c.wav"]), "clip.mp4")


def test_an_output_of_an_earlier_run_is_known(tmp_path):
    for name in ("a.mkv", "a.mp4"):
        source = films.simple(tmp_path / name, "aac")
        first, second = tmp_path / f"first_{name}", tmp_path / f"second_{name}"
        clean(source, first)
        with pytest.raises(NothingToDo, match="earlier run"):
            enhance_file(
                Job(first, Path(first.name), second, leaves_own=True), unchanged, FileOptions(command="denoise")
            )


def test_the_loudness_asked_for_is_that_of_the_new_track(film, tmp_path):
    target = tmp_path / "loud.mkv"
    fields = clean(film, target, track="2", loudness=-30.0)
    assert (fields["loudness_after"], fields["new_track"]) == (pytest.approx(-30, abs=0.1), 2)
    said = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostats", "-i", str(target), "-map", "0:a:1", "-af", "ebur128", "-f", "null", "-"],
        capture_output=True, text=True,
    ).stderr  # fmt: skip
    measured = float(said[said.rindex("Integrated loudness") :].split("I:")[1].split("LUFS")[0])
    assert measured == pytest.approx(-30, abs=0.2)


def test_stems_of_a_film_are_films(tmp_path):
    source = films.simple(tmp_path / "a.mkv", "pcm_s16le")
    parts = (("half", tmp_path / "half.mkv"), ("rest", tmp_path / "rest.mkv"))
    job = Job(source, Path("a.mkv"), parts[0][1], parts=parts)

    def halves(blocks, rate, channels, level):
        for block in blocks:
            yield np.concatenate([block * np.float32(0.25), block * np.float32(0.75)])

    enhance_file(job, halves, FileOptions(parts=("half", "rest"), last_part_absorbs_rounding=True))
    sound = [films.decoded(path) for path in (source, tmp_path / "half.mkv", tmp_path / "rest.mkv")]
    assert np.abs(sound[1] + sound[2] - sound[0]).max() < 1e-7
    assert (
        films.packets(source)[0] == films.packets(tmp_path / "half.mkv")[0] == films.packets(tmp_path / "rest.mkv")[0]
    )


def test_the_command_cleans_a_film_and_refuses_what_films_cannot_be(tmp_path, enhance):
    source = films.simple(tmp_path / "a.mkv", "aac")
    for flags, said in (
        (["--start", "1"], "*.mkv file keeps its pictures whole"),
        (["-o", str(tmp_path / "x.wav"), "--keep-original"], "--keep-original is for videos"),
        (["-o", str(tmp_path / "x.mp4"), "--format", "mkv"], "--format mkv does not fit a file named *.mp4"),
    ):
        refused = enhance("denoise", str(source), *flags)
        assert refused.code == 2
        assert said in refused.stderr
    finished = enhance("denoise", str(source), "--model", "denoise-s", "--json")
    assert finished.code == 0, finished.stderr
    assert films.packets(source)[0] == films.packets(tmp_path / "a_denoised.mkv")[0]
    again = enhance("denoise", str(tmp_path / "a_denoised.mkv"), "--model", "denoise-s")
    assert (again.code, (tmp_path / "a_denoised_denoised.mkv").exists()) == (0, False)
    kept = enhance("denoise", str(source), "--model", "denoise-s", "--keep-original")
    assert (kept.code, "the output exists" in kept.stderr) == (0, True)


def test_films_in_a_folder_are_taken_like_recordings(tmp_path, enhance):
    (tmp_path / "in").mkdir()
    for name in ("a.mkv", "b.wav", "c.MP4", "d.txt"):
        (tmp_path / "in" / name).touch()
    listed = enhance("denoise", "in", "-o", "out", "--page", "out/review.html", "--dry-run", "--model", "denoise-s")
    assert listed.code == 0, listed.stderr
    assert [Path(line).name for line in listed.stdout.decode().splitlines()] == ["a.mkv", "b.wav", "c.MP4"]
    elsewhere = enhance("denoise", "in", "-o", "out", "--page", "nowhere/review.html", "--dry-run")
    assert elsewhere.code == 2 and "there is no folder for this page" in elsewhere.stderr


@pytest.mark.slow
def test_a_cover_stays_a_cover_in_either_container(tmp_path):
    films.ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32:d=1", "-frames:v", 1, tmp_path / "c.png")
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-c:v", "libx264", "-c:a", "aac",
        "-attach", tmp_path / "c.png", "-metadata:s:t", "mimetype=image/png", "-metadata:s:t", "filename=front.png",
        tmp_path / "a.mkv",
    )  # fmt: skip
    names = ["a.mkv", "b.mkv", "c.mp4", "d.mp4", "e.mkv"]
    for source, target in zip(names, names[1:]):
        clean(tmp_path / source, tmp_path / target)
        cover = films.streams(tmp_path / target)[2]
        assert (cover["codec_name"], cover["disposition"]["attached_pic"]) == ("png", 1)
        assert films.packets(tmp_path / target)[2][0][0] == films.packets(tmp_path / "a.mkv")[2][0][0]
    assert films.streams(tmp_path / "b.mkv")[2]["tags"] == {"filename": "front.png", "mimetype": "image/png"}


def test_pictures_that_webm_does_not_know_are_never_left_out(tmp_path):
    source = films.simple(tmp_path / "a.mkv", "ac3")
    with pytest.raises(AudioError, match=r"b.webm cannot be written: WebM cannot hold its video stream 0 \(h264\)"):
        clean(source, tmp_path / "b.webm")


@pytest.mark.slow
@pytest.mark.parametrize("codec, name", [("ac3", "a.mkv"), ("dca", "a.mkv"), ("aac", "a.mp4"), ("libopus", "a.mkv")])
def test_six_channels_stay_at_their_loudspeakers(tmp_path, codec, name):
    pitches = [200, 300, 400, 60, 600, 700]  # low for the low-frequency effects
    tones = "|".join(f"0.1*sin(2*PI*{pitch}*t)" for pitch in pitches)
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", f"aevalsrc={tones}:s=48000:d=3:c=5.1", "-c:v", "libx264",
        "-c:a", codec, "-strict", -2, tmp_path / name,
    )  # fmt: skip
    clean(tmp_path / name, tmp_path / f"o_{name}")
    found = []
    for path in (tmp_path / name, tmp_path / f"o_{name}"):
        assert films.streams(path)[1]["channel_layout"].startswith("5.1")
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-f", "f32le", "-"]
        samples = (
            np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32).reshape(-1, 6).T
        )
        spectra = np.abs(np.fft.rfft(samples[:, 48000:96000]))
        found.append(spectra.argmax(axis=1).tolist())
    assert found == [pitches, pitches]


def test_pictures_that_an_edit_list_hides_stay_hidden_or_are_told(tmp_path):
    films.simple(tmp_path / "whole.mp4", "aac")
    films.ffmpeg("-ss", 0.6, "-i", tmp_path / "whole.mp4", "-c", "copy", tmp_path / "a.mp4")
    assert clean(tmp_path / "a.mp4", tmp_path / "b.mp4")["notes"] == []
    fields = clean(tmp_path / "a.mp4", tmp_path / "b.mkv")
    assert fields["notes"] == [
        "Matroska shows the first 0.60 s of pictures too, which this film hides: the rest comes later"
    ]
    for target in ("b.mp4", "b.mkv"):
        path = tmp_path / target
        assert np.allclose(films.sound_clicks(path), films.flashes(path), atol=0.022)  # the source is 21 ms out of step


@pytest.mark.parametrize("name", ["a.mov", "a.mp4"])
def test_names_of_tracks_stay_and_are_told(tmp_path, name):
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-map", 0, "-map", 1, "-map", 1,
        "-c:v", "libx264", "-c:a", "aac", "-metadata:s:a:0", "title=lavalier", "-metadata:s:a:1", "title=boom", tmp_path / name,
    )  # fmt: skip
    fields = clean(tmp_path / name, tmp_path / f"b_{name}", track="2")
    told = "of 2 sound tracks number 2 was taken: 1 (lavalier, aac, mono), 2 (boom, aac, mono)"
    assert told in fields["notes"][0].replace("und, ", "")
    with av.open(str(tmp_path / f"b_{name}")) as film:
        assert [stream.metadata["name"] for stream in film.streams.audio] == ["lavalier", "boom"]


@pytest.mark.parametrize("codec", ["libx264", "mjpeg", "prores"])  # the last two do not state a frame rate
def test_time_codes_stay(tmp_path, codec):
    films.ffmpeg(
        "-f", "lavfi", "-i", films.PICTURE, "-f", "lavfi", "-i", films.sound(), "-timecode", "01:02:03:04", "-c:v", codec,
        "-c:a", "aac", tmp_path / "a.mov",
    )  # fmt: skip
    clean(tmp_path / "a.mov", tmp_path / "b.mov")
    assert films.packets(tmp_path / "a.mov")[2] == films.packets(tmp_path / "b.mov")[2]
    assert films.streams(tmp_path / "b.mov")[2]["tags"]["timecode"] == "01:02:03:04"


@pytest.mark.slow
def test_a_killed_run_leaves_no_film_and_no_process(tmp_path):
    source, target = films.simple(tmp_path / "a.mkv", "aac"), tmp_path / "b.mkv"
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from enhance_cli.audio.write import AudioWriter\nfrom enhance_cli.batch.job import Job\n"
        "from enhance_cli.batch.files import enhance_file, FileOptions\n"
        "write = AudioWriter.write\n"
        "def slow(self, block):\n    write(self, block)\n"
        "    print(self._sink._process._child.process.pid, flush=True)\n    time.sleep(60)\n"
        "AudioWriter.write = slow\n"
        f"enhance_file(Job(Path({str(source)!r}), Path('a.mkv'), Path({str(target)!r})), lambda b, *_: b, FileOptions())\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    copying = int(run.stdout.readline())
    run.kill()
    run.wait()
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{copying}/cmdline") and Path(f"/proc/{copying}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the process that copies goes on"
        time.sleep(0.1)
    assert not target.exists()
    clean(source, target)
    assert films.packets(source)[0] == films.packets(target)[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "b.mkv"]
