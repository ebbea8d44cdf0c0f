"""--loudness and --limiter: peaks stay below the limit in what was written, as other programs measure it."""

import re
import shutil
import subprocess
from pathlib import Path, PurePath

import numpy as np
import pyloudnorm
import pytest
import soundfile

from enhance_cli.audio.read import open_audio
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.job import Job

RATE = 48000
SPEECH = Path(__file__).parents[1] / "audio_files" / "noisy_speech_48k.flac"  # -23 LUFS with peaks of -6 dBTP


def enhance(target: Path, *, source: Path = SPEECH, parts=(), process=lambda blocks, *_: blocks, **options) -> dict:
    names = tuple(target.with_name(f"{name}_{target.name}") for name in parts)
    job = Job(source, PurePath(source.name), names[0] if names else target, parts=tuple(zip(parts, names)))
    return enhance_file(job, process, FileOptions(parts=tuple(parts), **options))


def measured(path: Path) -> tuple[float, float]:
    """Loudness in LUFS and true peak in dBTP, by pyloudnorm, and by FFmpeg where it is installed."""
    with open_audio(path) as audio:
        samples = np.concatenate(list(audio.blocks(RATE)), axis=1)
        loudness = pyloudnorm.Meter(audio.info.rate).integrated_loudness(samples.T.astype(np.float64))
    peak = 20 * np.log10(np.abs(samples).max())
    if shutil.which("ffmpeg"):
        told = subprocess.run(
            ["ffmpeg", "-nostats", "-i", path, "-af", "ebur128=peak=true", "-f", "null", "-"], capture_output=True
        ).stderr.decode(errors="replace")
        summary = told[told.rindex("Summary:") :]
        assert float(re.search(r"I:\s+(\S+) LUFS", summary)[1]) == pytest.approx(loudness, abs=0.15)
        peak = max(peak, float(re.search(r"Peak:\s+(\S+) dBFS", summary)[1]))
    return loudness, peak


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus"])
def test_the_loudness_is_reached_below_the_true_peak(suffix, tmp_path):
    target = tmp_path / f"a{suffix}"
    fields = enhance(target, loudness=-15.0, limiter=9.0)
    loudness, peak = measured(target)
    assert loudness == pytest.approx(-15, abs=0.1) and peak <= -1.0
    assert fields["loudness_after"] == pytest.approx(loudness, abs=0.1)
    assert 3 < fields["limited_by"] < 7 and 0 < fields["limited_share"] < 0.2
    (note,) = fields["notes"]
    told = re.fullmatch(r"peaks lowered by up to (\S+) dB, in (\S+) % of the time", note)
    assert float(told[1]) == pytest.approx(fields["limited_by"], abs=0.06)
    assert float(told[2]) == pytest.approx(100 * fields["limited_share"], rel=0.05)
    assert soundfile.info(target).frames == 8 * RATE if suffix in (".wav", ".flac", ".mp3") else True


@pytest.mark.parametrize("suffix", [".wav", ".m4a"])
def test_peaks_are_lowered_only_as_far_as_is_allowed(suffix, tmp_path):
    target = tmp_path / f"a{suffix}"
    fields = enhance(target, loudness=-10.0, limiter=3.0)
    loudness, peak = measured(target)
    assert -16.5 < loudness < -14 and peak <= -1.0
    assert fields["limited_by"] == pytest.approx(3, abs=0.15)
    assert fields["loudness_after"] == pytest.approx(loudness, abs=0.1)
    assert fields["notes"][0].startswith(f"loudness limited to {fields['loudness_after']:.2f} LUFS")
    assert fields["notes"][0].endswith("below -1 dBTP, lowered by at most 3 dB")


def test_without_need_nothing_but_the_gain_changes(tmp_path):
    """At -23 LUFS the peaks have room, so the result is that of the same run without a limiter."""
    one, other = (tmp_path / name for name in ("one.wav", "other.wav"))
    limited, plain = (enhance(p, loudness=-23.5, limiter=n, dither="none") for p, n in ((one, 9.0), (other, 0.0)))
    assert one.read_bytes() == other.read_bytes() and limited["notes"] == []
    assert (limited["limited_by"], limited["limited_share"]) == (0, 0) and "limited_by" not in plain


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".ogg", ".opus"])
def test_without_a_limiter_peaks_end_the_gain(suffix, tmp_path):
    fields = enhance(tmp_path / f"a{suffix}", loudness=-13.0)
    loudness, peak = measured(tmp_path / f"a{suffix}")
    assert peak <= -1.0 and loudness == pytest.approx(fields["loudness_after"], abs=0.1)
    assert fields["notes"][0].startswith(f"loudness limited to {fields['loudness_after']:.2f} LUFS")


def test_without_a_limiter_the_gain_stays_the_same_throughout(tmp_path):
    fields = enhance(tmp_path / "a.wav", loudness=-13.0, dither="none")
    before, after = (soundfile.read(path)[0] for path in (SPEECH, tmp_path / "a.wav"))
    np.testing.assert_allclose(after, before * 10 ** (fields["gain"] / 20), atol=6e-4)  # it is rounded to 0.01 dB
    assert fields["notes"][0].startswith("loudness limited to -18") and "--limiter" in fields["notes"][0]


def test_the_blocks_of_a_task_do_not_matter(tmp_path):
    def cut(blocks, *_):
        for block in blocks:
            yield from (block[:, start : start + 777] for start in range(0, block.shape[1], 777))

    for name, process in (("one.wav", lambda blocks, *_: blocks), ("other.wav", cut)):
        enhance(tmp_path / name, process=process, loudness=-13.0, limiter=9.0, bit_depth="float")
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "other.wav").read_bytes()


def test_parts_share_the_limiter_so_that_they_sum_to_the_mix(tmp_path):
    def split(blocks, *_):
        for block in blocks:
            yield np.concatenate([0.75 * block, 0.25 * block])

    fields = enhance(
        tmp_path / "a.wav", parts=("voice", "rest"), process=split, loudness=-11.0, limiter=9.0, bit_depth="float"
    )
    voice, rest = (soundfile.read(tmp_path / f"{name}_a.wav")[0] for name in ("voice", "rest"))
    np.testing.assert_allclose(voice, 3 * rest, rtol=1e-5, atol=1e-7)
    assert pyloudnorm.Meter(RATE).integrated_loudness(voice + rest) == pytest.approx(-11, abs=0.1)
    assert measured(tmp_path / "voice_a.wav")[1] <= -1.0 and fields["limited_by"] > 3


@pytest.mark.parametrize("frames", [1, 4000, RATE])
def test_silence_stays_silence(frames, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(frames), RATE)
    fields = enhance(tmp_path / "b.wav", source=tmp_path / "a.wav", loudness=-16.0, limiter=6.0)
    assert not soundfile.read(tmp_path / "b.wav")[0].any() and fields["gain"] == 0
    assert fields["notes"] == ["level left as it is: loudness is not defined for silence or less than 0.4 s"]
