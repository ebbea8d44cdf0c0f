"""Where the band of a recording ends: found at every rate and behind every filter, and not found where nothing is missing."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, ellip, sosfiltfilt

from enhance_cli.audio.resample import resample
from enhance_cli.audio.spectra.band_edge import BandMeter
from enhance_cli.errors import UsageError

PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs_48k"


def edge(audio: np.ndarray, rate: int, block: int = 10000) -> float | None:
    meter = BandMeter(rate)
    for start in range(0, audio.shape[-1], block):
        meter.push(np.atleast_2d(audio)[:, start : start + block])
    return meter.edge


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Real speech with a full band, and a little of the noise that every room has up there."""
    path = sorted((PAIRS / "clean").glob("*.flac"))[0]
    audio, rate = soundfile.read(path, dtype="float32")
    assert rate == 48000
    return audio[None] + 1e-4 * np.random.default_rng(0).standard_normal((1, len(audio))).astype(np.float32)


def test_a_full_band_has_no_edge_at_any_rate_that_holds_it(speech):
    assert edge(speech, 48000) is None
    assert edge(resample(speech, 48000, 44100), 44100) is None
    assert edge(resample(speech, 48000, 96000), 96000) is None  # nobody misses what is above 20 kHz


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000])
def test_a_low_rate_is_found_in_a_file_of_any_rate(speech, rate):
    low = resample(speech, 48000, rate)
    for found in (edge(low, rate), edge(resample(low, rate, 48000), 48000)):
        assert 0.92 * rate / 2 <= found <= rate / 2


@pytest.mark.parametrize("cutoff", [3400, 4000, 8000, 12000])
@pytest.mark.parametrize("kind", ["steep", "gentle"])
def test_a_low_pass_is_found(speech, cutoff, kind):
    design = (
        ellip(8, 0.1, 60, cutoff, fs=48000, output="sos")
        if kind == "steep"
        else butter(8, cutoff, fs=48000, output="sos")
    )
    found = edge(sosfiltfilt(design, speech).astype(np.float32), 48000)
    assert 0.9 * cutoff <= found <= 1.2 * cutoff


@pytest.mark.parametrize("compression, expected", [(0.95, 10700), (0.85, 16400), (0.7, 16400)])
def test_the_shelf_of_an_mp3_with_its_holes_is_found(compression, expected):
    audio, rate = soundfile.read(PAIRS / "noisy" / "p254_waterfall.flac", dtype="float32")
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format="MP3", compression_level=compression, bitrate_mode="CONSTANT")
    file.seek(0)
    assert edge(soundfile.read(file, dtype="float32")[0], rate) == pytest.approx(expected, rel=0.04)


def test_what_is_missing_nothing_has_no_edge():
    noise = 0.05 * np.random.default_rng(0).standard_normal(480000).astype(np.float32)
    frequencies = np.fft.rfftfreq(noise.size, 1 / 48000)
    shaped = lambda gains: np.fft.irfft(np.fft.rfft(noise) * gains).astype(np.float32)
    assert edge(shaped((1 + frequencies / 500) ** -2), 48000) is None  # falls by 12 dB an octave
    assert edge(shaped(frequencies < 400), 48000) is None  # a bass alone
    assert edge(0 * noise, 48000) is None and edge(noise[:10], 48000) is None
    assert edge(shaped((1 + frequencies / 500) ** -2 * (frequencies < 8000)), 48000) == pytest.approx(8000, rel=0.02)


def test_silence_around_and_the_sizes_of_blocks_change_nothing(speech):
    low = resample(resample(speech, 48000, 16000), 16000, 48000)
    silence = np.zeros((1, 20 * 2048), np.float32)
    around = np.concatenate([silence, low, silence], axis=1)
    assert edge(around, 48000, block=777) == edge(around, 48000, block=100000) == pytest.approx(7700, abs=300)


def test_a_given_edge_must_lie_within_the_band():
    assert BandMeter(16000, 4000.0).edge == 4000.0
    for wrong in (8001.0, 500.0):
        with pytest.raises(UsageError, match="--input-cutoff"):
            BandMeter(16000, wrong)


@pytest.mark.parametrize("cutoff, tone", [(4000, 15625), (15000, 19000)])  # of television sets, of radio stations
@pytest.mark.parametrize("amplitude", [0.001, 0.02])
def test_a_lone_tone_above_the_band_is_not_its_end(speech, cutoff, tone, amplitude):
    low = sosfiltfilt(ellip(8, 0.1, 60, cutoff, fs=48000, output="sos"), speech)
    low += amplitude * np.sin(2 * np.pi * tone * np.arange(low.shape[1]) / 48000)
    assert 0.9 * cutoff <= edge(low.astype(np.float32), 48000) <= 1.1 * cutoff


def test_a_sound_of_tones_ends_with_the_highest_of_them():
    t = np.arange(96000) / 48000
    comb = sum(np.sin(2 * np.pi * 880 * k * t) / k for k in range(1, 9)) + 1e-4 * np.random.default_rng(0).normal(
        size=t.size
    )
    assert edge((0.1 * comb).astype(np.float32), 48000) == pytest.approx(7040, rel=0.05)
