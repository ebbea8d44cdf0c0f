"""The stem network: shapes, equal shares at the start, its finite context, and the refiner that begins as the identity."""

import pytest
import torch

from enhance_cli.networks.band_split_conv import BandSplitConv
from enhance_cli.networks.stem_pair import StemPair

SMALL = {
    "channels": 8,
    "hidden": 8,
    "bottleneck": 4,
    "dilations": [1, 2],
    "n_fft": 256,
    "hop": 64,
    "bands": [[4, 8], [16, 6]],
}
LABELS = torch.eye(4)


def wave(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shaken(network):
    """Weights that are zero in a fresh network, and running statistics, made to matter."""
    generator = torch.Generator().manual_seed(1)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and not tensor.any():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("samples", [1000, 1024, 4097])
def test_a_fresh_extractor_gives_every_stem_an_equal_share(samples):
    mix = wave(2, 1, samples)
    network = BandSplitConv(**SMALL).eval()
    first, _ = network.extract(mix, LABELS[:2])
    assert first.shape == mix.shape
    assert torch.allclose(first, mix / 4, atol=1e-6)


def test_all_stems_in_one_pass_are_those_taken_one_by_one():
    mix, network = wave(2, 1, 2000), shaken(BandSplitConv(**SMALL))
    together = network.extract_all(mix)
    for number, label in enumerate(LABELS):
        alone, _ = network.extract(mix, label.expand(2, -1))
        assert torch.allclose(together[:, number], alone[:, 0], atol=1e-6)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


def test_nothing_beyond_the_stated_context_changes_a_sample():
    network = shaken(BandSplitConv(**SMALL))
    reach = network.receptive_field
    mix = wave(1, 1, 2 * reach + 640)
    other = mix.clone()
    other[..., :64] += 1
    difference = (network.extract_all(mix) - network.extract_all(other)).abs().amax(dim=(0, 1))
    assert difference[64 + reach :].max() < 1e-6 < difference[:64].max()


def test_folding_the_normalisations_changes_nothing():
    mix, network = wave(1, 1, 3000), shaken(BandSplitConv(**SMALL))
    count = lambda: sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    before, layers = network.extract_all(mix), count()
    assert torch.allclose(network.fold().extract_all(mix), before, atol=1e-5)
    assert count() < layers / 4


@pytest.mark.parametrize("sigma", [0.003, 0.05, 1.0])
def test_a_fresh_refiner_gives_the_first_estimate_back(sigma):
    sigma_data = 0.1
    pair = StemPair(
        {"network": "band_split_conv", **SMALL},
        {"network": "band_split_conv", "time": True, **SMALL | {"channels": 4, "fed": 8}},
    ).eval()
    mix, label, t = wave(2, 1, 2000), LABELS[1:3], torch.full((2,), sigma)
    first, features = pair.extract(mix, label)
    x = first + sigma * wave(2, 1, 2000, seed=5)
    spread = (sigma**2 + sigma_data**2) ** 0.5
    out = pair(x / spread, t.log() / 4, label, features)
    x0 = sigma_data**2 / spread**2 * x + sigma * sigma_data / spread * out
    assert torch.allclose(x0, first, atol=1e-5)


def test_a_refiner_hears_label_level_and_features():
    pair = StemPair(
        {"network": "band_split_conv", **SMALL},
        {"network": "band_split_conv", "time": True, **SMALL | {"channels": 4, "fed": 8}},
    )
    shaken(pair)
    mix, t = wave(1, 1, 2000), torch.tensor([-0.8])
    first, features = pair.extract(mix, LABELS[:1])
    usual = pair(first, t, LABELS[:1], features)
    changed = (
        pair(first, t, LABELS[1:2], features),
        pair(first, t + 0.3, LABELS[:1], features),
        pair(first, t, LABELS[:1], (mix, first, [m + 1 for m in features[2]])),
    )
    assert all((usual - other).abs().max() > 1e-5 for other in changed)
