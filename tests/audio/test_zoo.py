"""Every format with every depth and layout that it claims to keep (tests/format_table.py), read back by FFmpeg's programs.

Without these the program's own reader is asked. The process changes nothing, so whatever differs is a fault of reading
or writing.
"""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen import flac

from enhance_cli.audio import channels
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.tags.mark import read_mark
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.outputs import Job
from enhance_cli.errors import EnhanceError
from tests import films
from tests.format_table import DEPTHS, LAYOUTS, TABLE

RATE = 48000
FIELD = Path(__file__).parents[1] / "audio_files" / "field"
FFMPEG = shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None
ROWS = [pytest.param(row, id=row.suffix[1:]) for row in TABLE]
TWINS = {"SL": "BL", "SR": "BR", "BL": "SL", "BR": "SR"}  # 5.1 is written both ways


def copied(source, target):
    """The record's fields of `enhance` on a file whose samples it leaves alone."""
    return enhance_file(
        Job(source, source, target), lambda blocks, *_: blocks, FileOptions(command="denoise", dither="none")
    )


def probe(path):
    """What ffprobe says of a file: the first sound stream and the tags of file and stream, with small letters."""
    facts = films.probe(path, "-show_streams", "-show_format", "-select_streams", "a:0")
    (stream,) = facts["streams"]
    tags = {**facts["format"].get("tags", {}), **stream.get("tags", {})}
    return stream, {name.lower(): text for name, text in tags.items()}


def heard(path):
    """The samples (C, N) float64 of a file by FFmpeg, or by the program's own reader."""
    if not FFMPEG:
        with open_audio(path) as audio:
            return np.concatenate(list(audio.blocks()), axis=1).astype(np.float64)
    stream, _ = probe(path)
    command = ("ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:0", "-c:a", "pcm_f64le", "-f", "f64le", "-")
    raw = films.output(path, *command)
    return np.frombuffer(raw, "<f8").reshape(-1, stream["channels"]).T


def tones(layout, seconds=0.6):
    """A tone of its own for every loudspeaker, which swells and fades so that its time can be found."""
    pitch = {name: 300 + 150 * k for k, name in enumerate(channels.SPEAKERS)} | {"LFE": 60}
    time = np.arange(round(seconds * RATE)) / RATE
    return np.stack([0.2 * np.sin(2 * np.pi * pitch[name] * time) for name in layout]) * np.sin(np.pi * time / seconds)


def extensible(path, samples, mask, subtype="PCM_16"):
    """A WAVE_FORMAT_EXTENSIBLE file with this channel mask."""
    soundfile.write(path, samples.T, RATE, format="WAVEX", subtype=subtype)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"fmt ") + 28, mask)
    path.write_bytes(raw)
    return path


DEPTH_CASES = [pytest.param(row, depth, id=f"{row.suffix[1:]} {depth}") for row in TABLE for depth in DEPTHS
               if row.depths or depth in ("PCM_24", "FLOAT")]  # fmt: skip
LAYOUT_CASES = [
    pytest.param(row, name, id=f"{row.suffix[1:]} {name}", marks=() if name == "5.1" else pytest.mark.slow)
    for row in TABLE
    for name in LAYOUTS
    if row.layouts or name == "5.1"
]


@pytest.mark.parametrize("row, subtype", DEPTH_CASES)
def test_depths_are_kept_bit_by_bit_or_the_loss_is_told(row, subtype, tmp_path):
    """Stereo of the full range. A lossy codec keeps length, timing and level of a tone."""
    source, target = tmp_path / "a.wav", tmp_path / f"b{row.suffix}"
    if not row.depths:
        soundfile.write(source, tones(("FL", "FR")).T, RATE, subtype=subtype)
        copied(source, target)
        with open_audio(source) as before, open_audio(target) as after:
            x, y = (np.concatenate(list(file.blocks()), axis=1) for file in (before, after))
        assert y.shape == x.shape
        for a, b in zip(x, y):
            late = int(np.argmax(np.correlate(b[2000:-2000], a[1900:-1900], "valid"))) - 100
            assert abs(late) <= 1 and abs(20 * np.log10(np.vdot(b, a) / np.vdot(a, a))) < 0.1
        return
    values = np.random.default_rng(0).integers(-(2**31), 2**31, (9600, 2)) / 2.0**31
    soundfile.write(source, values, RATE, subtype=subtype)
    notes = copied(source, target)["notes"]
    exact = np.array_equal(soundfile.read(source)[0].T, heard(target))
    assert exact if subtype in row.depths else "are not kept" in " ".join(notes) or subtype == "FLOAT"


@pytest.mark.parametrize("row, name", LAYOUT_CASES)
def test_every_tone_stands_at_its_own_loudspeaker_or_the_loss_is_told(row, name, tmp_path):
    layout = tuple(LAYOUTS[name].split())
    source = extensible(tmp_path / "a.wav", tones(layout), channels.to_mask(layout))
    target = tmp_path / f"b{row.suffix}"
    try:
        notes = copied(source, target)["notes"]
    except EnhanceError as refusal:
        assert len(layout) > row.most and "channels" in str(refusal)
        return
    with open_audio(target) as audio:
        found = audio.info.layout
    if name not in row.layouts:
        assert "does not name the loudspeakers" in " ".join(notes)
        assert found is None or channels.permutation(layout, found) is None  # Xiph's codecs always mean some
        return
    assert not [note for note in notes if "loudspeaker" in note]
    assert found is not None and channels.permutation(layout, found) is not None
    stream = probe(target)[0] if FFMPEG else {}
    if "channel_layout" in stream and " " not in stream["channel_layout"]:  # FFmpeg's names in its own order
        found = tuple(speaker.name for speaker in named(stream["channel_layout"]).channels)
    after = heard(target)
    spectra = np.abs(np.fft.rfft(after * np.hanning(after.shape[1])))
    peaks = dict(zip(found, spectra.argmax(axis=1) * RATE / after.shape[1]))
    wanted = dict(zip(layout, np.abs(np.fft.rfft(tones(layout))).argmax(axis=1) / 0.6))
    for speaker, pitch in wanted.items():
        assert abs(peaks.get(speaker, peaks.get(TWINS.get(speaker, ""), 0)) - pitch) < 12, speaker


def named(layout):
    import av

    return av.AudioLayout(layout)


@pytest.mark.parametrize("row", ROWS)
def test_as_many_channels_as_are_claimed_come_back(row, tmp_path):
    samples = np.random.default_rng(0).integers(-(2**14), 2**14, (row.most, 4800)) / 2.0**15
    source, target = tmp_path / "a.wav", tmp_path / f"b{row.suffix}"
    soundfile.write(source, samples.T, RATE, format="WAVEX")
    copied(source, target)
    after = heard(target)
    assert after.shape[0] == row.most
    assert not row.depths or np.array_equal(after, samples)


@pytest.mark.parametrize("row", ROWS)
def test_texts_pictures_chapters_and_time_codes_are_carried_or_named(row, tmp_path):
    source, target = tmp_path / "a.flac", tmp_path / f"b{row.suffix}"
    soundfile.write(source, np.zeros((RATE, 1)), RATE)
    file, picture = flac.FLAC(source), flac.Picture()
    file["title"], file["artist"] = "Name", "Someone"
    picture.data, picture.mime, picture.type = b"\x89PNG" + bytes(100), "image/png", 3
    file.add_picture(picture)
    file.save()
    lost = copied(source, target)["tags_lost"]
    assert row.texts == (not {"title", "artist"} & set(lost)) and row.picture == ("pictures" not in lost)
    if FFMPEG and row.texts:
        _, tags = probe(target)
        assert tags.get("title") == "Name" and tags.get("artist") == "Someone"
    assert read_mark(target) == "denoise"
    chapters = copied(FIELD / "chapters.m4a", tmp_path / f"chapters{row.suffix}")["tags_lost"]
    assert row.chapters == ("chapters" not in chapters)
    code = copied(FIELD / "timecode_ixml.wav", tmp_path / f"code{row.suffix}")["tags_lost"]
    assert row.time_code == (not {"bext", "iXML"} & set(code))
