"""Overlapping windows: the averages of the published programs, the file itself where all agree, little memory."""

import numpy as np
import pytest

from enhance_cli.tasks.overlap import OverlapPlan
from tests.golden_numbers import load, rel_l2, wave

GOLDEN, ABOUT = load("melband_roformer_demix")


def in_blocks(audio: np.ndarray, size: int):
    return (audio[:, n : n + size] for n in range(0, audio.shape[1], size))


def processed(plan: OverlapPlan, blocks, network) -> np.ndarray:
    return np.concatenate(list(plan.join((w, network(w.audio)) for w in plan.cut(blocks))), axis=1)


@pytest.mark.parametrize("size", [1, 77, 100_000])
@pytest.mark.parametrize("samples", ABOUT["lengths"])
@pytest.mark.parametrize("windows", ABOUT["num_overlap"])
def test_windows_and_weights_are_those_of_the_published_program(windows, samples, size):
    """A ramp for the network: every sample shows its place in the window, so weights and mirroring cannot hide."""
    left = wave(f"melband_roformer_demix_{samples}_left", samples, 44100)
    mix = np.stack([left, left / 2 + wave(f"melband_roformer_demix_{samples}_right", samples, 44100)])
    ramp = np.arange(1, ABOUT["chunk"] + 1, dtype=np.float32) / np.float32(ABOUT["chunk"])
    plan = OverlapPlan.of_model(ABOUT["chunk"], windows=windows, fade=0.1, mirrored=True)
    found = processed(plan, in_blocks(mix, size), lambda audio: audio * ramp)
    assert rel_l2(found, GOLDEN[f"kim_ov{windows}_n{samples}"]) < ABOUT["tolerance"]


@pytest.mark.parametrize("mirrored, fade", [(True, 0.1), (True, 0.0), (False, 0.0)])
@pytest.mark.parametrize("windows", [1, 2, 3, 4])
@pytest.mark.parametrize("samples", [1, 50, 100, 101, 149, 150, 151, 200, 1000])
def test_results_that_agree_are_the_file(windows, samples, mirrored, fade):
    audio = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    plan = OverlapPlan.of_model(100, windows=windows, fade=fade, mirrored=mirrored)
    for size in (1, 33, 5000):
        found = processed(plan, in_blocks(audio, size), lambda window: window)
        assert found.shape == audio.shape and np.isfinite(found).all()
        if windows > 1 or not fade:  # one alone has weights of 0 at its ends, as published
            np.testing.assert_allclose(found, audio, atol=1e-6)
    assert not list(plan.cut(iter([])))


@pytest.mark.parametrize("mirrored", [True, False])
def test_no_window_lies_beside_the_file_and_all_are_whole(mirrored):
    plan = OverlapPlan.of_model(100, windows=4, fade=0.1, mirrored=mirrored)
    windows = list(plan.cut(in_blocks(np.ones((1, 1003), np.float32), 10)))
    assert [w.start for w in windows] == list(range(-75, 1003, 25))
    assert all(w.audio.shape == (1, 100) and w.length > 0 for w in windows)


def test_memory_holds_a_few_windows_of_an_endless_stream():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 50
            yield np.zeros((2, 50), np.float32)

    plan = OverlapPlan.of_model(100, windows=4, fade=0.1, mirrored=True)
    for number, window in enumerate(plan.cut(endless())):
        assert read <= window.start + 100 + 2 * 75 + 100
        if number == 200:
            break


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("samples", [40, 149, 151, 190, 1003])
@pytest.mark.parametrize("size", [33, 5000])
def test_what_windows_hold_beyond_the_ends_is_the_mirror_image_or_silence(mirrored, samples, size):
    """Networks hear it. Of a file that is shorter than twice the overlap nothing is continued at its beginning."""
    audio = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    plan = OverlapPlan.of_model(100, windows=4, fade=0.1, mirrored=mirrored)
    border = 0 if mirrored and samples <= 150 else 75
    continued = np.pad(audio, ((0, 0), (border, border)), mode="reflect" if mirrored else "constant")
    for window in plan.cut(in_blocks(audio, size)):
        there = continued[:, window.start + border :][:, :100]
        mode = "reflect" if mirrored and there.shape[1] > 51 else "constant"
        wanted = np.pad(there, ((0, 0), (0, 100 - there.shape[1])), mode=mode)
        np.testing.assert_array_equal(window.audio, wanted)


def test_results_come_as_soon_as_no_later_window_lies_over_them():
    plan, begun, emitted = OverlapPlan.of_model(100, windows=4, fade=0.1, mirrored=False), 0, 0

    def done():
        nonlocal begun
        for window in plan.cut(in_blocks(np.ones((1, 2000), np.float32), 100)):
            begun = window.start
            yield window, window.audio

    for part in plan.join(done()):
        emitted += part.shape[1]
        assert emitted >= begun + 25
    assert emitted == 2000
