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
