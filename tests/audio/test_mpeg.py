"""MP3 files that do not state their length, as dictaphones write them: all of it is read, or it is said why not."""

import io
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.containers import mpeg
from enhance_cli.audio.library_messages import caught_messages
from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError

RATE, SECONDS, FRAME = 44100, 6, 1152
TAG = b"ID3\x03\0\0\0\0\x4e\x20" + bytes(10016)  # room for a cover


def bare(path, mode):
    """A tone that turns into noise halfway, without the encoder's header, behind a tag: how many samples its frames hold."""
    time = np.arange(RATE * SECONDS) / RATE
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, time.size)
    audio = np.where(time < SECONDS / 2, 0.3 * np.sin(2 * np.pi * 440 * time), noise)
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, format="MP3", bitrate_mode=mode, compression_level=0.5)
    assert mpeg.states_length(file)
    frames = list(mpeg.frames(file))[1:]
    path.write_bytes(TAG + b"".join(frames))
    return len(frames) * FRAME


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_a_file_that_does_not_state_its_length_is_read_to_its_end(mode, tmp_path):
    held = bare(tmp_path / "a.mp3", mode)
    with open(tmp_path / "a.mp3", "rb") as file:
        assert not mpeg.states_length(file) and mpeg.varies(file) == (mode == "VARIABLE")
    with open_audio(tmp_path / "a.mp3") as file:
        audio = np.concatenate(list(file.blocks()), axis=1)[0]
    assert abs(audio.size - held) <= 2 * FRAME
    assert audio[RATE : 2 * RATE].std() == pytest.approx(0.3 / 2**0.5, rel=0.1)
    assert audio[-RATE:].std() == pytest.approx(0.3 / 3**0.5, rel=0.2)


def test_what_the_decoder_prints_is_told_with_the_name_of_the_file_and_once(tmp_path):
    """libmpg123 prints on standard error where a header counts other bytes than there are."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.zeros(RATE), RATE, format="MP3", bitrate_mode="CONSTANT")
    raw = bytearray(path.read_bytes())
    at = max(raw.find(b"Info"), raw.find(b"Xing"))
    struct.pack_into(">I", raw, at + 12, 2 * struct.unpack_from(">I", raw, at + 12)[0])
    path.write_bytes(raw)
    code = (
        "import sys\nfrom enhance_cli.audio.read import open_audio\n"
        "with open_audio(sys.argv[1]) as audio: print(sum(b.shape[1] for b in audio.blocks()), audio.notes)"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert run.stdout.startswith(str(RATE)) and run.stdout.count("libmpg123 says of it: Warning: Xing stream size") == 1
    assert not run.stderr


def test_what_the_decoder_prints_of_damaged_frames_is_told_once_of_each_kind(tmp_path, capfd):
    path = tmp_path / "a.mp3"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(5 * RATE), RATE, format="MP3")
    with path.open("rb") as file:
        frames = list(mpeg.frames(file))
    for number in range(3, len(frames), 20):  # their headers stay
        frames[number] = frames[number][:4] + (len(frames[number]) - 4) * b"\xff"
    path.write_bytes(b"".join(frames))
    with open_audio(path) as audio:
        assert not audio.notes
        for _ in range(2):  # a long file is read twice
            assert abs(sum(block.shape[1] for block in audio.blocks(4096)) - 5 * RATE) < RATE
        notes = audio.notes
    assert not capfd.readouterr().err
    assert 0 < len(notes) < 12 and all(note.startswith("libmpg123 says of it: ") for note in notes)
    kinds = [re.sub(r"\d+", "", note) for note in notes]
    assert len(set(kinds)) == len(kinds)


def test_a_jump_into_an_mp3_says_nothing_on_standard_error(tmp_path, capfd):
    """libmpg123 prints that it lacks the bits which frames before the jump have saved for the one behind it."""
    path, rate = tmp_path / "a.mp3", 16000
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, 3 * rate)
    bursts = noise * (np.arange(noise.size) % 5000 > 4000)  # quiet frames save bits for loud ones
    soundfile.write(path, bursts, rate, format="MP3")
    places = range(1000, noise.size - 2000, 1000)
    with soundfile.SoundFile(path) as file:
        for at in places:
            file.seek(at)
            file.read(1000)
    assert "part2_3_length" in capfd.readouterr().err
    with open_audio(path) as audio:
        for at in places:
            assert next(audio.blocks(1000, start=at / rate)).shape == (1, 1000)
    assert not capfd.readouterr().err


def test_lines_of_others_are_passed_on_meanwhile(capfd):
    lines, others = [], "said by another thread\nerror: b.flac is truncated\nwarning: two files without a partner\n"
    of_library = [
        "Warning: Xing stream size off",
        "[src/libmpg123/layer3.c:do_layer3():1800] error: dequantization failed!",
    ]
    with caught_messages(lines):
        os.write(2, "\n".join([*of_library, of_library[0], others]).encode())
    assert lines == of_library and capfd.readouterr().err == others


@pytest.mark.parametrize(("byte", "bits"), [(2, 0x04), (3, 0xC0)])
def test_a_frame_that_counts_may_be_of_another_kind_than_those_with_sound(byte, bits, tmp_path):
    """Such a header once led in a circle: frames of its rate and channels were looked for where others began again."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, 0.1 * np.ones((RATE, 2)), RATE, format="MP3", bitrate_mode="VARIABLE")
    raw = bytearray(path.read_bytes())
    raw[byte] ^= bits  # the rate, or mono
    path.write_bytes(raw)
    with path.open("rb") as file:
        first = next(mpeg.frames(file))
        found = mpeg.first_recording(file, lambda at, end: end)
    assert found.end >= len(first) + 4 * 64 and found.gaps == 0


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [16000, RATE])
def test_overwritten_bytes_are_silence_and_the_rest_keeps_its_time(rate, mode, channels, tmp_path):
    """Two places, of 300 bytes of zeros and 700 of noise. Nothing is louder than it was, which glitches would be."""
    rng = np.random.default_rng(0)
    t = np.arange(6 * rate) / rate
    tones = 0.3 * np.sin(2 * np.pi * np.array([[440], [660]])[:channels] * t * (1 + 0.1 * np.sin(t)))
    path = tmp_path / "a.mp3"
    noise = 0.01 * rng.standard_normal((t.size, channels))
    soundfile.write(path, tones.T + noise, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)
    whole = samples(path)[0]
    raw = bytearray(path.read_bytes())
    for share, spoiled in ((0.3, bytes(300)), (0.7, rng.bytes(700))):
        at = int(share * len(raw))
        raw[at : at + len(spoiled)] = spoiled
    path.write_bytes(raw)
    damaged, notes = samples(path)
    assert damaged.shape == whole.shape and "damaged in 2 places: silence was put there" in " ".join(notes)
    changed = np.flatnonzero((np.abs(damaged - whole) > 1e-3).any(axis=0))
    assert 2 * FRAME < changed.size < 80 * FRAME * rate / RATE  # 2 seconds
    for kept in (slice(0, rate), slice(changed[0] + int(1.5 * rate), changed[0] + 2 * rate), slice(-rate // 2, None)):
        np.testing.assert_allclose(damaged[:, kept], whole[:, kept], atol=1e-3)
    assert np.abs(damaged).max() < 1.2 * np.abs(whole).max()


def test_an_mp3_of_which_a_third_is_spoiled_is_refused(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(5 * RATE), RATE, format="MP3")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3 : 2 * len(raw) // 3] = bytes(2 * len(raw) // 3 - len(raw) // 3)
    path.write_bytes(raw)
    with pytest.raises(AudioError, match="truncated"):
        samples(path)


def samples(path):
    """The samples (C, N) of a file, and its notes."""
    with open_audio(path) as file:
        return np.concatenate(list(file.blocks()), axis=1), file.notes
