"""Which loudspeaker a channel is for: kept through every container, and weighed as BS.1770 says."""

import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from enhance_cli.audio import channels
from enhance_cli.audio.formats import output_format
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.write import AudioWriter
from tests import audio_zoo as zoo

RATE = 48000
LAYOUTS = {
    "mono left": "FL", "2.1": "FL FR LFE", "3.0": "FL FR FC", "LCRS": "FL FR FC BC", "quad": "FL FR BL BR",
    "5.0": "FL FR FC BL BR", "5.0 side": "FL FR FC SL SR", "5.1": "FL FR FC LFE BL BR", "5.1 side": "FL FR FC LFE SL SR",
    "6.1": "FL FR FC LFE BC SL SR", "7.1": "FL FR FC LFE BL BR SL SR", "7.1 wide": "FL FR FC LFE BL BR FLC FRC",
}  # fmt: skip


def tones(layout, seconds=0.5):
    """A tone of its own for every loudspeaker, whatever its place in the file; the low one can pass an LFE."""
    pitch = {name: 300 + 150 * k for k, name in enumerate(channels.SPEAKERS)} | {"LFE": 60}
    time = np.arange(round(seconds * RATE)) / RATE
    return np.stack([0.2 * np.sin(2 * np.pi * pitch[name] * time) for name in layout]).astype(np.float32), pitch


def extensible(path, layout, ambisonic=False):
    """A WAVE_FORMAT_EXTENSIBLE file with the mask of the layout."""
    audio, _ = tones(layout)
    soundfile.write(path, audio.T, RATE, format="WAVEX", subtype="PCM_24")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"fmt ") + 8
    raw[at + 20 : at + 24] = struct.pack("<I", 0 if ambisonic else channels.to_mask(layout))
    if ambisonic:
        raw[at + 28 : at + 40] = channels.AMBISONIC
    path.write_bytes(raw)
    return path


def copy(source, target):
    """What the program does to a file whose samples it leaves alone."""
    with open_audio(source) as audio:
        fmt = output_format(audio.info, target.suffix)
        with AudioWriter(target, fmt, audio.info.channels, audio.info.frames) as writer:
            for block in audio.blocks():
                writer.write(block)
    return fmt


def found(path):
    """Loudspeaker -> strongest frequency of its channel."""
    with open_audio(path) as audio:
        samples = np.concatenate(list(audio.blocks()), axis=1)
    spectra = np.abs(np.fft.rfft(samples * np.hanning(samples.shape[1])))
    return dict(zip(audio.info.layout or (), np.round(spectra.argmax(axis=1) * RATE / samples.shape[1])))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a", ".caf", ".aiff", ".ogg", ".opus"])
def test_every_channel_stays_with_its_loudspeaker_or_it_is_said(name, suffix, tmp_path):
    layout = tuple(LAYOUTS[name].split())
    _, pitch = tones(layout)
    target = tmp_path / f"b{suffix}"
    fmt = copy(extensible(tmp_path / "a.wav", layout), target)
    if fmt.notes:
        assert "does not name the loudspeakers" in fmt.notes[0]
        assert suffix in (".ogg", ".opus", ".m4a") and name not in ("3.0", "quad", "5.0", "5.1", "5.1 side", "7.1")
        return
    after = found(target)
    if not after:
        assert len(layout) <= 2
        return
    twins = {"SL": "BL", "SR": "BR"} if suffix in (".ogg", ".opus", ".m4a", ".flac") else {}
    for speaker in layout:
        place = speaker if speaker in after else twins[speaker]
        assert abs(after[place] - pitch[speaker]) < 12


@pytest.mark.parametrize(
    "names",
    ["FL FR FC LFE", "FL FR FC BC SL SR", "FL FR FLC FRC SL SR", "FL FR FC BL BR BC", "FL FR FC BL BR SL SR",
     "FL FR FC LFE BL BR FLC FRC", "FL FR FC BL BR BC SL SR"],
)  # fmt: skip
def test_channels_that_aac_cannot_name_are_told_and_keep_their_treble(names, tmp_path):
    """A channel that takes the place of LFE would lose all above a few hundred hertz."""
    layout = tuple(names.split())
    audio, pitch = tones(layout)
    fmt = copy(extensible(tmp_path / "a.wav", layout), tmp_path / "b.m4a")
    assert "does not name the loudspeakers" in fmt.notes[0]
    with open_audio(tmp_path / "b.m4a") as file:
        after = np.concatenate(list(file.blocks()), axis=1)
    assert after.shape == audio.shape
    peaks = np.abs(np.fft.rfft(after * np.hanning(after.shape[1]))).argmax(axis=1) * RATE / after.shape[1]
    assert np.allclose(peaks, [pitch[name] for name in layout], atol=12)


@pytest.mark.parametrize(
    ("names", "named"),
    [("FL FR LFE", False), ("FL FR FC BC", True), ("FL FR BL BR", False), ("FL FR FC BL BR", True),
     ("FL FR FC LFE SL SR", True), ("FL FR FC LFE BL BR BC", True), ("FL FR FC LFE BC SL SR", True),
     ("FL FR FC LFE BL BR SL SR", False), ("FL FR FC LFE BL BR FLC FRC", True)],
)  # fmt: skip
def test_apple_lossless_holds_eight_channels_and_says_which_it_cannot_name(names, named, tmp_path):
    layout = tuple(names.split())
    source, target = extensible(tmp_path / "a.wav", layout), tmp_path / "b.m4a"
    with open_audio(source) as before:
        fmt = output_format(before.info, ".m4a", bit_depth="24")
        with AudioWriter(target, fmt, len(layout)) as writer:
            for block in before.blocks():
                writer.write(block)
        assert bool(fmt.notes) != named and (named or "does not name the loudspeakers" in fmt.notes[0])
        with open_audio(target) as after:
            assert after.info.subtype == "ALAC_24" and (not named or channels.permutation(layout, after.info.layout))
            x, y = (np.concatenate(list(file.blocks()), axis=1) for file in (before, after))
    assert np.array_equal(x[list(fmt.order or range(len(layout)))], y)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_mask_is_copied_as_it_is(name, tmp_path):
    layout = tuple(LAYOUTS[name].split())
    source = extensible(tmp_path / "a.wav", layout)
    copy(source, tmp_path / "b.wav")
    a, b = (path.read_bytes() for path in (source, tmp_path / "b.wav"))
    assert a[a.index(b"fmt ") :][:48] == b[b.index(b"fmt ") :][:48]


def test_ambisonic_sound_stays_ambisonic_and_a_mask_that_names_too_few_is_kept(tmp_path):
    for ambisonic in (True, False):
        source = extensible(tmp_path / "a.wav", ("FL", "FR", "FC", "LFE"), ambisonic)
        raw = bytearray(source.read_bytes())
        if not ambisonic:
            raw[raw.index(b"fmt ") + 28 :][:4] = struct.pack("<I", 3)
        source.write_bytes(raw)
        copy(source, tmp_path / "b.wav")
        b = (tmp_path / "b.wav").read_bytes()
        assert bytes(raw[raw.index(b"fmt ") :][:48]) == b[b.index(b"fmt ") :][:48]


@pytest.mark.parametrize("tag", [100, 115, 117, 119, 121, 123, 124, 128, *range(133, 145), *range(148, 158)])
def test_core_audio_layouts_by_tag(tag, tmp_path):
    names = channels._TAGS[tag].split()
    chunk = struct.pack(">III", tag << 16 | len(names), 0, 0)
    assert channels.from_core_audio(chunk, len(names)) == tuple(names)
    assert channels.from_core_audio(chunk, len(names) + 1) is None
    assert channels.from_core_audio(channels.to_core_audio(tuple(names)), len(names)) == tuple(names)


@pytest.mark.parametrize("name", ["2.1", "3.1", "4.0", "4.1", "5.0", "5.1", "6.0", "6.1", "7.1"])
def test_every_tone_of_a_caf_by_ffmpeg_is_at_its_loudspeaker(name, tmp_path):
    import av

    layout = tuple(channel.name for channel in av.AudioLayout(name).channels)
    audio, pitch = tones(layout)
    with av.open(str(tmp_path / "a.caf"), "w", format="caf") as new:
        stream = new.add_stream("pcm_s16le", rate=RATE, layout=name)
        samples = np.ascontiguousarray((audio * 32767).astype(np.int16).T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=name)
        frame.sample_rate = RATE
        new.mux(stream.encode(frame))
        new.mux(stream.encode(None))
    copy(tmp_path / "a.caf", tmp_path / "b.wav")
    side = {"SL": "BL", "SR": "BR"} if "BL" not in layout else {}  # Core Audio has one name for both
    expected = {side.get(key, key): pitch[key] for key in layout}
    for path in (tmp_path / "a.caf", tmp_path / "b.wav"):
        after = {side.get(key, key): value for key, value in found(path).items()}
        assert after == pytest.approx(expected, abs=12)


def test_a_flac_says_what_its_source_says_of_back_and_side(tmp_path):
    """Without a comment 5.1 may be either, and FFmpeg takes it for the side."""
    mask = b"CHANNEL_MASK=0x003F"
    stated = tmp_path / "stated.flac"
    copy(extensible(tmp_path / "a.wav", channels.FLAC_LAYOUTS[6]), stated)
    copy(stated, tmp_path / "again.flac")
    assert mask in stated.read_bytes() and mask in (tmp_path / "again.flac").read_bytes()
    soundfile.write(tmp_path / "plain.flac", np.zeros((4800, 6)), RATE)
    copy(tmp_path / "plain.flac", tmp_path / "plain_again.flac")
    assert b"CHANNEL_MASK" not in (tmp_path / "plain_again.flac").read_bytes()


@pytest.mark.parametrize("suffix", [".caf", ".aiff"])
def test_core_audio_files_of_other_sources_are_in_the_order_of_the_mask(suffix, tmp_path):
    audio, pitch = tones(channels.VORBIS_LAYOUTS[6])
    soundfile.write(tmp_path / "a.ogg", audio.T, RATE, format="OGG", subtype="VORBIS")
    copy(tmp_path / "a.ogg", tmp_path / f"b{suffix}")
    after = found(tmp_path / f"b{suffix}")
    assert tuple(after) == channels.FLAC_LAYOUTS[6] and all(abs(after[name] - pitch[name]) < 12 for name in after)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program to compare with")
def test_ffmpeg_finds_each_tone_at_the_same_loudspeaker(tmp_path):
    layout = channels.FLAC_LAYOUTS[6]
    _, pitch = tones(layout)
    source = extensible(tmp_path / "a.wav", layout)
    for suffix in (".wav", ".flac", ".ogg", ".opus", ".m4a", ".caf"):
        target = tmp_path / f"b{suffix}"
        copy(source, target)
        command = ["ffmpeg", "-v", "error", "-i", target, "-f", "f32le", "-ar", str(RATE), "-"]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        spectra = np.abs(np.fft.rfft(np.frombuffer(raw, "<f4").reshape(-1, 6)[:20000].T * np.hanning(20000)))
        peaks = spectra.argmax(axis=1) * RATE / 20000
        assert np.allclose(peaks, [pitch[name] for name in layout], atol=12), suffix


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program to compare with")
@pytest.mark.parametrize("name", ["3.0", "LCRS", "quad", "5.0", "5.0 side", "5.1", "5.1 side", "6.1", "7.1"])
def test_loudness_is_that_of_ffmpeg_within_a_fifth_of_a_unit(name, tmp_path):
    layout = tuple(LAYOUTS[name].split())
    path = tmp_path / "a.wav"
    extensible(path, layout)
    raw = bytearray(path.read_bytes())
    noise = (np.random.default_rng(0).standard_normal((len(layout), 24000)) * 0.1 * 2**23).astype("<i4")
    start = raw.index(b"data") + 8
    packed = noise.T.ravel().astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    raw[start : start + len(packed)] = packed
    path.write_bytes(raw)
    command = ["ffmpeg", "-nostats", "-i", path, "-af", "ebur128", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    other = float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])
    with open_audio(path) as audio:
        meter = Meter(RATE, len(layout), layout=audio.info.layout)
        for block in audio.blocks():
            meter.push(block)
    assert meter.loudness == pytest.approx(other, abs=0.2)


def test_channels_are_not_moved_where_nothing_is_known_of_them(tmp_path):
    audio = zoo.noise(6)
    zoo.save(tmp_path / "a.wav", audio)
    copy(tmp_path / "a.wav", tmp_path / "b.wav")
    with open_audio(tmp_path / "b.wav") as file:
        assert file.info.layout is None and file.info.container == "WAV"
        assert np.array_equal(np.concatenate(list(file.blocks()), axis=1), audio)


def info(container, layout, count):
    return AudioInfo(None, container, "PCM_16", RATE, count, 1, "libsndfile", layout=layout)


def test_orders():
    fmt = output_format(info("OGG", channels.VORBIS_LAYOUTS[6], 6), ".wav")
    assert (fmt.container, fmt.order, fmt.mask) == ("WAVEX", (0, 2, 1, 5, 3, 4), 0x3F)
    assert output_format(info("WAV", None, 6), ".ogg").order == (0, 2, 1, 4, 5, 3)
    assert output_format(info("WAV", ("FL", "FR"), 2), ".wav").container == "WAV"


def test_a_mean_that_cancels_its_channels_is_told_and_one_that_does_not_is_not(tmp_path):
    from enhance_cli.audio.one_channel import CANCELED, only_channels
    from enhance_cli.audio.read import open_audio

    left = zoo.noise(1)
    for other, notes in ((-left, [CANCELED]), (left, [])):
        path = zoo.save(tmp_path / "a.wav", np.concatenate([left, other]))
        with open_audio(path) as opened:
            audio = only_channels(opened, "mix")
            for _ in range(2):  # a long file is read twice
                for _ in audio.blocks():
                    pass
            assert audio.notes == notes


@pytest.mark.parametrize("length", [0x30, 0x39, 0x41, 0x66])
def test_the_mask_of_a_flac_ends_where_its_comment_ends(length, tmp_path):
    """The length of the next comment follows, and may be a digit in ASCII."""
    from mutagen import flac

    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros((100, 4)), 16000)
    file = flac.FLAC(path)
    file.tags["WAVEFORMATEXTENSIBLE_CHANNEL_MASK"] = "0x0107"
    file.tags["X"] = "x" * (length - 2)
    file.save()
    with open_audio(path) as audio:
        assert audio.info.layout == ("FL", "FR", "FC", "BC")
