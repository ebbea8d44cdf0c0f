"""Dropouts are found behind lossy codecs, which leave no zeros, and neither pauses, gates nor drums are taken for them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.gaps.coded_dropouts import CodedDropoutFinder
from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.gaps.meter import GapMeter
from enhance_cli.audio.levels.level_track import LevelTrack

RATE = 48000
CLEAN = sorted((Path(__file__).parents[1] / "audio_files" / "pairs_48k" / "clean").glob("*.flac"))
CODECS = {"mp3": ("libmp3lame", "64k"), "m4a": ("aac", "64k"), "ogg": ("libvorbis", "64k"), "opus": ("libopus", "96k")}


def found(audio: np.ndarray, *, rate: int = RATE, block: int = 65536) -> list[Gap]:
    finder = CodedDropoutFinder(rate)
    for start in range(0, audio.shape[1], block):
        finder.push(audio[:, start : start + block])
    return finder.found(LevelTrack(np.sqrt(np.square(audio).mean(axis=1))))


def speech() -> np.ndarray:
    return np.concatenate([soundfile.read(path)[0] for path in CLEAN])[None]


def coded(audio: np.ndarray, folder: Path, extension: str) -> np.ndarray:
    """Return (C, N) at 48 kHz as a codec leaves it."""
    codec, bits = CODECS[extension]
    soundfile.write(folder / "in.wav", audio.T, RATE)
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-i",
        folder / "in.wav",
        "-c:a",
        codec,
        "-b:a",
        bits,
        folder / f"x.{extension}",
    ]
    subprocess.run(list(map(str, command)), check=True)
    raw = ["ffmpeg", "-v", "error", "-i", str(folder / f"x.{extension}"), "-f", "f32le", "-ar", str(RATE), "-"]
    samples = np.frombuffer(subprocess.run(raw, check=True, capture_output=True).stdout, np.float32)
    return samples.reshape(-1, len(audio)).T.astype(np.float64)


@pytest.mark.parametrize("extension", CODECS)
def test_dropouts_of_20_to_60_ms_are_found_behind_a_codec_and_none_where_none_were(tmp_path, extension):
    whole = speech()
    level, spans, broken = np.sqrt(np.square(whole).mean()), [], whole.copy()
    for number, start in enumerate(range(RATE // 2, whole.shape[1] - RATE // 2, RATE // 6)):
        end = start + (960, 1920, 2880)[number % 3]
        sides = whole[0, start - 480 : start], whole[0, end : end + 480]
        if min(np.sqrt(np.square(side).mean()) for side in sides) > 0.5 * level:
            broken[:, start:end] = 0
            spans.append((start, end))
    gaps = found(coded(broken, tmp_path, extension))
    right = [any(abs(g.start - start) < 480 and abs(g.end - end) < 480 for g in gaps) for start, end in spans]
    wanted = 0.4 if extension == "opus" else 0.6  # whose echoes are as long as short holes
    assert len(spans) > 8 and sum(right) > wanted * len(spans) and len(gaps) <= len(spans)
    assert found(coded(whole, tmp_path, extension)) == []


@pytest.fixture
def noise() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE))


@pytest.mark.parametrize("block", [100, 3001, 65536])
def test_a_hole_with_echoes_is_found_in_blocks_of_any_size_in_the_channels_that_have_it(noise, block):
    echo = np.exp(-np.arange(480) / 60)  # 70 dB within 10 ms
    for start, channels in ((24000, [0, 1]), (72000, [1])):
        hole = np.full(1920, 1e-5)
        hole[:480] = 0.02 * echo
        hole[-200:] = 0.02 * echo[:200][::-1]
        noise[channels, start : start + 1920] *= hole
    both, one = found(noise, block=block)
    assert both.channel == -1 and one.channel == 1 and both.kind == one.kind == "dropout"
    for gap, start in ((both, 24000), (one, 72000)):
        assert abs(gap.start - start) <= 96 and abs(gap.end - start - 1920) <= 96


def test_what_fades_is_none(noise):
    time = np.arange(3 * RATE) / RATE
    gated = noise.copy()
    gated[:, 40000:60000] = 1e-6 * noise[:, 40000:60000]
    gated[:, 40000:42000] = np.geomspace(1, 1e-5, 2000) * noise[:, 40000:42000]  # 2.4 dB a millisecond
    drums = noise * np.exp(-60 * (time % 0.5))
    late = noise * (time > 1)
    square = 0.3 * np.sign(np.sin(2 * np.pi * 55 * time))[None] + 1e-6 * noise  # which stands still for 9 ms
    few_bits = np.round(8 * noise * (time % 0.1 > 0.02)) / 8
    for wave in (few_bits, gated, drums, late, square, noise, 0 * noise, noise[:, :10]):
        assert found(wave) == []


def test_memory_holds_little_of_a_long_recording(noise):
    finder = CodedDropoutFinder(RATE)
    for _ in range(10):
        finder.push(noise)
    assert finder._peaks.shape[1] * finder.frame < 1.2 * RATE


def test_they_are_gaps_beside_others_and_each_is_told_once(noise):
    noise[:, 24000:25000] = 0
    noise[:, 72000:73920] *= 1e-5
    meter = GapMeter(RATE)
    meter.push(noise)
    gaps = meter.found(LevelTrack(np.full(2, 0.1)))
    assert [(gap.kind, gap.channel) for gap in gaps] == [("dropout", -1)] * 2
    assert gaps[0] == Gap(24000, 25000, kind="dropout") and abs(gaps[1].start - 72000) <= 24
