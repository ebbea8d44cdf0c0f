"""What came in comes out: container, sample type, rate, channels, tags; and other formats when they are asked for.

The model changes nothing here, so lossless files must come back sample for sample.
"""

import mutagen
import numpy as np
import pytest
import soundfile

from enhance_cli.audio.containers import chunks
from tests import audio_zoo as zoo

LOSSLESS = [
    ("WAV", "PCM_16", 44100, 2, "wav"),
    ("WAV", "PCM_U8", 8000, 1, "wav"),
    ("WAV", "PCM_24", 48000, 1, "wav"),
    ("WAV", "PCM_32", 192000, 1, "wav"),
    ("WAV", "FLOAT", 16000, 6, "wav"),
    ("WAV", "DOUBLE", 22050, 1, "wav"),
    ("WAV", "ULAW", 8000, 1, "wav"),
    ("RF64", "PCM_24", 48000, 2, "rf64"),
    ("W64", "PCM_16", 44100, 2, "w64"),
    ("FLAC", "PCM_16", 44100, 2, "flac"),
    ("FLAC", "PCM_24", 96000, 1, "flac"),
    ("AIFF", "PCM_16", 44100, 1, "aiff"),
    ("CAF", "PCM_24", 48000, 2, "caf"),
    ("AU", "PCM_16", 11025, 1, "au"),
]
LOSSY = [
    ("OGG", "VORBIS", 44100, 2, "ogg"),
    ("OGG", "OPUS", 48000, 1, "opus"),
    ("MP3", "MPEG_LAYER_III", 44100, 2, "mp3"),
    ("MP3", "MPEG_LAYER_III", 22050, 1, "mp3"),
]


def file_name(container, subtype, rate, channels, extension) -> str:
    return f"{container}_{subtype}_{rate}_{channels}.{extension}"


def described(path) -> tuple:
    info = soundfile.info(path)
    return info.format, info.subtype, info.samplerate, info.channels, info.frames


def test_container_depth_rate_channels_and_samples_stay_as_they_were(enhance, identity_model, tmp_path):
    (tmp_path / "in").mkdir()
    for container, subtype, rate, channels, extension in LOSSLESS + LOSSY:
        path = tmp_path / "in" / file_name(container, subtype, rate, channels, extension)
        zoo.save(path, zoo.noise(channels, 9601), rate, container, subtype)
    result = enhance("denoise", "in", "-o", "out", "-m", identity_model)
    assert result.code == 0 and len(result.lines) == len(LOSSLESS) + len(LOSSY)
    for case in LOSSLESS + LOSSY:
        before, after = tmp_path / "in" / file_name(*case), tmp_path / "out" / file_name(*case)
        assert described(after) == described(before)
        if case in LOSSLESS:
            kind = {"dtype": "int32"} if case[1] == "PCM_32" else {}
            np.testing.assert_array_equal(soundfile.read(after, **kind)[0], soundfile.read(before, **kind)[0])
        else:
            a, b = (soundfile.read(path, always_2d=True)[0][:, 0] for path in (before, after))
            assert np.corrcoef(a, b)[0, 1] > 0.9, "lossy, but in time"


def test_chunks_of_a_field_recorder_survive(enhance, tiny_model, tmp_path):
    before = zoo.broadcast_wav(tmp_path)
    assert enhance("denoise", before, "-o", "out.wav", "-m", tiny_model).code == 0
    kept = [sorted(_chunks(path)) for path in (before, tmp_path / "out.wav")]
    (mark,) = [(name, text) for name, text in kept[1] if name == b"enhB"]  # of an output
    assert mark[1].startswith(b"denoise source=")
    kept[1].remove(mark)
    assert kept[0] == kept[1] and {name for name, _ in kept[0]} >= {b"bext", b"iXML", b"cue ", b"LIST", b"odd "}


def _chunks(path) -> list[tuple[bytes, bytes]]:
    """(name, content) of all chunks but those that describe or hold the samples."""
    raw, found, position = path.read_bytes(), [], 12
    while position + 8 <= len(raw):
        name, size = raw[position : position + 4], int.from_bytes(raw[position + 4 : position + 8], "little")
        found.append((name, raw[position + 8 : position + 8 + size]))
        position += 8 + size + size % 2
    return sorted(c for c in found if c[0] not in (b"fmt ", b"data", b"fact", b"PEAK", b"JUNK"))


def test_tags_of_music_files_survive_in_their_own_and_in_other_formats(enhance, tiny_model, tmp_path):
    (tmp_path / "in").mkdir()
    for case in LOSSY[:1] + LOSSY[1:3] + LOSSLESS[9:10]:
        path = tmp_path / "in" / file_name(*case)
        zoo.save(path, zoo.noise(case[3], 9600), case[2], *case[:2])
        tags = mutagen.File(path, easy=True)
        tags["title"], tags["artist"] = ["Übung"], ["Zoë"]
        tags.save()
    for output, options in ("same", []), ("flac", ["--format", "flac"]):
        result = enhance("denoise", "in", "-o", output, "-m", tiny_model, *options, "--name", "{stem}_{parent}{ext}")
        assert result.code == 0 and "not carried" not in result.stderr and len(result.lines) == 4
        for line in result.lines:
            tags = mutagen.File(tmp_path / line, easy=True)
            assert (tags["title"], tags["artist"]) == (["Übung"], ["Zoë"])


def test_other_formats_depths_and_rates_when_asked(enhance, identity_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(2, 16001))
    for flags, expected in [
        (["--format", "flac", "--bit-depth", "24"], ("FLAC", "PCM_24", 16000, 2, 16001)),
        (["--bit-depth", "float", "--sample-rate", "48000"], ("WAV", "FLOAT", 48000, 2, 48003)),
        (["--format", "mp3"], ("MP3", "MPEG_LAYER_III", 16000, 2, 16001)),
        (["--sample-rate", "44100"], ("WAV", "PCM_16", 44100, 2, 44103)),
    ]:
        result = enhance("denoise", "a.wav", "-m", identity_model, "--existing", "overwrite", *flags)
        assert result.code == 0 and described(tmp_path / result.lines[0]) == expected


def test_what_no_input_could_be_written_as_is_said_before_any_work(enhance, identity_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(1, 9600), 96000)
    for flags, said in [
        (["--format", "flac", "--bit-depth", "float"], "FLAC cannot hold floats"),
        (["--format", "mp3", "--sample-rate", "96000"], "96000"),
        (["--format", "ogg", "--bit-depth", "16"], "OGG has no bit depth"),
        (["-o", "x.flac", "--bit-depth", "float"], "FLAC cannot hold floats"),
        (["-o", "x.wav", "--format", "mp3"], "--format mp3 does not fit a file named *.wav"),
        (["-o", "x.opus", "--sample-rate", "44100"], "Opus cannot be written at 44100 Hz"),
        (["-o", "-", "--plot"], "a picture cannot go to standard output"),
        (["--report", "nowhere/r.jsonl"], "there is no folder for this report"),
    ]:
        for more in ([], ["--dry-run"]):
            result = enhance("denoise", "a.wav", "-o", "out", "-m", identity_model, *flags, *more)
            assert result.code == 2 and len(result.errors) == 1 and said in result.errors[0]
        assert {path.name for path in tmp_path.iterdir()} == {"a.wav"}


def test_what_only_some_outputs_can_be_fails_those_that_cannot(enhance, identity_model, tmp_path):
    (tmp_path / "in").mkdir()
    zoo.save(tmp_path / "in" / "a.wav", zoo.noise(1, 9600), 48000)
    zoo.save(tmp_path / "in" / "b.mp3", zoo.noise(1, 9600), 48000, "MP3", "MPEG_LAYER_III")
    result = enhance("denoise", "in", "-o", "out", "-m", identity_model, "--bit-depth", "24")
    assert (result.code, result.lines, len(result.errors)) == (1, ["out/a.wav"], 1)
    assert result.errors[0].startswith("error: in/b.mp3: MP3 has no bit depth: ")


@pytest.mark.parametrize("build", [zoo.m4a, zoo.matroska, zoo.refused_opus], ids=lambda build: build.__name__)
def test_what_libsndfile_cannot_read_comes_through_a_fuller_decoder(build, enhance, identity_model, tmp_path):
    pytest.importorskip("av")
    path = build(tmp_path)
    result = enhance("denoise", path, "-o", "out/", "-m", identity_model)
    assert result.code == 0
    from enhance_cli.audio.read import open_audio

    with open_audio(path) as before, open_audio(tmp_path / result.lines[0]) as after:
        a, b = (np.concatenate(list(audio.blocks()), axis=1) for audio in (before, after))
    assert a.shape[0] == b.shape[0] and abs(a.shape[1] - b.shape[1]) < 1500
    n = min(a.shape[1], b.shape[1])
    assert np.corrcoef(a[0, :n], b[0, :n])[0, 1] > 0.9


def test_a_recording_over_4_gb_is_read_and_written(enhance, tiny_model, tmp_path):
    """Of 4.4 GB on input the last second is taken; its result is an ordinary file."""
    path = zoo.sparse_rf64(tmp_path)
    with open(path, "rb") as file:
        assert chunks.walk(file) is not None
    result = enhance("denoise", path, "-o", "end.wav", "-m", tiny_model, "--start", 22915.6, "--strength", 0)
    assert result.code == 0
    samples, rate = soundfile.read(tmp_path / "end.wav")
    assert rate == 48000 and samples[-1].tolist() == [0.5, 0.5] and not samples[:-1].any()
