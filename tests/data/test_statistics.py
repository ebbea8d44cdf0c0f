"""What is said of training data before training: counts, rates as in the files, levels and signal-to-noise ratios."""

import numpy as np
import pytest
import soundfile

from enhance_cli.data import corpus, pairs, statistics
from enhance_cli.data.corpus import Source

RATE = 16000


def tone(amplitude: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


def test_a_source_is_counted_with_the_rates_of_its_files_and_its_level(tmp_path):
    (tmp_path / "speech").mkdir()
    for number, rate in enumerate((8000, RATE, RATE, 44100)):
        soundfile.write(tmp_path / "speech" / f"{number}.wav", tone(0.1 * 2**0.5, 9, rate), rate)
    said = []
    packed = corpus.load([Source("speech", held_out=0.25)], tmp_path, RATE, tmp_path / "cache", said.append)
    assert "speech: 8000 Hz (1 file), 44100 Hz (1 file) resampled to 16000 Hz" in said[-1]
    (facts,) = statistics.of_corpus(packed, tmp_path, RATE)
    assert (facts["folder"], facts["clips"], facts["clips_held_out"]) == ("speech", 3, 1)
    assert facts["hours"] + facts["hours_held_out"] == pytest.approx(36 / 3600, abs=0.011)
    assert facts["rates"] == {"16000": 2, "44100": 1, "8000": 1}
    assert facts["level_db"]["median"] == pytest.approx(-20, abs=0.1)


def test_pairs_tell_their_signal_to_noise_ratio(tmp_path):
    noise = np.random.default_rng(0).standard_normal(RATE * 2)
    for side, audio in (("clean", tone(0.1 * 2**0.5, 2)), ("noisy", tone(0.1 * 2**0.5, 2) + 0.01 * noise)):
        (tmp_path / side).mkdir()
        soundfile.write(tmp_path / side / "a.wav", audio, RATE, subtype="FLOAT")
    facts = statistics.of_pairs(pairs.from_folder(tmp_path))
    assert facts["clips"] == 1 and facts["rates"] == {"16000": 1}
    assert facts["snr_db"]["median"] == pytest.approx(20, abs=0.2)
    assert facts["clean_level_db"]["median"] == pytest.approx(-20, abs=0.1)


def test_other_rates_are_said_in_one_line_with_what_low_ones_lack():
    assert corpus.rates_line("train", {RATE: 5}, RATE) == ""
    assert corpus.rates_line("train", {48000: 5}, RATE) == "train: 48000 Hz (5 files) resampled to 16000 Hz"
    said = corpus.rates_line("train", {8000: 1, 48000: 2, RATE: 9}, RATE)
    assert "8000 Hz (1 file), 48000 Hz (2 files)" in said and "nothing to learn above 4 kHz" in said
