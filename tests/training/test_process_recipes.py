"""The recipes of published processes: speech comes to them as large as the noise of these processes expects it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.training.recipe import load

PAIRS = Path(__file__).parents[1] / "audio_files" / "pairs"


@pytest.mark.parametrize("name", ["score-ouve", "score-bbed-crp", "bridge-sb", "flow-matching", "predictive"])
def test_clean_speech_has_the_spread_of_the_published_front_end(name):
    """0.15 |S|^0.5 of files divided by their peak, within a fifth; sigma_data is 0.1 in the published models."""
    spec = load(name).model
    ours, published = Frontend(**spec.frontend), Frontend(**spec.frontend | {"scale": 0.15})
    spreads = []
    for path in sorted((PAIRS / "noisy").iterdir()):
        noisy, rate = soundfile.read(path, dtype="float32")
        clean, _ = soundfile.read(PAIRS / "clean" / path.name, dtype="float32")
        meter = Meter(rate, 1, loudness=False)
        meter.push(noisy[None])
        factors = {ours: spec.level / meter.active_levels[0], published: 1 / meter.peak}
        spreads.append([spread(frontend, factor * clean) for frontend, factor in factors.items()])
    here, there = np.mean(spreads, axis=0)
    assert here == pytest.approx(there, rel=0.2)


def spread(frontend: Frontend, audio: np.ndarray) -> float:
    """Standard deviation of the complex compressed spectrogram."""
    return float(frontend.analyze(torch.from_numpy(audio)[None]).square().sum(1).mean().sqrt())
