"""The stem model that ships, on multi-track music that it never heard: every stem comes out better than the mix holds it, and
the command's files are what it says."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import enhance_cli
from enhance_cli import metrics
from enhance_cli.models.registry import find

pytestmark = pytest.mark.slow

MUSIC = Path(__file__).parent / "audio_files" / "music"
STEMS = ("bass", "drums", "guitar", "piano")
RATE = 22050


def sound(name: str) -> np.ndarray:
    return soundfile.read(MUSIC / f"{name}.flac", dtype="float32")[0]


@pytest.fixture(scope="module")
def model():
    return enhance_cli.load_model(task="extract-stem", device="cpu")


@pytest.fixture(scope="module")
def stems(model):
    return enhance_cli.extract_stem(sound("mixture"), RATE, model=model)


def test_every_stem_comes_out_better_than_the_mix_holds_it(stems):
    si_sdr = metrics.load("si_sdr")
    gains = {s: si_sdr(sound(s), stems[s], RATE) - si_sdr(sound(s), sound("mixture"), RATE) for s in stems}
    assert set(gains) == set(STEMS)
    assert gains["bass"] > 6 and gains["drums"] > 8 and gains["guitar"] > 4 and gains["piano"] > 4


def test_all_stems_sum_to_the_mix_and_with_the_residual_each_is_what_it_is_alone(model, stems):
    mix = sound("mixture")
    assert np.abs(sum(stems.values()) - mix).max() < 1e-5
    apart = enhance_cli.extract_stem(mix, RATE, model=model, residual=True)
    alone = enhance_cli.extract_stem(mix, RATE, "drums", model=model)
    assert np.abs(alone - apart["drums"]).max() < 0.05 * np.abs(alone).max()
    assert np.abs(sum(apart.values()) - mix).max() < 1e-6


def test_level_and_silence(model, stems):
    soft = enhance_cli.extract_stem(0.01 * sound("mixture"), RATE, model=model)
    assert all(np.abs(100 * soft[s] - stems[s]).max() < 1e-2 * np.abs(stems[s]).max() for s in STEMS)
    nothing = enhance_cli.extract_stem(np.zeros((2, 30000), np.float32), 44100, model=model)
    assert not any(part.any() for part in nothing.values())


def test_the_command_uses_it_without_being_told_and_the_parts_are_the_mix(enhance, tmp_path):
    (tmp_path / "song.flac").write_bytes((MUSIC / "mixture.flac").read_bytes())
    result = enhance("extract-stem", "song.flac", "--stem", "bass,drums", "--residual")
    assert result.lines == ["song_bass.flac", "song_drums.flac", "song_residual.flac"], result.stderr
    parts = [soundfile.read(tmp_path / name, dtype="int32")[0].astype(np.int64) for name in result.lines]
    assert np.array_equal(sum(parts), soundfile.read(tmp_path / "song.flac", dtype="int32")[0])


def test_it_is_small(model):
    assert find(None, "extract-stem").path.stat().st_size < 20e6
