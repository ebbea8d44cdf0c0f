"""Drive, tone and rooms: what a stem is after them has its length, is finite, and sounds at about the same time."""

import numpy as np
import pytest

from enhance_cli.data.music import effects

RATE = 22050


@pytest.mark.parametrize("stem", ["bass", "drums", "guitar", "piano", "other"])
def test_a_stem_keeps_its_length_and_nothing_is_heard_before_it_begins(stem):
    time = np.arange(RATE) / RATE
    audio = np.concatenate([np.zeros(RATE), 0.1 * np.sin(2 * np.pi * 220 * time) * np.exp(-3 * time)]).astype(
        np.float32
    )
    changed = 0
    for seed in range(12):
        result = effects.color(audio, stem, RATE, np.random.default_rng(seed))
        assert result.shape == audio.shape and result.dtype == np.float32 and np.isfinite(result).all()
        early, late = np.square(result[: RATE // 2]).sum(), np.square(result[RATE:]).sum()
        assert early < 1e-3 * late, "no sound comes before the note, nor round from the end"
        changed += not np.allclose(result, audio, atol=1e-3)
    assert changed >= 8


def test_an_overdriven_amplifier_adds_overtones():
    tone = np.sqrt(2) * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    added = []
    for seed in range(12):
        spectrum = np.abs(np.fft.rfft(effects.amplified(tone, RATE, np.random.default_rng(seed)))) ** 2
        added.append(spectrum[390:].sum() / spectrum[190:211].sum())
    assert max(added) > 0.05


def test_silence_stays_silence():
    assert not effects.color(np.zeros(RATE, np.float32), "guitar", RATE, np.random.default_rng(0)).any()
