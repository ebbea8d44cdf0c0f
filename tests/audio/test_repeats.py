"""Packets concealed by those before them are found in speech, to the sample, and no periodic sound is taken for them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.gaps.meter import GapMeter
from enhance_cli.audio.gaps.repeats import RepeatFinder
from enhance_cli.audio.levels.level_track import LevelTrack
from enhance_cli.audio.resample import resample

FILES = Path(__file__).parents[1] / "audio_files"
SPEECH = sorted((FILES / "pairs_48k" / "clean").glob("*.flac"))
RATES = (8000, 16000, 44100, 48000)


def found(audio: np.ndarray, rate: int, *, block: int = 65536) -> list[Gap]:
    finder = RepeatFinder(rate)
    for start in range(0, audio.shape[1], block):
        finder.push(audio[:, start : start + block])
    return finder.found(LevelTrack(active(audio, rate)))


def active(audio: np.ndarray, rate: int) -> np.ndarray:
    """Levels of the loud half of (C, N)."""
    frames = audio[:, : audio.shape[1] // (rate // 50) * (rate // 50)].reshape(len(audio), -1, rate // 50)
    powers = np.sort(np.square(frames).mean(axis=2), axis=1)
    return np.sqrt(powers[:, powers.shape[1] // 2 :].mean(axis=1))


def in_16_bits(audio: np.ndarray) -> np.ndarray:
    return np.round(audio * 32768) / 32768


def speech(rate: int) -> np.ndarray:
    audio = np.concatenate([soundfile.read(path)[0] for path in SPEECH])[None]
    return in_16_bits(resample(audio.astype(np.float32), 48000, rate).astype(np.float64))


def concealed(audio: np.ndarray, rate: int, *, ms: int, copies: int = 1, gain: float = 1.0) -> tuple[np.ndarray, list]:
    """Speech (1, N) in 16 bits with packets concealed four times a second where there is a voice, and where they are."""
    audio, size, spans = audio.copy(), ms * rate // 1000, []
    (level,) = active(audio, rate)
    for start in range(rate // 4 // size * size, audio.shape[1] - rate // 4, rate // 4 // size * size):
        if np.sqrt(np.mean(np.square(audio[0, start - size : start]))) > 0.1 * level:
            for n in range(start, start + copies * size, size):
                audio[0, n : n + size] = in_16_bits(gain * audio[0, n - size : n])
            spans.append((start, start + copies * size))
    return audio, spans


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("ms, copies, gain", [(10, 1, 1.0), (20, 1, 1.0), (20, 2, 1.0), (20, 1, 0.7)])
def test_packets_that_repeat_those_before_them_are_found_in_speech(rate, ms, copies, gain):
    audio, spans = concealed(speech(rate), rate, ms=ms, copies=copies, gain=gain)
    gaps = found(audio, rate)
    right = [gap for gap in gaps if any(np.abs(np.subtract((gap.start, gap.end), span)).max() <= 2 for span in spans)]
    assert len(spans) > 8 and len(right) >= 0.4 * len(spans) and right == gaps
    assert {gap.kind for gap in gaps} == {"repeated packet"}


@pytest.mark.parametrize(
    "path", sorted(path for path in FILES.rglob("*.flac") if path.parent.name != "field"), ids=lambda path: path.stem
)
def test_recordings_have_none(path):
    audio, rate = soundfile.read(path, always_2d=True)
    assert found(in_16_bits(audio.T), rate) == []


def notes(wave, rate: int, seed: int) -> np.ndarray:
    """Four seconds of notes of random lengths and pitches, in 16 bits. `wave(count, period, rng)` makes one."""
    rng, made = np.random.default_rng(seed), []
    while sum(map(len, made)) < 4 * rate:
        count = int(rate * rng.choice([1 / 60, 0.02, 0.04, 0.1, 0.15, 0.3]))
        period = rate / 440 * 2 ** (rng.integers(-24, 24) / 12) if rng.random() < 0.5 else rng.integers(20, rate // 20)
        made.append(rng.choice([0.05, 0.1, 0.3]) * wave(count, period, rng))
        made.append(np.zeros(rng.choice([0, 0, count])))
    return in_16_bits(np.concatenate(made))[None]


def sine(count, period, rng):
    return np.sin(2 * np.pi * np.arange(count) / period)


def square(count, period, rng):
    return np.where(np.arange(count) / period % 1 < rng.choice([0.125, 0.25, 0.5]), 1.0, -1.0)


def saw(count, period, rng):
    return 2 * (np.arange(count) / period % 1) - 1


def chord(count, period, rng):
    return sum(np.sin(2 * np.pi * np.arange(count) * k / period / 8 + rng.uniform(0, 6)) for k in (8, 10, 12, 17)) / 4


def looped_noise(count, period, rng):
    """As consoles made drums, louder and softer in steps."""
    steps = np.repeat(rng.choice([1.0, 0.8, 0.5, 0.3], count // 300 + 1), 300)[:count]
    return np.resize(rng.choice([-1.0, 1.0], int(period)), count) * steps


def fading_loop(count, period, rng):
    loop = np.cumsum(rng.standard_normal(int(period)))
    loop = (loop - loop.mean()) / np.abs(loop - loop.mean()).max()
    return np.resize(loop, count) * rng.uniform(0.5, 1) ** (np.arange(count) // int(period))


def drum_roll(count, period, rng):
    """The same sample struck again and again, each time from its beginning."""
    decay = np.exp(-np.arange(count) / count * rng.uniform(2, 10))
    hit = rng.standard_normal(count) / 3 * decay if rng.random() < 0.5 else sine(count, 10 * period, rng) * decay
    size, roll = max(int(period), 50), np.zeros(4 * count)
    for start in range(0, min(3 * size + 1, len(roll)), size):
        roll[start:] = 0
        roll[start : start + count] = hit[: len(roll) - start]
    return roll


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("wave", [sine, square, saw, chord, looped_noise, fading_loop, drum_roll])
def test_synthetic_sounds_have_none(rate, wave):
    for seed in range(3):
        assert found(notes(wave, rate, seed), rate) == []


def alone(sound: np.ndarray, seed: int, before: float = 0.1) -> np.ndarray:
    """One sound, at 16 kHz in 16 bits, in the midst of noise."""
    rng = np.random.default_rng(seed)
    first, last = rng.standard_normal((2, 16000))
    return in_16_bits(np.concatenate([before * first, sound, 0.1 * last]))[None]


@pytest.mark.parametrize("seed", range(5))
def test_a_short_sound_that_repeats_itself_once_is_no_packet(seed):
    """Its period joins smoothly, and where it stood first the sound jumps: a packet does the opposite."""
    rng = np.random.default_rng(seed)
    t = np.arange(640) / 16000
    tones = 0.07 * sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in (250, 350, 600, 1850))
    strike = 0.3 * rng.standard_normal(320) * np.exp(-np.arange(320) / 80)
    for sound in (tones, np.tile(strike, 2), np.tile(np.concatenate([np.zeros(5), strike[5:]]), 2)):
        assert found(alone(sound, seed), 16000) == []

    drum = 0.3 * np.sin(np.pi * np.arange(320) / 43) * np.exp(-np.arange(320) / 300)  # cut off while it sounds
    assert found(alone(np.tile(drum, 2), seed, before=0.001), 16000) == []


def test_silence_noise_and_held_samples_have_none():
    rng = np.random.default_rng(0)
    noise = in_16_bits(0.1 * rng.standard_normal((1, 32000)))
    gated = noise * (np.arange(32000) // 400 % 3 == 0)  # 25 ms with silence between
    faint = rng.integers(-1, 2, (1, 32000)) / 32768
    for audio in (noise, gated, faint, np.zeros((1, 32000)), np.full((1, 32000), 0.5)):
        assert found(audio, 16000) == []


@pytest.mark.parametrize("block", [100, 1000, 200000])
def test_blocks_of_any_size_give_the_same(block):
    audio, _ = concealed(speech(16000), 16000, ms=20)
    gaps = found(audio, 16000)
    assert gaps and found(audio, 16000, block=block) == gaps


def test_a_packet_is_one_of_all_channels_or_of_its_own():
    whole = speech(16000)
    audio, _ = concealed(whole, 16000, ms=20)
    both, one = np.concatenate([audio, 0.5 * audio]), np.concatenate([whole, audio])
    assert {gap.channel for gap in found(both, 16000)} == {-1} and {gap.channel for gap in found(one, 16000)} == {1}


def test_memory_holds_little_of_a_long_recording():
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 48000))
    finder = RepeatFinder(16000)
    for _ in range(20):
        finder.push(noise)
    assert finder._held.shape[1] < 16000


def test_they_are_gaps_beside_dropouts_and_clicks():
    audio, spans = concealed(speech(16000), 16000, ms=20)
    audio[0, spans[0][0] - 4000 : spans[0][0] - 3800] = 0
    meter = GapMeter(16000)
    meter.push(audio)
    kinds = {gap.kind for gap in meter.found(LevelTrack(active(audio, 16000)))}
    assert "repeated packet" in kinds and "click" not in kinds
