"""What is left over of a mix is shared out among the stems exactly, and goes where a stem is large."""

import pytest
import torch

from enhance_cli.audio.spectra.mixture_consistency import share_out


def draw(*shape, seed: int = 0, kind=torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(kind)


@pytest.mark.parametrize("length", [513, 20_000])
def test_the_shares_sum_to_what_is_left_over_to_half_the_last_bit_and_not_to_what_transforms_leave_of_it(length):
    rest = draw(2, length)
    shares = share_out(draw(4, 2, length, seed=1), rest)
    assert shares.shape == (4, 2, length)
    error = (shares.double().sum(dim=0) - rest).abs()
    assert float(error.mean() / rest.abs().mean()) < torch.finfo(torch.float32).eps / 2
    assert float(error.max() / rest.abs().max()) < 1.5e-7


def test_a_single_sample_is_shared_out_too():
    shares = share_out(draw(4, 2, 1, seed=1), draw(2, 1))
    assert torch.allclose(shares.sum(dim=0), draw(2, 1), atol=1e-6)


def test_what_is_left_over_goes_to_the_stem_that_is_large_at_its_frequency():
    time = torch.arange(20_000) / 16000
    low, high = (torch.sin(2 * torch.pi * f * time)[None] for f in (400, 5000))
    shares = share_out(torch.stack([low, high]), 0.1 * high)
    inside = slice(4096, -4096)
    assert float((shares[1] - 0.1 * high)[:, inside].abs().max()) < 1e-3
    assert float(shares[0][:, inside].abs().max()) < 1e-3


def test_silent_stems_share_alike():
    rest = draw(1, 9000)
    shares = share_out(torch.zeros(3, 1, 9000), rest)
    assert torch.allclose(shares, rest.expand(3, -1, -1) / 3, atol=1e-5)
