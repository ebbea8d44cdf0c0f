"""Cutting a stream into windows: cores tile the file, margins are as wide as asked, memory stays small."""

import numpy as np
import pytest

from enhance_cli.tasks.windows import WindowPlan


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
    windows = list(WindowPlan(100, margin, 0).cut(pieces(n, sizes)))
    cores = [w.audio[:, w.skip : w.skip + w.length] for w in windows]
    joined = np.concatenate(cores, axis=1) if cores else np.zeros((2, 0))
    np.testing.assert_array_equal(joined[0], np.arange(n))
    np.testing.assert_array_equal(joined[1], -np.arange(n))
    for w in windows:
        first, end = w.start, w.start + w.audio.shape[1]
        np.testing.assert_array_equal(w.audio[0], np.arange(first, end))
        core = first + w.skip
        assert first == max(core - margin, 0) and end == min(core + w.length + margin, n)
    assert {w.audio.shape[1] for w in windows if w.start + w.audio.shape[1] < n} <= {100 + 2 * margin}


def test_windows_start_on_multiples_of_the_hop_when_core_and_margin_do():
    assert all(w.start % 16 == 0 for w in WindowPlan(96, 48, 0).cut(pieces(1000, [13])))


def test_windows_come_as_soon_as_their_margin_is_there():
    """Constant memory: no more than a core, its margins and one block are ever read ahead."""
    read = 0

    def counted():
        nonlocal read
        for block in pieces(10_000, [10]):
            read += block.shape[1]
            yield block

    starts = []
    for w in WindowPlan(100, 30, 0).cut(counted()):
        assert read <= w.start + w.skip + w.length + 30 + 10
        starts.append(w.start + w.skip)
    assert starts == [0, *range(130, 10_000, 100)]


@pytest.mark.parametrize("n", [0, 1, 99, 100, 105, 131, 200, 205, 1000])
@pytest.mark.parametrize("margin, fade", [(0, 0), (30, 0), (30, 20), (30, 30)])
def test_windows_that_agree_join_into_the_file(n, margin, fade):
    plan = WindowPlan(100, margin, fade)
    joined = list(plan.join((w, w.audio) for w in plan.cut(pieces(n, [33]))))
    np.testing.assert_allclose(np.concatenate(joined, axis=1)[0] if joined else [], np.arange(n), rtol=1e-6)


@pytest.mark.parametrize(
    "old, new, keep_power", [(0, 1, False), (1, -1, False), (0, 1, True), (1, 0, True), (1, 3, True), (-2, -2, True)]
)
def test_windows_that_differ_fade_into_each_other_evenly(old, new, keep_power):
    """With `keep_power` too, where one is the other at another level, or silent."""
    plan = WindowPlan(100, 30, 20)
    windows = list(plan.cut(pieces(200, [200])))
    results = [np.full((1, w.audio.shape[1]), float(k), np.float32) for k, w in zip((old, new), windows)]
    done = plan.join(zip(windows, results), keep_power=True) if keep_power else plan.join(zip(windows, results))
    (joined,) = np.concatenate(list(done), axis=1)
    assert joined.size == 200 and (joined[:80] == old).all() and (joined[120:] == new).all()
    np.testing.assert_allclose(joined[80:120], old + (new - old) * (np.arange(40) + 0.5) / 40, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("alike", [0.0, 0.6, 1.0])
def test_a_fade_is_as_loud_as_what_it_is_between(alike):
    """Whether two windows made the same of a place, or other noise of the same level."""
    rng, plan = np.random.default_rng(0), WindowPlan(20_000, 4000, 4000)
    windows = list(plan.cut(pieces(40_000, [40_000])))
    shared = rng.standard_normal(40_000)
    results = []
    for w in windows:
        own = rng.standard_normal(w.audio.shape[1])
        mixed = alike**0.5 * shared[w.start : w.start + w.audio.shape[1]] + (1 - alike) ** 0.5 * own
        results.append(np.stack([mixed, 0.5 * mixed]).astype(np.float32))
    joined = np.concatenate(list(plan.join(zip(windows, results), keep_power=True)), axis=1)
    levels = np.square(joined[:, 17_000:23_000]).reshape(2, 6, 1000).mean(axis=2)
    np.testing.assert_allclose(levels, [[1] * 6, [0.25] * 6], rtol=0.15)
    np.testing.assert_allclose(joined[1], 0.5 * joined[0], rtol=1e-5)


def filtered(plan: WindowPlan, audio: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """`audio` (1, n) through a symmetric filter, window by window."""
    reach = taps.size // 2
    done = ((w, np.convolve(w.audio[0], taps)[None, reach:-reach]) for w in plan.cut(iter([audio])))
    return np.concatenate(list(plan.join(done)), axis=1)[0]


@pytest.mark.parametrize("n", [3, 640, 1001])
@pytest.mark.parametrize("grid", [1, 16])
@pytest.mark.parametrize("fade", [None, 5, 48])
def test_windows_with_the_reach_of_a_filter_give_the_file_filtered_whole(n, grid, fade):
    """Also where they fade into each other. Cores and margins begin on the grid, and take no more than they need."""
    rng = np.random.default_rng(0)
    audio, taps = rng.standard_normal((1, n)), rng.standard_normal(2 * 32 + 1)
    if fade is None:
        plan = WindowPlan.exact(100, 32, grid=grid)
    else:
        plan = WindowPlan.faded(100, fade, around=32, grid=grid)
    needed = 32 + (fade or 0)
    assert plan.fade == (fade or 0) and plan.core == 100 // grid * grid and needed <= plan.margin < needed + grid
    assert plan.margin % grid == 0 and plan.whole == max(w.audio.shape[1] for w in plan.cut(pieces(9999, [100])))
    whole = np.convolve(audio[0], taps)[32 : 32 + n]
    np.testing.assert_allclose(filtered(plan, audio, taps), whole, atol=1e-10)


def test_a_window_shorter_than_the_grid_has_one_step_of_it():
    assert WindowPlan.exact(5, 0, grid=16).core == WindowPlan.faded(5, 0, grid=16).core == 16
