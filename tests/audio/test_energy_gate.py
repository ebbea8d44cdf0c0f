"""The gate that drops pauses: what it keeps of speech between silences, and of what never pauses."""

from pathlib import Path

import numpy as np
import soundfile

from enhance_cli.audio.levels.energy_gate import loud

AUDIO = Path(__file__).parents[1] / "audio_files"
RATE = 16000


def test_speech_is_kept_and_the_silence_around_it_is_not():
    speech = soundfile.read(AUDIO / "noisy_speech.flac", dtype="float32")[0]
    gap = np.zeros(8 * RATE, np.float32)
    kept = loud(np.concatenate([gap, speech[:80000], gap, speech[80000:], gap]), RATE)
    assert 0.5 * speech.size < kept.sum() < 1.15 * speech.size and not kept[: 7 * RATE].any()


def test_a_vowel_that_never_pauses_is_all_kept():
    assert loud(np.sin(np.arange(2 * RATE) / 5).astype(np.float32), RATE).all()


def test_a_clap_makes_no_pause_of_speech():
    """50 dB above: beside its RMS all speech would be more than 25 dB down."""
    speech = 0.01 * soundfile.read(AUDIO / "noisy_speech.flac", dtype="float32")[0]
    clap = 0.5 * np.random.default_rng(0).standard_normal(RATE // 10).astype(np.float32)
    before, behind = loud(speech, RATE), loud(np.concatenate([speech, clap]), RATE)[: speech.size]
    assert (before == behind)[: -RATE // 2].mean() > 0.9 and behind.sum() > 0.9 * before.sum()
