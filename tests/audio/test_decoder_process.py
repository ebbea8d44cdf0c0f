"""The process that decodes: what kills it costs one file, and time stamps and tracks come out of it as they are meant."""

import os
import signal
import sys
from pathlib import Path, PurePath

import numpy as np
import pytest

from enhance_cli.audio.ffmpeg import decode
from enhance_cli.audio.read import open_audio
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import Input, by_track
from enhance_cli.batch.job import Job
from enhance_cli.batch.outputs import plan
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo
from tests.audio_zoo import read

RATE = 48000


def film(path, tracks, muxer="matroska", codec="flac", rate=RATE):
    """A file whose sound tracks are lists of (start in s, pitch, seconds), with a language each."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w", format=muxer) as file:
        streams = []
        for language, _ in tracks:
            stream = file.add_stream(codec, rate=rate, layout="mono")
            stream.time_base = Fraction(1, rate)
            stream.metadata["language"] = language
            streams.append(stream)
        for stream, (_, pieces) in zip(streams, tracks):
            for start, pitch, seconds in pieces:
                wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
                frame = av.AudioFrame.from_ndarray(
                    np.rint(wave[None] * 32767).astype(np.int16), format="s16", layout="mono"
                )
                frame.sample_rate, frame.pts, frame.time_base = rate, round(start * rate), Fraction(1, rate)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


def pitch(x):
    return round(np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax() * RATE / len(x))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_decoder_that_dies_costs_one_file(tmp_path):
    path = zoo.m4a(tmp_path, frames=20 * RATE)
    with open_audio(path) as audio:
        blocks = audio.blocks(1000)
        next(blocks)
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        with pytest.raises(AudioError, match=r"aac\.m4a makes the decoder crash or hang"):
            list(blocks)
    assert read(path)[0].shape[1] == 20 * RATE, "the next file has a decoder again"


def test_one_that_dies_while_it_waits_is_replaced(tmp_path):
    path = zoo.alac(tmp_path)
    read(path)
    for decoder in decode._idle:
        decoder.process.kill()
        decoder.process.wait()
    assert read(path)[0].shape[1] == zoo.FRAMES


@pytest.mark.parametrize(("count", "layout"), [(8, "7.1"), (16, "hexadecagonal"), (24, "22.2")])
@pytest.mark.parametrize(("suffix", "muxer", "codec"), [("mov", "mov", "pcm_s24le"), ("mkv", "matroska", "pcm_f32le")])
def test_many_channels_are_read(count, layout, suffix, muxer, codec, tmp_path):
    import av

    path = tmp_path / f"many.{suffix}"
    audio = zoo.noise(count, 5000)
    with av.open(str(path), "w", format=muxer) as file:
        stream = file.add_stream(codec, rate=RATE, layout=layout)
        packed = np.ascontiguousarray(audio.T).reshape(1, -1)
        form = "flt" if codec == "pcm_f32le" else "s32"
        packed = packed if form == "flt" else (packed * 2.0**31).astype(np.int32)
        stream.codec_context.format = form
        frame = av.AudioFrame.from_ndarray(packed, format=form, layout=stream.codec_context.layout)
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    after, file = read(path)
    assert np.array_equal(after, audio) and file.info.subtype == ("FLOAT" if form == "flt" else "PCM_24")


def test_sound_that_starts_late_and_holes_are_silence_of_the_same_length(tmp_path):
    path = film(tmp_path / "a", [("eng", [(0.5, 400, 1.0), (2.0, 700, 1.0)])], codec="pcm_s16le")
    audio, file = read(path)
    assert abs(audio.shape[1] - 3 * RATE) <= 96
    loud = np.abs(audio[0]) > 0
    assert not loud[: round(0.498 * RATE)].any() and not loud[round(1.502 * RATE) : round(1.998 * RATE)].any()
    assert pitch(audio[0, RATE // 2 : RATE]) == 400 and pitch(audio[0, 2 * RATE + 100 :]) == 700
    assert "begins 0.500 s after" in file.notes[0] and "1 gaps in the time stamps, 0.500 s" in file.notes[1]


def test_tracks_are_told_and_taken_by_number_and_by_language(tmp_path):
    path = film(tmp_path / "film.mkv", [("eng", [(0, 400, 1)]), ("deu", [(0, 700, 1)])])
    assert "of 2 sound tracks number 1 was taken (--track chooses another)" in read(path)[1].notes[0]
    found = [pitch(read(path, track)[0][0]) for track in ("1", "2", "de", "eng")]
    assert found == [400, 700, 700, 400]
    for track, said in (("3", "no sound track 3, only 2"), ("fra", "no sound track in the language fra")):
        with pytest.raises(AudioError, match=said):
            open_audio(path, track)


@pytest.mark.parametrize(
    ("dispositions", "taken"),
    [(["", "", ""], 400), (["", "default", ""], 500), (["comment", "", ""], 500), (["comment default", "default", ""], 500),
     (["visual_impaired", "", "default"], 600), (["comment", "comment", "comment"], 400)],
)  # fmt: skip
def test_without_a_wish_the_track_is_taken_that_a_player_takes(dispositions, taken, tmp_path):
    import av
    from av.stream import Disposition

    path, target = film(tmp_path / "a", [(name, [(0.0, hertz, 1.0)]) for name, hertz in TAKEN.items()]), tmp_path / "b"
    with av.open(str(path)) as old, av.open(str(target), "w", format="matroska") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for stream, names in zip(streams, dispositions, strict=True):
            stream.disposition = Disposition(sum(Disposition[name] for name in names.split()))
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    audio, file = read(target)
    assert pitch(audio[0]) == taken and "of 3 sound tracks" in file.notes[0]
    assert ("commentary" in file.notes[0]) == any("comment" in names for names in dispositions)


TAKEN = {"eng": 400, "ger": 500, "fre": 600}


def test_of_equal_tracks_of_a_broadcast_the_first_is_taken(tmp_path):
    path = film(tmp_path / "a", [(name, [(0.0, hertz, 1.0)]) for name, hertz in TAKEN.items()], "mpegts", "ac3")
    assert pitch(read(path)[0][0]) == 400


def test_all_tracks_go_into_files_of_their_own(tmp_path):
    path = film(tmp_path / "film.mkv", [("eng", [(0, 400, 1)]), ("deu", [(0, 700, 1)])])
    jobs = plan(by_track([Input(path, PurePath("film.mkv"))]), f"{tmp_path}/out/")
    assert [job.target.name for job in jobs] == ["film_track1.wav", "film_track2.wav"]
    for job in jobs:
        enhance_file(job, lambda blocks, *_: blocks, FileOptions())
    assert [pitch(read(job.target)[0][0]) for job in jobs] == [400, 700]


@pytest.mark.parametrize(
    ("suffix", "muxer", "codec", "kind"),
    [("mkv", "matroska", "flac", "FLAC_24"), ("wv", "wv", "wavpack", "WAVPACK_24"), ("tta", "tta", "tta", "TTA_24"),
     ("mov", "mov", "pcm_s24be", "PCM_24"), ("m4a", "ipod", "alac", "ALAC_24"), ("oga", "ogg", "flac", "FLAC_24")],
)  # fmt: skip
def test_24_bits_come_out_as_they_went_in_and_stay_lossless(suffix, muxer, codec, kind, tmp_path):
    import av

    samples = np.random.default_rng(0).integers(-(2**23), 2**23, (1, 20_000), dtype=np.int32)
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format=muxer) as file:
        stream = file.add_stream(codec, rate=RATE, layout="mono")
        form = {"alac": "s32p", "wavpack": "s32p"}.get(codec, "s32")
        stream.codec_context.format = form
        stream.codec_context.options = {"bits_per_raw_sample": "24"}
        frame = av.AudioFrame.from_ndarray(samples << 8, format=form, layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(
            format=form, layout="mono", rate=RATE, frame_size=stream.codec_context.frame_size or None
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    audio, file = read(path)
    assert np.array_equal(np.rint(audio * 2.0**23).astype(np.int32), samples) and file.info.subtype in (
        kind,
        "WAVPACK_32",
    )
    (job,) = plan([Input(path, PurePath(path.name))], f"{tmp_path}/out/")
    enhance_file(job, lambda blocks, *_: blocks, FileOptions())
    after, written = read(job.target)
    assert np.array_equal(after, audio) and "24" in written.info.subtype or "32" in written.info.subtype
    assert job.target.suffix == (path.suffix if suffix in ("m4a", "oga", "mkv", "mov") else ".wav")


def test_a_request_for_one_channel_or_their_mean(tmp_path):
    source = zoo.save(tmp_path / "call.wav", zoo.noise(2), 8000)
    for wanted, expected in (("2", zoo.noise(2)[1:]), ("mix", zoo.noise(2).mean(axis=0, keepdims=True))):
        job = Job(source, PurePath("call.wav"), tmp_path / f"{wanted}.wav")
        fields = enhance_file(job, lambda blocks, *_: blocks, FileOptions(channels=wanted, bit_depth="float"))
        assert np.allclose(read(job.target)[0], expected, atol=1e-7) and fields["channels"] == 1
    with pytest.raises(AudioError, match="has 2 channels, not a channel 3"):
        enhance_file(job, lambda blocks, *_: blocks, FileOptions(channels="3"))
    fields = enhance_file(job, lambda blocks, *_: blocks, FileOptions())
    assert "two sides of a call" in fields["notes"][0]


@pytest.mark.parametrize("count", [8, 16, 24, 64])
@pytest.mark.parametrize("container", ["mov", "matroska"])
def test_many_channels_are_read_to_the_bit(container, count, tmp_path):
    """QuickTime lists 7.1 in an order of its own, which PyAV alone would crash on."""
    import av

    layout, path = "7.1" if count == 8 else f"{count} channels", tmp_path / "a"
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (count, 5000)).astype(np.int16)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream("pcm_s16le", rate=48000, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
    with open_audio(path) as audio:
        assert np.array_equal(np.concatenate(list(audio.blocks()), axis=1), samples / np.float32(32768))
        if (container, count) == ("mov", 8):
            assert audio.info.layout == ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
