"""Change the refiner of denoise-48k for compare_refiners: make it wider, or give it more of the first stage as a condition.

Every changed network begins as the function that it was.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from enhance_cli.networks.bridge_unet import BridgeUNet
from enhance_cli.networks.layers import zeroed

FEATURES = 512  # of a frame, from the encoder of the first stage
QUICKER = 10.0  # times as fast as the trained layers, Adam takes the new ones that begin at zero

Change = Callable[[BridgeUNet], BridgeUNet]


class GainStem(nn.Module):
    """Convolve x and y (B, 4, T, F), and beside them the power of x, the first stage's estimate, over that of y."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv = conv
        self.gain = zeroed(nn.Conv2d(1, conv.out_channels, (3, 8), stride=(1, 4), padding=(1, 2), bias=False))

    def forward(self, h: Tensor) -> Tensor:
        x, y = (part.square().sum(1, keepdim=True) for part in h.chunk(2, dim=1))
        return self.conv(h) + QUICKER * self.gain((x / (y + 1e-6)).clamp(0, 1))


class FeatureEntry(nn.Module):
    """Add `features` (B, 512, T) of the first stage to each frame of the bottleneck. They are set before every call."""

    def __init__(self, narrow: nn.Conv2d):
        super().__init__()
        self.narrow = narrow
        self.inner = zeroed(nn.Conv1d(FEATURES, narrow.out_channels, 1))
        self.features = torch.zeros(0)

    def forward(self, z: Tensor) -> Tensor:
        return self.narrow(z) + QUICKER * self.inner(self.features)[..., None]


def with_gains(network: BridgeUNet) -> BridgeUNet:
    network.stem[0] = GainStem(network.stem[0])
    return network


def with_features(network: BridgeUNet) -> BridgeUNet:
    network.narrow = FeatureEntry(network.narrow)
    return network


def set_features(network: BridgeUNet, features: Tensor) -> None:
    """Give the features (B, T, 512) of a batch to a network that takes them."""
    if isinstance(network.narrow, FeatureEntry):
        network.narrow.features = features.transpose(1, 2).float()


def widened(channels: tuple[int, ...], temporal: int) -> Change:
    """Return a change to so many `channels` per level and a stack so wide. No old channel reads a new one at first."""

    def widen(network: BridgeUNet) -> BridgeUNet:
        wide = BridgeUNet(channels, temporal=temporal, state_mask=network.state_head is not None)
        bands = network.narrow.in_channels // network.encoder[-1][0].conv1.in_channels
        weights = wide.state_dict()
        for name, old in network.state_dict().items():
            new, groups = weights[name], groups_of(name, bands)
            places = [spread(*sizes) for sizes in zip(old.shape, new.shape, groups)]  # of rows and columns
            if len(places) == 2:
                new[places[0]] = 0
                new[places[0][:, None], places[1]] = old
            elif places:
                new[places[0]] = old
        return wide

    return widen


def groups_of(name: str, bands: int) -> tuple[int, int]:
    """Return how many groups of all channels the rows and the columns of a weight are made of."""
    part = name.split(".")[0]
    rows = {"up": 2 if name.endswith("0.weight") else 1, "widen": bands}  # a layer `up` makes two sub-bands
    columns = {"narrow": bands, "head": 2, "state_head": 2}  # a head reads the stem as well
    return rows.get(part, 1), columns.get(part, 1)


def spread(old: int, new: int, groups: int) -> Tensor:
    """Return where `old` entries go among `new` ones: to the beginning of each of the groups."""
    return (torch.arange(groups)[:, None] * (new // groups) + torch.arange(old // groups)).flatten()
