"""Reading: every sound file is read whole and exactly, every broken one says what is wrong with it."""

import os
import re
import socket
import sys

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError
from tests import audio_zoo as zoo


def read(path, **kwargs):
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks(**kwargs)), axis=1), audio.info


@pytest.mark.parametrize("build", zoo.BROKEN, ids=lambda build: build.__name__)
def test_a_broken_file_says_what_is_wrong(build, tmp_path):
    path = build(tmp_path)
    with pytest.raises(AudioError) as error:
        read(path)
    assert zoo.BROKEN[build] in error.value.message
    assert path.name in error.value.message and error.value.hint and "\n" not in str(error.value)


@pytest.mark.parametrize("build", zoo.ODD, ids=lambda build: build.__name__)
def test_an_odd_file_is_read_whole(build, tmp_path):
    audio, info = read(build(tmp_path))
    assert audio.shape == (info.channels, zoo.ODD[build])
    assert info.frames in (None, zoo.ODD[build])


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
    ("FLAC", "PCM_16"),
     ("FLAC", "PCM_24"), ("AIFF", "PCM_16"), ("CAF", "ALAC_16"), ("W64", "PCM_16"), ("RF64", "PCM_16")],
)  # fmt: skip
def test_lossless_formats_give_the_samples_that_were_written(container, subtype, tmp_path):
    expected = zoo.noise(channels=3)
    audio, info = read(zoo.save(tmp_path / "file", expected, 22050, container, subtype))
    assert (info.container, info.subtype, info.rate, info.frames) == (container, subtype, 22050, zoo.FRAMES)
    assert np.array_equal(audio, expected)


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [("OGG", "VORBIS", 44100), ("OGG", "OPUS", 48000), ("MP3", "MPEG_LAYER_III", 44100)],
)
def test_lossy_formats_keep_length_and_know_their_bit_rate(container, subtype, rate, tmp_path):
    audio, info = read(zoo.save(tmp_path / "file", zoo.noise(2, frames=3 * rate + 17), rate, container, subtype))
    assert audio.shape == (2, 3 * rate + 17)
    assert 32_000 < info.bitrate < 520_000


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
def test_devices_sockets_and_links_in_a_circle_are_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # since the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.wav")
        os.symlink("circle.wav", "circle.wav")
        os.symlink("/dev/zero", "zero.wav")
        for name, said in [
            ("socket.wav", "is a device or a socket, not a file: name a recording"),
            ("zero.wav", "is a device or a socket, not a file: name a recording"),
            ("circle.wav", "cannot be opened (Too many levels of symbolic links): check"),
        ]:
            with pytest.raises(AudioError, match=re.escape(f"{name} {said}")):
                open_audio(name)


def test_gsm_which_cannot_be_sought_in_is_read_whole_and_from_any_start(tmp_path):
    path = zoo.save(tmp_path / "call.wav", zoo.noise(frames=3200), 8000, subtype="GSM610")
    whole, info = read(path)
    assert (
        whole.shape == (1, 3200) and info.subtype == "GSM610" and np.abs(whole - zoo.noise(frames=3200)).mean() < 0.05
    )
    part, _ = read(path, start=0.1, duration=0.2)
    assert np.array_equal(part, whole[:, 800:2400])


def test_32_bit_integers_keep_every_bit(tmp_path):
    numbers = np.random.default_rng(0).integers(-(2**31), 2**31, (1000, 1), dtype=np.int32)
    soundfile.write(tmp_path / "x.wav", numbers, 48000, subtype="PCM_32")
    audio, _ = read(tmp_path / "x.wav")
    assert np.array_equal(audio * 2.0**31, numbers.T)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "M4A"])
@pytest.mark.parametrize("frames", [7, 999, 4096, 1 << 20])
def test_blocks_of_any_size_join_to_the_same_whole_and_can_be_read_again(container, frames, tmp_path):
    path = zoo.alac(tmp_path) if container == "M4A" else zoo.save(tmp_path / "x", zoo.noise(2), container=container)
    with open_audio(path) as audio:
        whole = np.concatenate(list(audio.blocks()), axis=1)
        blocks = list(audio.blocks(frames))
    assert all(block.shape[1] == frames for block in blocks[:-1])
    assert np.array_equal(np.concatenate(blocks, axis=1), whole)


@pytest.mark.slow
@pytest.mark.parametrize("build", [zoo.rf64, zoo.wrong_extension, zoo.alac])
def test_start_and_duration_cut_to_the_sample(build, tmp_path):
    path = build(tmp_path)
    whole, info = read(path)
    part, _ = read(path, start=0.1, duration=0.05, frames=333)
    first = round(0.1 * info.rate)
    assert np.array_equal(part, whole[:, first : first + round(0.05 * info.rate)])


@pytest.mark.parametrize("build", [zoo.rf64, zoo.wrong_extension, zoo.alac])
def test_a_start_beyond_the_end_is_an_error(build, tmp_path):
    with pytest.raises(AudioError, match="no audio after 60 s"):
        read(build(tmp_path), start=60)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav does not exist"):
        open_audio(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match="is a folder"):
        open_audio(tmp_path)
    with pytest.raises(AudioError, match="cannot be opened"):
        open_audio(tmp_path / ("x" * 300 + ".wav"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = zoo.one_sample(tmp_path)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # to root nothing is forbidden
        os.seteuid(65534)
    try:
        with pytest.raises(AudioError, match="may not be read"):
            open_audio(path)
    finally:
        os.seteuid(user)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf_8_are_read(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    os.rename(zoo.one_sample(tmp_path), path)
    assert read(path)[0].shape == (1, 1)


def test_a_damaged_middle_is_not_passed_over(tmp_path):
    path = zoo.save(tmp_path / "x.flac", zoo.noise(frames=100_000), container="FLAC")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 20_000] = bytes(20_000)
    path.write_bytes(raw)
    with pytest.raises(AudioError, match="damaged|truncated"):
        read(path)


def test_a_recording_over_4_gb_is_read_to_its_last_sample(tmp_path):
    path = zoo.sparse_rf64(tmp_path)
    assert path.stat().st_size > 2**32
    with open_audio(path) as audio:
        assert audio.info.container == "RF64" and audio.info.frames == 1_100_000_000
        end = np.concatenate(list(audio.blocks(start=(1_100_000_000 - 48000) / 48000)), axis=1)
    assert end.shape == (2, 48000) and end[0, -1] == 0.5 and not end[:, :-1].any()


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
@pytest.mark.parametrize("build", [zoo.rf64, zoo.alac])
def test_leaving_a_file_half_read_closes_it(build, tmp_path):
    path = build(tmp_path)
    with open_audio(path) as audio:
        before = len(os.listdir("/proc/self/fd"))
        running = [audio.blocks(100), audio.blocks(100)]
        assert all(next(blocks).shape[1] == 100 for blocks in running)
        assert len(os.listdir("/proc/self/fd")) == before + 2
    assert len(os.listdir("/proc/self/fd")) <= before  # a decoder process that was at work has gone with its pipes


def test_a_flac_that_does_not_state_its_length_is_read_from_any_place(tmp_path):
    whole, info = read(zoo.streamed_flac(tmp_path), frames=1000)
    assert info.frames is None and np.array_equal(whole, zoo.noise())
    end, _ = read(tmp_path / "streamed.flac", start=0.5)
    assert np.array_equal(end, whole[:, info.rate // 2 :])


def test_of_a_truncated_flac_it_says_how_much_is_there(tmp_path):
    with pytest.raises(AudioError, match=r"only [1-9][0-9]+ of"):
        read(zoo.truncated_flac(tmp_path))
