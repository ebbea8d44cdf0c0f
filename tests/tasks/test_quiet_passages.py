"""Quiet passages are heard at a level of their own, which changes nothing about the speech around them."""

import copy

import numpy as np
import pytest
import torch

from enhance_cli.audio.levels.level_track import LevelTrack
from enhance_cli.models import registry
from enhance_cli.models.graphs.packaged import load_denoiser_graphs
from enhance_cli.models.load import load_file
from enhance_cli.models.streams import open_stream
from enhance_cli.tasks.quiet_passages import QuietPassages

RATE, SECONDS = 8000, 8


class Gate:
    """In place of a network's stream: drops all 20 dB below the loudest that it has heard, and tells what it has heard."""

    pushed, late = 0, 500

    def __init__(self):
        self.held, self.loudest, self.energy = np.zeros((1, 0)), 0.0, 0.0

    def push(self, block, last=False):
        Gate.pushed += block.shape[1]
        self.held = np.concatenate([self.held, block], axis=1)
        ready, self.held = np.split(
            self.held, [self.held.shape[1] - (0 if last else min(self.late, self.held.shape[1]))], 1
        )
        loudest = np.maximum.accumulate(np.append(self.loudest, np.abs(ready)))
        energy = np.cumsum(np.append(self.energy, np.square(ready)))
        self.loudest, self.energy = loudest[-1], energy[-1]
        return np.stack([np.where(np.abs(ready) > 0.1 * loudest[1:], ready, 0), energy[None, 1:]]).astype(np.float32)

    def fork(self):
        return copy.deepcopy(self)


def track(*rows: list[tuple[int, int, float]]) -> LevelTrack:
    """The levels of channels, 0.1 but from the slot `begin` to `end`, which are `below` dB lower."""
    slots = np.full((len(rows), SECONDS * 10), -20.0)
    for row, passages in zip(slots, rows):
        for begin, end, below in passages:
            row[begin:end] -= below
    return LevelTrack(np.full(len(rows), 0.1), slots)


def sound(levels: LevelTrack) -> np.ndarray:
    """(C, N): noise of one magnitude at these levels."""
    noise = np.random.default_rng(0).choice([-1.0, 1.0], (len(levels.overall), SECONDS * RATE))
    return (noise * levels.at(0, SECONDS * RATE, RATE)).astype(np.float32)


def in_blocks(stream: QuietPassages, audio: np.ndarray, seed: int) -> np.ndarray:
    """Return the results (P, C, N) for `audio` in blocks of random sizes, from none to 0.1 s."""
    rng, made, position = np.random.default_rng(seed), [], 0
    while position < audio.shape[1]:
        size = int(rng.integers(0, RATE // 10))
        made.append(stream.push(audio[:, position : position + size]))
        position += size
    return np.concatenate([*made, stream.push(audio[:, :0], True)], axis=-1)


@pytest.mark.parametrize("late", [80, 4000])
def test_quiet_passages_are_kept_and_all_else_is_as_a_stream_gives_it_that_hears_one_level(late, monkeypatch):
    """Also behind them, to the bit, although the network remembers everything, and comes later than the next passage."""
    monkeypatch.setattr(Gate, "late", late)
    levels = track([(30, 50, 40.0), (53, 60, 40.0)])
    audio = sound(levels)
    found, whole = QuietPassages(Gate, levels, RATE).push(audio, True), Gate().push(audio, True)
    slots = np.arange(audio.shape[1]) / RATE * 10
    quiet, loud = ([any(a + d <= s <= b - d for a, b in ((30, 50), (53, 60))) for s in slots] for d in (0.5, -0.5))
    assert np.array_equal(found[:, :, ~np.array(loud)], whole[:, :, ~np.array(loud)])
    assert not whole[0, 0, quiet].any()
    np.testing.assert_allclose(found[0, 0, quiet], audio[0, quiet], rtol=1e-5)


@pytest.mark.parametrize("below, share", [(8.9, 0), (10.5, 0.25), (12, 0.5), (15, 1), (40, 1)])
def test_the_result_fades_between_9_and_15_db_below_the_overall_level(below, share):
    """The energy that the network has heard tells how much of the result is of which level."""
    levels, at = track([(30, 60, below)]), int(4.5 * RATE)
    audio = sound(levels)
    Gate.pushed = 0
    energy = QuietPassages(Gate, levels, RATE).push(audio, True)[1, 0, at]
    unfollowed, followed = np.square(audio[0, :at]).sum(), 0.1**2 * at
    assert (energy - unfollowed) / (followed - unfollowed) == pytest.approx(share, abs=0.02)
    twice = Gate.pushed - audio.shape[1]  # for the passage of 3 s alone, in whole seconds
    assert 3 * RATE < twice < 5 * RATE if share else not twice


@pytest.mark.parametrize("passage", [(0, 5), (0, 80), (75, 80), (79, 80), (10, 11)])
def test_in_any_blocks_every_sample_is_there_and_the_same_also_beside_another_channel(passage):
    levels = track([(*passage, 50.0)], [(40, 42, 30.0), (49, 51, 20.0), (71, 72, 30.0)])
    audio = sound(levels)
    whole = QuietPassages(Gate, levels, RATE).push(audio, True)
    assert whole.shape == (2, *audio.shape)
    for seed in range(2):
        assert np.array_equal(in_blocks(QuietPassages(Gate, levels, RATE), audio, seed), whole)
    alone = QuietPassages(Gate, LevelTrack(np.full(1, 0.1), levels.slots[:1]), RATE).push(audio[:1], True)
    assert np.array_equal(alone[:, 0], whole[:, 0])


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_the_stream_of_a_real_network_forks_in_the_middle_of_a_block(runtime):
    """The copy goes on as the stream does, and neither disturbs the other."""
    entry = registry.find("deepfilternet3", "denoise")
    model = load_denoiser_graphs(entry, 1) if runtime == "onnx" else load_file(entry.path, torch.device("cpu"))
    audio = np.repeat(sound(track([(20, 40, 10.0)])), 3, axis=1)[:, :150000]
    wanted = open_stream(model.stream_network, 1, 24000).push(audio, True)
    stream = open_stream(model.stream_network, 1, 24000)
    first = stream.push(audio[:, :70000])
    fork = stream.fork()
    fork.push(np.ones((1, 90000), np.float32), True)
    fork = stream.fork()
    rest = [s.push(audio[:, 70000:], True) for s in (stream, fork)]
    assert np.array_equal(np.concatenate([first, rest[0]], axis=2), wanted) and np.array_equal(*rest)
