"""Overviews: the whole file, in the right places, in little memory, and the change that a page sorts by."""

import numpy as np
import pytest
from matplotlib import image

from enhance_cli.audio.drawing.overview import COLUMNS, overview, spectral_change
from enhance_cli.audio.drawing.overview_pictures import COLORS, draw_spectrogram, draw_waveform
from enhance_cli.audio.read import open_audio
from enhance_cli.audio.resample import resample
from tests import audio_zoo as zoo


def survey(path, **section):
    with open_audio(path) as audio:
        return overview(audio, **section)


def tone(seconds: float, hertz: float, rate: int = 16000, gain: float = 0.5) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))[None].astype(np.float32)


@pytest.mark.parametrize("seconds", [0.5, 3, 12, 47])
def test_a_tone_that_begins_halfway_is_found_there_and_at_its_pitch(seconds, tmp_path):
    signal = tone(seconds, 3000)
    signal[:, : signal.shape[1] // 2] = 0
    found = survey(zoo.save(tmp_path / "x.wav", signal))
    rows, columns = found.spectrum.shape
    assert found.hop * columns == pytest.approx(seconds, rel=0.01, abs=0.005)
    power = found.spectrum.sum(axis=0)
    loud = np.flatnonzero(power > power.max() / 4)
    assert loud[0] / columns == pytest.approx(0.5, abs=0.02) and loud[-1] / columns > 0.98
    assert found.spectrum[:, loud].mean(axis=1).argmax() / rows * 8000 == pytest.approx(3000, abs=60)
    low, high = found.extremes
    assert len(low) < 2 * COLUMNS and (high >= low).all()
    first = np.flatnonzero(high > 0.1)[0] / len(high)
    assert first == pytest.approx(0.5, abs=0.01) and high.max() == pytest.approx(0.5, abs=0.01)


def test_columns_are_merged_without_loss_whatever_the_length_of_blocks(tmp_path):
    """Mean power over all columns is that of the file: nothing is dropped or counted twice when columns are merged."""
    for seconds in (29.0, 29.017, 61.3):
        noise = zoo.noise(2, round(16000 * seconds))
        found = survey(zoo.save(tmp_path / "x.wav", noise))
        in_thirds = [part.mean() for part in np.array_split(found.spectrum[1:-1], 3, axis=1)]
        assert in_thirds == pytest.approx([np.mean(in_thirds)] * 3, rel=0.02)
        assert found.extremes.max() == noise.max() and found.extremes.min() == noise.min()


def test_level_section_and_channels(tmp_path):
    stereo = np.concatenate([tone(2, 1000), tone(2, 1000, gain=0.25)])
    stereo[:, :16000] = 0
    path = zoo.save(tmp_path / "x.wav", stereo)
    whole, part = survey(path), survey(path, start=1.0, duration=0.5)
    assert (whole.seconds, part.seconds, whole.channels, whole.rate) == (2.0, 0.5, 2, 16000)
    assert whole.peak == pytest.approx(-6.02, abs=0.01) and whole.loudness == pytest.approx(-8.0, abs=1)
    assert part.noise_floor > -20 and whole.noise_floor is None  # of silence


def test_change_is_that_of_the_model_and_not_of_the_gain(tmp_path):
    noise = zoo.noise(1, 48000)
    before = survey(zoo.save(tmp_path / "a.wav", noise, subtype="FLOAT"))
    louder = survey(zoo.save(tmp_path / "b.wav", 2 * noise, subtype="FLOAT"))
    assert spectral_change(before, before) == 0
    assert spectral_change(before, louder) == pytest.approx(6.02, abs=0.01)
    assert spectral_change(before, louder, gain=6.02) == pytest.approx(0, abs=0.01)
    faster = survey(zoo.save(tmp_path / "c.wav", resample(noise, 16000, 48000), rate=48000, subtype="FLOAT"))
    assert spectral_change(before, faster) < 2  # another rate, with nothing in its upper band
    wide = survey(zoo.save(tmp_path / "e.wav", zoo.noise(1, 144000), rate=48000, subtype="FLOAT"))
    assert spectral_change(before, wide) > 40  # what only one of them has counts
    silence = survey(zoo.save(tmp_path / "d.wav", np.zeros((1, 4000), np.float32)))
    assert spectral_change(silence, silence) is None


def test_the_pictures_show_it(tmp_path):
    found = survey(zoo.save(tmp_path / "x.wav", tone(2, 6000)))
    draw_spectrogram(found, float(found.spectrum.max()), tmp_path / "s.webp")
    draw_waveform(found, 1.0, COLORS[0], tmp_path / "w.png")
    rows = image.imread(tmp_path / "s.webp").sum(axis=(1, 2))
    assert rows.argmax() / len(rows) == pytest.approx(0.25, abs=0.02)  # 6 of 8 kHz, from below
    covered = image.imread(tmp_path / "w.png")[:, :, 3].mean(axis=1) > 0.9
    assert 0.45 < covered.mean() < 0.6  # from -0.5 to 0.5
    assert (tmp_path / "w.png").stat().st_size < 3000


@pytest.mark.parametrize("frames", [1, 50, 300])
def test_the_shortest_and_the_silent(frames, tmp_path):
    found = survey(zoo.save(tmp_path / "x.wav", np.zeros((1, frames), np.float32)))
    draw_spectrogram(found, float(found.spectrum.max()), tmp_path / "s.webp")
    draw_waveform(found, 0.0, COLORS[0], tmp_path / "w.png")
    assert found.peak is None and (tmp_path / "s.webp").stat().st_size > 0
