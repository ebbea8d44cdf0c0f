"""Cutting a stream into windows: cores tile the file, margins are as wide as asked, memory stays small."""

import numpy as np
import pytest

from enhance_cli.tasks.windows import cut, join


def pieces(n: int, sizes: list[int]):
    """(2, n) counted samples in blocks of the given sizes, over and over."""
    audio = np.stack([np.arange(n), -np.arange(n)]).astype(np.float32)
    position = 0
    while position < n:
        for size in sizes:
            yield audio[:, position : position + size]
            position += size


@pytest.mark.parametrize("n", [0, 1, 99, 100, 101, 129, 130, 131, 199, 200, 1000])
@pytest.mark.parametrize("margin", [0, 30, 250])
@pytest.mark.parametrize("sizes", [[1], [7], [100], [0, 333], [5000]])
def test_cores_tile_the_file_and_margins_are_whole(n, margin, sizes):
    windows = list(cut(pieces(n, sizes), 100, margin))
    cores = [w.audio[:, w.skip : w.skip + w.length] for w in windows]
    joined = np.concatenate(cores, axis=1) if cores else np.zeros((2, 0))
    np.testing.assert_array_equal(joined[0], np.arange(n))
    np.testing.assert_array_equal(joined[1], -np.arange(n))
    for w in windows:
        first, end = w.start, w.start + w.audio.shape[1]
        np.testing.assert_array_equal(w.audio[0], np.arange(first, end))
        core = first + w.skip
        assert first == max(core - margin, 0) and end == min(core + w.length + margin, n)


def test_windows_start_on_multiples_of_the_hop_when_core_and_margin_do():
    assert all(w.start % 16 == 0 for w in cut(pieces(1000, [13]), 96, 48))


def test_windows_come_as_soon_as_their_margin_is_there():
    """Constant memory: no more than a core, its margins and one block are ever read ahead."""
    read = 0

    def counted():
        nonlocal read
        for block in pieces(10_000, [10]):
            read += block.shape[1]
            yield block

    starts = []
    for w in cut(counted(), 100, 30):
        assert read <= w.start + w.skip + 100 + 30 + 10
        starts.append(w.start + w.skip)
    assert starts == list(range(0, 10_000, 100))


@pytest.mark.parametrize("n", [0, 1, 99, 100, 105, 131, 200, 205, 1000])
@pytest.mark.parametrize("margin, fade", [(0, 0), (30, 0), (30, 20), (30, 30)])
def test_windows_that_agree_join_into_the_file(n, margin, fade):
    joined = list(join(((w, w.audio) for w in cut(pieces(n, [33]), 100, margin)), fade))
    np.testing.assert_allclose(np.concatenate(joined, axis=1)[0] if joined else [], np.arange(n), rtol=1e-6)


def test_windows_that_differ_fade_into_each_other_evenly():
    windows = list(cut(pieces(200, [200]), 100, 30))
    results = [np.full((1, w.audio.shape[1]), float(k), np.float32) for k, w in enumerate(windows)]
    (joined,) = np.concatenate(list(join(zip(windows, results), 20)), axis=1)
    assert joined.size == 200 and not joined[:80].any() and (joined[120:] == 1).all()
    np.testing.assert_allclose(np.diff(joined[80:120]), 1 / 40, rtol=1e-4)


@pytest.mark.parametrize("alike", [0.0, 0.6, 1.0])
def test_a_fade_is_as_loud_as_what_it_is_between(alike):
    """Whether two windows made the same of a place, or other noise of the same level."""
    rng, windows = np.random.default_rng(0), list(cut(pieces(40_000, [40_000]), 20_000, 4000))
    shared = rng.standard_normal(40_000)
    results = []
    for w in windows:
        own = rng.standard_normal(w.audio.shape[1])
        mixed = alike**0.5 * shared[w.start : w.start + w.audio.shape[1]] + (1 - alike) ** 0.5 * own
        results.append(np.stack([mixed, 0.5 * mixed]).astype(np.float32))
    joined = np.concatenate(list(join(zip(windows, results), 4000, keep_power=True)), axis=1)
    levels = np.square(joined[:, 17_000:23_000]).reshape(2, 6, 1000).mean(axis=2)
    np.testing.assert_allclose(levels, [[1] * 6, [0.25] * 6], rtol=0.15)
    np.testing.assert_allclose(joined[1], 0.5 * joined[0], rtol=1e-5)
