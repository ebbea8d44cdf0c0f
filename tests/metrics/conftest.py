"""One real pair of VoiceBank-DEMAND, 2.9 s at 16 kHz, shared by the tests of the metrics."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs"


@pytest.fixture(scope="session")
def clean() -> np.ndarray:
    return soundfile.read(PAIRS / "clean" / "p232_263.flac", dtype="float32")[0]


@pytest.fixture(scope="session")
def noisy() -> np.ndarray:
    return soundfile.read(PAIRS / "noisy" / "p232_263.flac", dtype="float32")[0]
