"""Gaps are filled in a stream: known samples stay, windows and blocks do not matter, and long gaps are silent in the middle."""

import numpy as np
import pytest

from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.gaps.meter import GapMeter
from enhance_cli.errors import UsageError
from enhance_cli.tasks.inpaint import Inpainter, Piece, method, notes, split
from enhance_cli.tasks.options import InpaintOptions
from enhance_cli.tasks.stream import measured
from tests.tasks.whole import inpaint as run

RATE = 16000


@pytest.fixture
def tones() -> np.ndarray:
    t = np.arange(3 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal((2, len(t)))
    return (0.2 * np.sin(2 * np.pi * np.array([[300], [470]]) * t) + 0.001 * noise).astype(np.float32)


def in_blocks(audio: np.ndarray, gaps, block: int) -> np.ndarray:
    level = measured(audio, RATE)
    level.extra = GapMeter(RATE, gaps)
    level.extra.push(audio)
    blocks = (audio[:, n : n + block] for n in range(0, audio.shape[1], block))
    return np.concatenate(list(Inpainter().process(blocks, RATE, len(audio), level)), axis=1)


GAPS = [(0.0, 0.02), (0.5, 0.55), (0.56, 0.57), (1.0, 1.4), (2.98, 3.0)]


def test_known_samples_stay_to_the_bit_and_gaps_are_continued(tones):
    broken = tones.copy()
    inside = np.zeros(tones.shape[1], bool)
    for begin, end in GAPS:
        inside[round(begin * RATE) : round(end * RATE)] = True
    broken[:, inside] = 0.123  # whatever lies in a gap must not count
    made = run(broken, RATE, GAPS)
    broken[:, inside] = -0.05
    assert np.array_equal(run(broken, RATE, GAPS), made)
    assert made.dtype == tones.dtype and np.array_equal(made[:, ~inside], tones[:, ~inside])
    for begin, end in ((8000, 8800), (8960, 9120)):
        error = np.square(made - tones)[:, begin:end].mean()
        assert error < 0.01 * np.square(tones).mean()
    assert np.abs(made[:, 16000:16160] - tones[:, 16000:16160]).max() < 0.06
    assert not made[:, 17000:21000].any() and np.abs(made).max() <= np.abs(broken).max()


@pytest.mark.parametrize("milliseconds", [30, 60, 99, 101, 140])
def test_a_gap_that_is_not_predicted_as_a_whole_fades_on_either_side_and_changes_nothing_else(tones, milliseconds):
    """Also where it is shorter than the two fades."""
    gap = slice(16000, 16000 + milliseconds * RATE // 1000)
    broken = tones.copy()
    broken[:, gap] = 0.123
    made = run(broken, RATE, [(1.0, 1.0 + milliseconds / 1000)], Inpainter(InpaintOptions(predicted=0.02)))
    assert np.array_equal(np.delete(made, gap, 1), np.delete(tones, gap, 1))
    level = lambda x: np.sqrt(np.square(x).mean())
    begin, middle, end = (level(part) for part in np.array_split(made[:, gap], 3, axis=1))
    assert middle < 0.7 * min(begin, end) and level(made[:, gap][:, :16] - tones[:, gap][:, :16]) < 0.02


@pytest.mark.parametrize("block", [37, 1000, 20000])
def test_blocks_of_any_size_give_the_same_samples(tones, block):
    assert np.array_equal(in_blocks(tones, GAPS, block), run(tones, RATE, GAPS))


@pytest.mark.parametrize("block", [37, 20000])
def test_noise_in_a_mono_recording_of_two_channels_stays_mono_in_blocks_of_any_size(block):
    noise = np.tile(0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32), (2, 1))
    made = in_blocks(noise, [(0.5, 0.56), (1.0, 1.3)], block)
    assert np.array_equal(made[0], made[1]) and np.array_equal(made, run(noise, RATE, [(0.5, 0.56), (1.0, 1.3)]))
    assert abs(20 * np.log10(made[:, 8000:8960].std() / 0.1)) < 3


def test_a_gap_of_hours_takes_no_more_memory_than_its_pieces(tones):
    level = measured(tones, RATE)
    level.extra = GapMeter(RATE, [(1, 3601)])
    level.extra.push(tones)
    level.extra.frames = 3610 * RATE
    sizes, seen = [], 0

    def blocks():
        nonlocal seen
        for _ in range(3610):
            seen += RATE
            yield np.ones((1, RATE), np.float32)

    done = 0
    for block in Inpainter().process(blocks(), RATE, 1, level):
        done += block.shape[1]
        sizes.append(seen - done)
    assert done == 3610 * RATE and max(sizes) < 5 * RATE


def test_a_filling_is_no_louder_than_the_recording():
    """The crest of this wave lies in the gap. Were it restored, a gain might change all known samples."""
    t = np.arange(-480, 480) / RATE
    wave = (0.5 + 0.5 * np.cos(2 * np.pi * 16 * t))[None]
    wave[:, 400:560] = 0
    made = run(wave, RATE, [(0.025, 0.035)])
    assert np.abs(made[:, 400:560]).max() > 0.99 * np.abs(wave).max() and np.abs(made).max() == np.abs(wave).max()


def test_found_dropouts_are_filled_channel_by_channel(tones):
    broken = tones.copy()
    broken[0, 10000:10200] = 0
    made = run(broken, RATE, None)
    assert np.array_equal(made[1], tones[1]) and np.square(made[0] - tones[0])[10000:10200].mean() < 4e-4


@pytest.mark.parametrize(
    "gaps, message",
    [
        ([(0, 3)], "whole recording"),
        ([(0, 1), (1, 3)], "whole recording"),
        ([(2.9, 3.1)], "outside of the recording, which goes from 0.000 to 3.000 s"),
        ([(5, 6)], "outside of the recording"),
    ],
)
def test_gaps_that_cannot_be_are_refused(tones, gaps, message):
    with pytest.raises(UsageError, match=message):
        run(tones, RATE, gaps)


def test_every_length_of_recording_and_gap_works():
    rng = np.random.default_rng(0)
    for samples in (2, 3, 10, 33, 100, 700):
        audio = rng.standard_normal((1, samples)).astype(np.float32)
        for begin in (0, samples // 2, samples - 1):
            made = run(audio, 1000, [(begin / 1000, (begin + 1) / 1000)])
            assert made.shape == audio.shape and np.isfinite(made).all()
            assert np.array_equal(np.delete(made, begin, 1), np.delete(audio, begin, 1))


@pytest.fixture
def by_model(tiny_model):
    """Fill long gaps by a small network of random weights."""
    import torch

    from enhance_cli.models.load import load_file
    from enhance_cli.models.sampling import Sampling
    from enhance_cli.tasks.gap_model import GapModel

    def make(**settings) -> Inpainter:
        model = load_file(tiny_model, torch.device("cpu"))
        return Inpainter(model=GapModel(model.inpainter(Sampling(3, "bridge_sde", **settings))))

    return make


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_a_model_fills_the_middle_of_long_gaps_and_nothing_else(tones, by_model, rate):
    gaps, tones = [(0.5, 0.55), (1.0, 1.4), (1.9, 2.6)], np.tile(tones, 3)[:, : 3 * rate]
    plain, made = run(tones, rate, gaps), run(tones, rate, gaps, by_model())
    begin, end = round(1.0 * rate), round(1.4 * rate)
    assert np.array_equal(made[:, :begin], plain[:, :begin]) and np.array_equal(made[:, end:], plain[:, end:])
    middle = slice(begin + rate // 10, end - rate // 10)
    assert not plain[:, middle].any() and np.abs(made[:, middle]).std() > 1e-3
    edge = slice(begin, begin + rate // 2000)
    assert np.abs(made[:, edge] - plain[:, edge]).max() < 0.02, "the edges go on as predicted"


def test_blocks_of_any_size_get_the_same_filling_by_a_model(tones, by_model):
    level = measured(tones, RATE)
    level.extra = GapMeter(RATE, [(1.0, 1.4)])
    level.extra.push(tones)
    blocks = (tones[:, n : n + 999] for n in range(0, tones.shape[1], 999))
    streamed = np.concatenate(list(by_model().process(blocks, RATE, 2, level)), axis=1)
    assert np.array_equal(streamed, run(tones, RATE, [(1.0, 1.4)], by_model()))


def test_strength_zero_is_the_first_filling_and_the_seed_decides_the_rest(tones, by_model):
    gaps = [(1.0, 1.3)]
    assert np.allclose(run(tones, RATE, gaps, by_model(settings={"strength": 0.0})), run(tones, RATE, gaps), atol=1e-7)
    first, half, other = (
        run(tones, RATE, gaps, by_model(**settings)) for settings in ({}, {"settings": {"strength": 0.5}}, {"seed": 1})
    )
    assert not np.array_equal(first, half) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    "samples, makes, wanted",
    [
        (1600, False, "linear-prediction"),
        (1601, False, "linear-prediction, faded"),
        (1600, True, "linear-prediction"),
        (1601, True, "voice-48k"),
        (8000, True, "voice-48k"),
        (8001, True, "linear-prediction, faded"),
    ],
)
def test_gaps_up_to_a_tenth_of_a_second_are_predicted_and_a_model_makes_those_up_to_half_a_second(
    samples, makes, wanted
):
    gap = Gap(500, 500 + samples, 1)
    assert method(gap, RATE, 0.1, "voice-48k" if makes else "") == wanted
    pieces = list(split(gap, RATE, 0.1, makes))
    if "faded" not in wanted:
        assert pieces == [Piece(500, 500 + samples, 1, made=wanted == "voice-48k")]
    else:
        first, *silent, last = pieces
        assert first == Piece(500, 1300, 1, behind=False) and last == Piece(gap.end - 800, gap.end, 1, before=False)


def test_the_pieces_of_a_long_gap_tile_it_in_seconds_of_silence():
    first, *silent, last = pieces = list(split(Gap(100, 100 + 4 * RATE, -1), RATE, 0.1, False))
    assert [piece.start for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert (first.start, last.end) == (100, 100 + 4 * RATE) and all(piece.channel == -1 for piece in pieces)
    assert [piece.end - piece.start for piece in silent] == [RATE] * 3 + [RATE - 1600]
    assert not any(piece.before or piece.behind or piece.made for piece in silent)


def test_notes_tell_the_first_gaps_and_each_that_is_too_long():
    meter = GapMeter(RATE, [])
    assert notes(meter, [], 0.1, RATE) == ["left as it is: no gap was found"]
    gaps = [Gap(1600 * n, 1600 * n + 160) for n in range(6)]
    assert notes(meter, gaps[:5], 0.1, RATE) == ["filled 0-0.01,0.1-0.11,0.2-0.21,0.3-0.31,0.4-0.41"]
    assert notes(meter, gaps, 0.1, RATE) == ["filled 0-0.01,0.1-0.11,0.2-0.21,0.3-0.31,0.4-0.41 and 1 more"]
    long = "0-0.2 s is longer than 100 ms, which cannot be predicted: it fades out and in, with silence between"
    _, note = notes(meter, [Gap(0, 3200), Gap(8000, 9600)], 0.1, RATE)
    assert note.startswith(long)
    assert not notes(meter, [Gap(0, 3200)], 0.2, RATE)[1:]


class Told:
    """In place of a model for gaps: writes down what it is told, and fills by a constant."""

    name = "told"

    def __init__(self):
        self.calls = []

    def scale(self, active, peak):
        self.levels = active, peak
        return 3.0

    def fill(self, before, first, behind, *, rate, start, scale):
        self.calls.append((before, first, behind, rate, start, scale))
        return np.full(first.shape, 0.05)


def test_a_model_is_told_the_level_of_the_recording_and_the_sound_on_either_side_of_the_gap(tones):
    audio, model = np.tile(tones, 2) * np.array([[1.0], [0.5]], np.float32), Told()
    made = run(audio, RATE, [(3.0, 3.3)], Inpainter(model=model))
    level = measured(audio, RATE)
    assert model.levels == (pytest.approx(np.sqrt(np.mean(level.active_levels**2))), level.peak)
    assert (made[:, 48000:52800] == np.float32(0.05)).all() and len(model.calls) == 2
    assert np.array_equal(np.delete(made, slice(48000, 52800), 1), np.delete(audio, slice(48000, 52800), 1))
    for channel, (before, first, behind, rate, start, scale) in zip(audio, model.calls):
        assert (rate, start, scale) == (RATE, 24000, 3.0)
        assert np.array_equal(before[0], channel[24000:48000]) and np.array_equal(behind[0], channel[52800:76800])
        assert first.shape == (1, 4800) and not first[:, 800:-800].any()
        assert np.abs(first[0, :160] - channel[48000:48160]).max() < 0.05
        assert np.abs(first[0, -160:] - channel[52640:52800]).max() < 0.05


def test_a_first_filling_shorter_than_two_fades_is_predicted_from_both_sides(tones):
    model = Told()
    run(tones, RATE, [(1.0, 1.06)], Inpainter(InpaintOptions(predicted=0.02), model))
    for channel, (_, first, *_) in zip(tones, model.calls):
        assert np.abs(first[0] - channel[16000:16960]).max() < 0.05


def test_a_model_is_not_asked_about_silence(tones):
    model = Told()
    made = run(0 * tones, RATE, [(1.0, 1.3)], Inpainter(model=model))
    assert not made.any() and not model.calls


@pytest.mark.parametrize("model, by, longest", [(Told(), "told", 500), (None, "linear-prediction, faded", 100)])
def test_a_record_says_how_each_gap_was_filled(tones, model, by, longest):
    audio = np.tile(tones, 2)
    level = measured(audio, RATE)
    level.extra = GapMeter(RATE, [(1.0, 1.05), (2.0, 2.3), (3.0, 3.9)])
    level.extra.push(audio)
    list(Inpainter(model=model).process(iter([audio]), RATE, 2, level))
    assert [how for _, how in level.extra.filled] == ["linear-prediction", by, "linear-prediction, faded"]
    assert [note.split(" s is ")[0] for note in level.extra.notes[1:]] == ["2-2.3", "3-3.9"][-1 if model else -2 :]
    assert level.extra.notes[0] == "filled 1-1.05,2-2.3,3-3.9" and f"longer than {longest} ms" in level.extra.notes[-1]


def test_a_clap_hides_no_dropout():
    """50 dB above sound that rises and falls as speech does: the same dropouts are found, and filled alike."""
    t = np.arange(4 * RATE) / RATE
    swell = np.clip(np.sin(2 * np.pi * 4.2 * t), 0.05, None)
    wave = 0.02 * swell * (np.sin(2 * np.pi * 150 * t) + 0.5 * np.sin(2 * np.pi * 430 * t))
    wave += 1e-4 * np.random.default_rng(0).standard_normal(wave.size)
    for start in (0.764, 1.716, 2.43):
        wave[round(start * RATE) :][:320] = 0
    clap = 6 * np.random.default_rng(1).standard_normal(800)
    made = [run(audio[None].astype(np.float32), RATE, None) for audio in (wave, np.concatenate([wave, clap]))]
    alone, beside = (audio[0, : 3 * RATE] for audio in made)
    filled = alone != wave[: 3 * RATE].astype(np.float32)
    assert filled.sum() > 800 and np.array_equal(beside != wave[: 3 * RATE].astype(np.float32), filled)
    assert np.square(alone[filled]).sum() == pytest.approx(np.square(beside[filled]).sum(), rel=0.2)  # under 1 dB
