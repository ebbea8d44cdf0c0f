"""Every file of audio_files/field does what its users may expect of it (see LICENSES.md there for where they come from).

The process changes nothing, so whatever is lost or altered is a fault of reading or writing.
"""

import shutil
import struct
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.read import open_audio
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import Input
from enhance_cli.batch.outputs import plan
from tests.audio_zoo import read

FIELD = Path(__file__).parents[1] / "audio_files" / "field"


def identity(blocks, rate, channels, level):
    return blocks


@pytest.fixture
def enhance(tmp_path):
    """`enhance` of one file of the field into `tmp_path`: fields of the record and the output."""

    def enhance(name, to=None, **options):
        output = str(tmp_path / to) if to else f"{tmp_path}/out/"
        (job,) = plan([Input(FIELD / name, PurePath(name))], output)
        return enhance_file(job, identity, FileOptions(**options)), job.target

    return enhance


def pitches(audio, rate):
    """The strongest frequency of each channel."""
    return [round(np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax() * rate / len(x)) for x in audio]


def test_eight_channels_of_aac_are_read_and_written(enhance):
    before, _ = read(FIELD / "eight_channels.m4a")
    assert before.shape == (8, 24000)
    _, target = enhance("eight_channels.m4a")
    after, file = read(target)
    assert file.info.layout == ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR") and after.shape == before.shape
    assert pitches(after, 48000) == pitches(before, 48000) and len(set(pitches(before, 48000))) == 8


@pytest.mark.parametrize("to", ["a.wav", "a.flac", "a.m4a", "a.caf", "a.ogg", "a.opus"])
def test_every_tone_of_surround_stands_at_its_own_loudspeaker(enhance, to):
    tones = {"FL": 300, "FR": 400, "FC": 500, "LFE": 60, "BL": 600, "BR": 700}
    _, target = enhance("surround51_tones.ogg", to)
    audio, file = read(target)
    assert set(file.info.layout) == set(tones)
    found = dict(zip(file.info.layout, pitches(audio, 48000)))
    assert all(abs(found[name] - pitch) <= 3 for name, pitch in tones.items())


def test_all_three_streams_of_a_chain_come_out(enhance):
    fields, target = enhance("chained_three_seconds.ogg")
    audio, _ = read(target)
    assert audio.shape == (1, 132300) and "3 recordings" in fields["notes"][0]
    assert [pitches(audio[:, i * 44100 + 4410 :][:, :35280], 44100) for i in range(3)] == [[300], [400], [500]]


def test_a_recorder_cut_off_keeps_its_bits_and_its_bext(enhance):
    fields, target = enhance("recorder_cut_off_24bit.wav")
    raw, source = target.read_bytes(), (FIELD / "recorder_cut_off_24bit.wav").read_bytes()
    after = soundfile.info(target)
    assert (after.frames, after.subtype) == (57600, "PCM_24") and b"bext" in raw
    start = source.index(b"data") + 8
    assert raw[raw.index(b"data") + 8 :][: 57600 * 3] == source[start : start + 57600 * 3]
    assert any("holds 1.20 s" in note for note in fields["notes"])


def test_a_camera_gives_24_bits(enhance):
    fields, target = enhance("camera_24bit.mov", "camera.wav")
    source = (FIELD / "camera_24bit.mov").read_bytes()
    raw = target.read_bytes()
    samples = raw[raw.index(b"data") + 8 :][:144000]
    assert soundfile.info(target).subtype == "PCM_24" and samples in source
    assert fields["notes"] == [], "it has no pictures, and its format was chosen by the name of the output"
    fields, film = enhance("camera_24bit.mov")
    audio, file = read(film)
    assert (film.suffix, file.info.subtype, fields["notes"]) == (".mov", "PCM_24", [])
    assert np.array_equal(audio, read(FIELD / "camera_24bit.mov")[0])


def test_a_flac_of_32_bits_says_what_is_lost_or_loses_nothing(enhance):
    fields, target = enhance("thirtytwo_bit.flac")
    assert soundfile.info(target).subtype == "PCM_24" and "32 bits are not kept: the result has 24" in fields["notes"]
    before, file = read(FIELD / "thirtytwo_bit.flac")
    assert before.dtype == np.float64 and file.info.subtype == "PCM_32"
    assert np.abs(read(target)[0] - before).max() < 2**-23


def test_a_header_of_one_second_over_three_is_not_believed(enhance):
    fields, target = enhance("header_says_1s_holds_3s.wav")
    assert soundfile.info(target).frames == 48000 and "counts 1.00 s, but the file holds 3.00 s" in fields["notes"][0]


def test_the_mask_of_71_is_kept(enhance):
    _, target = enhance("surround71.wav")
    raw = target.read_bytes()
    at = raw.index(b"fmt ") + 8
    assert struct.unpack_from("<H", raw, at)[0] == 0xFFFE and struct.unpack_from("<I", raw, at + 20)[0] == 0x63F
    assert np.array_equal(read(target)[0], read(FIELD / "surround71.wav")[0])


def test_sound_that_starts_late_lies_under_its_picture(enhance):
    fields, target = enhance("sound_starts_late.mp4", "late.wav")
    audio, _ = read(target)
    first = np.flatnonzero(np.abs(audio[0]) > 0.01)[0] / 48000
    assert 0.77 < first < 0.9 and "begins 0.778 s after the picture" in fields["notes"][0]
    _, film = enhance("sound_starts_late.mp4")
    audio, file = read(film)
    assert abs(np.flatnonzero(np.abs(audio[0]) > 0.01)[0] / 48000 - first) < 0.001
    assert abs(file.info.late - open_audio(FIELD / "sound_starts_late.mp4").info.late) <= 1


def test_id3_in_front_of_a_flac_does_not_truncate_it(enhance):
    _, target = enhance("id3_in_front.flac")
    assert soundfile.info(target).frames == 44100


def test_speech_behind_a_slate_is_cleaned_as_it_is_alone():
    """The clap is 50 dB above the speech, by which its level must not be judged."""
    from enhance_cli.models import registry
    from enhance_cli.models.graphs.packaged import load_denoiser_graphs
    from tests.tasks.whole import denoise as run

    audio, file = read(FIELD / "slate_then_quiet_speech.flac")
    model, second = load_denoiser_graphs(registry.find("denoise-s", "denoise"), 1), file.info.rate
    behind = run(audio, file.info.rate, model)[:, second:]
    alone = run(audio[:, second:], file.info.rate, model)
    pieces = [np.square(x[:, : 4 * second]).reshape(20, -1).mean(axis=1) for x in (behind, alone)]
    loud = pieces[1] > pieces[1].max() / 100
    assert np.abs(10 * np.log10(pieces[0] / pieces[1]))[loud].max() < 2
    assert 10 * np.log10(np.square(alone - behind).sum() / np.square(alone).sum()) < -10


def test_speech_above_full_scale_is_packed_for_training_without_clipping(tmp_path):
    from enhance_cli.data.corpus import Source, load

    (tmp_path / "speech").mkdir()
    shutil.copy(FIELD / "speech_float_plus18dBFS.wav", tmp_path / "speech")
    audio, file = read(FIELD / "speech_float_plus18dBFS.wav")
    packed = load([Source("speech")], tmp_path, file.info.rate, tmp_path / "cache", whole=True)
    samples = np.concatenate([packed.audio[c.start : c.start + c.length] for c in packed.train]).astype(np.float64)
    assert np.corrcoef(samples, audio[0, : samples.size])[0, 1] > 0.99999 and np.abs(samples).max() < 32767
