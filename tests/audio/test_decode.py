"""Reading what libsndfile cannot: by FFmpeg's libraries, in a process of their own."""

import tracemalloc

import numpy as np
import pytest
import soundfile
from mutagen import mp4

from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo

# A PNG of one gray pixel.
COVER = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c6368000000820081dd436af40000000049454e44ae426082"
)
FOREIGN = {zoo.m4a: ("M4A", "AAC"), zoo.alac: ("M4A", "ALAC_16"), zoo.matroska: ("MKV", "AAC")}


def read(path):
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks()), axis=1), audio.info


@pytest.mark.parametrize("build", FOREIGN, ids=lambda build: build.__name__)
def test_it_is_read_in_time_and_at_level(build, tmp_path):
    path = build(tmp_path)
    audio, info = read(path)
    assert (info.container, info.subtype) == FOREIGN[build]
    assert (info.rate, info.channels, info.frames, info.decoder) == (48000, 2, None, "ffmpeg")
    assert zoo.FRAMES - 48 <= audio.shape[1] < zoo.FRAMES + 2048
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(zoo.FRAMES) / 48000)
    middle = slice(4000, 12000)
    assert np.abs(audio[0, middle] - tone[middle]).max() < 0.02
    assert np.abs(audio[1, middle] - tone[middle] / 2).max() < 0.02


def test_raw_g722_of_a_telephone_system_is_known_by_its_name(tmp_path):
    import av

    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)).astype(np.int16)[None]
    with av.open(str(tmp_path / "prompt.g722"), "w", format="g722") as file:
        stream = file.add_stream("g722", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    audio, info = read(tmp_path / "prompt.g722")
    assert (info.rate, info.channels) == (16000, 1) and 32000 <= audio.shape[1] < 33000
    assert np.abs(np.fft.rfft(audio[0, :32000])).argmax() == 880
    assert audio[0, 1000:31000].std() == pytest.approx(8000 / 32768 / 2**0.5, rel=0.05)


def test_a_wavpack_that_names_fewer_loudspeakers_than_it_has_channels_is_read(tmp_path):
    import av

    path, samples = tmp_path / "x.wv", (zoo.noise(4, 48000) * 32767).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("wavpack", rate=48000, layout="quad", format="s16p")
        frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout="quad")
        frame.sample_rate, frame.pts = 48000, 0
        file.mux([*stream.encode(frame), *stream.encode(None)])
    raw = path.read_bytes()
    quad, pair = b"\x4d\x03\x04\x33", b"\x4d\x03\x04\x03"
    assert quad in raw
    path.write_bytes(raw.replace(quad, pair))
    audio, info = read(path)
    assert info.subtype == "WAVPACK_16" and info.layout is None
    assert np.array_equal(audio, samples / np.float32(32768))


@pytest.mark.parametrize("frames", [9600, 48000])
def test_a_valid_opus_that_libsndfile_refuses_is_read(frames, tmp_path):
    path = zoo.refused_opus(tmp_path, frames)
    with pytest.raises(soundfile.SoundFileError, match="malformed"):
        soundfile.read(path)
    audio, info = read(path)
    assert (info.container, info.subtype, info.rate, info.decoder) == ("OGG", "OPUS", 48000, "ffmpeg")
    assert frames <= audio.shape[1] < frames + 960 and 0.02 < audio.std() < 0.1


def test_a_film_without_sound_says_so(tmp_path):
    import av

    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        file.mux(stream.encode(None))
    with pytest.raises(AudioError, match="silent.mp4 has no sound track: there is nothing to process"):
        open_audio(path)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_m4a_is_an_error(share, tmp_path):
    path = zoo.m4a(tmp_path, frames=480_000)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(AudioError):
        read(path)


@pytest.mark.slow
def test_a_long_recording_is_decoded_in_constant_memory(tmp_path):
    """An M4A states its length, so only samples beyond that are held back."""
    frames = 60 * 48000
    with open_audio(zoo.m4a(tmp_path, frames=frames)) as audio:
        tracemalloc.start()
        try:
            channels, samples = audio.info.channels, sum(block.shape[1] for block in audio.blocks())
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert samples == frames
    assert most < 4 * channels * frames / 4


def test_a_cover_picture_does_not_make_a_song_a_film(tmp_path):
    path = zoo.m4a(tmp_path)
    file = mp4.MP4(path)
    file["covr"] = [mp4.MP4Cover(COVER, mp4.MP4Cover.FORMAT_PNG)]
    file.save()
    assert read(path)[1].container == "M4A"


@pytest.mark.parametrize("tracks", [1, 2])
@pytest.mark.parametrize(("rate", "codec"), [(16000, "wmav1"), (44100, "wmav2")])
def test_wma_begins_with_its_first_sample_and_not_with_the_delay_of_its_encoder(rate, codec, tracks, tmp_path):
    import av

    noise, path = zoo.noise(1, 2 * rate), tmp_path / "x.wma"
    with av.open(str(path), "w", format="asf") as new:
        streams = [new.add_stream(codec, rate=rate, layout="mono") for _ in range(tracks)]
        for stream in streams:
            stream.bit_rate = 96_000
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate, fifo = rate, av.AudioFifo()
            fifo.write(frame)
            while piece := fifo.read(stream.codec_context.frame_size, partial=True):
                new.mux(stream.encode(piece))
            new.mux(stream.encode(None))
    with open_audio(path, str(tracks)) as audio:
        read, notes = np.concatenate(list(audio.blocks()), axis=1)[0], audio.notes
    assert 2 * rate <= read.size < 2 * rate + 4096 and audio.info.late == 0 and len(notes) == tracks - 1
    error = read[: 2 * rate] - noise[0]
    assert np.sqrt(np.mean(error**2)) < 0.6 * noise.std()


@pytest.mark.parametrize("name", ["x.mp4", "x.mka"])
def test_time_stamps_that_jump_by_hours_are_named_and_no_file_is_called_truncated(name, tmp_path):
    import av

    rate, packet = 48000, 4096
    sound = zoo.noise(1, 6 * packet)
    with av.open(str(tmp_path / name), "w") as new:
        stream = new.add_stream("alac" if name == "x.mp4" else "pcm_s16le", rate=rate, layout="mono")
        for number, piece in enumerate(np.split(np.round(sound * 32767).astype(np.int16), 6, axis=1)):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, number * packet + (2 * 3600 * rate if number >= 3 else 0)
            for plain in av.AudioResampler(format=stream.format, frame_size=0).resample(frame):
                plain.pts = frame.pts
                new.mux(stream.encode(plain))
        new.mux(stream.encode(None))
    with open_audio(tmp_path / name) as audio:
        found, notes = np.concatenate(list(audio.blocks()), axis=1), audio.notes
    assert np.allclose(found, sound, atol=1e-4) and found.shape == sound.shape
    assert notes == ["the time stamps jump by 7200 s at 0.26 s: no silence was put there"]


def test_tracks_of_different_lengths_in_an_avi_are_both_whole(tmp_path):
    """FFmpeg estimates one duration for both from the size of such a file."""
    import av

    lengths = zoo.RATE, 3 * zoo.RATE
    with av.open(str(tmp_path / "x.avi"), "w") as new:
        streams = [new.add_stream("pcm_s16le", rate=zoo.RATE, layout="mono") for _ in lengths]
        for stream, length in zip(streams, lengths):
            frame = av.AudioFrame.from_ndarray(np.ones((1, length), np.int16), format="s16", layout="mono")
            frame.sample_rate = zoo.RATE
            new.mux([*stream.encode(frame), *stream.encode(None)])
    for track, length in enumerate(lengths, 1):
        with open_audio(tmp_path / "x.avi", str(track)) as audio:
            assert sum(block.shape[1] for block in audio.blocks()) == length
