"""Noise by its place in the file: normal, repeatable, and the same from wherever a window starts."""

import torch

from enhance_cli.models.frame_noise import FrameNoise


def noise(frames: list[int], length: int, seed: int = 0) -> FrameNoise:
    return FrameNoise(seed, frames, torch.zeros(len(frames), 2, length, 9))


def test_a_frame_has_the_same_noise_in_every_window_and_batch():
    long = noise([0], 300)()[0]
    for start, length in ((0, 1), (63, 2), (64, 64), (100, 150), (299, 1)):
        batch = noise([start, 0, start], length)()
        assert torch.equal(batch[0], long[:, start : start + length])
        assert torch.equal(batch[1], long[:, :length]) and torch.equal(batch[2], batch[0])


def test_draws_seeds_frames_and_parts_are_independent():
    first = noise([0], 2000)
    one, two, other = first(), first(), noise([0], 2000, seed=1)()
    for a, b in ((one, two), (one, other), (one[:, :, :-64], one[:, :, 64:]), (one[:, 0], one[:, 1])):
        assert abs(float((a * b).mean())) < 0.03
    assert abs(float(one.mean())) < 0.02 and abs(float(one.std()) - 1) < 0.02


def test_it_does_not_touch_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    noise([0], 10)()
    assert torch.equal(torch.rand(3), expected)
