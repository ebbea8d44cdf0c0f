"""Run the bridge network over a stream: the next frames and a state in, the frames that are complete and the next state out.

A convolution over time needs frames before and after each of its own. Those before are carried from call to call, and a frame
comes out when those after it have arrived, `receptive_field` frames later. So each frame is computed once, and the memory does
not depend on the length of the recording. The results are those of the whole recording at once: before its first and after its
last frame every convolution sees zeros.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.bridge_unet import BridgeUNet, masked
from enhance_cli.networks.layers import ResidualBlock, TemporalBlock


class Carry:
    """Give the layers of one call the frames that earlier calls have left, and keep those that the next call needs.

    All maps are (1, C, T, F). `new`: the next state. `started`: the state before the first frame, if none was given.
    """

    def __init__(self, state: Sequence[Tensor] | None, behind: Tensor):
        """Take the state, None before the first frame, and the zeros `behind` the next frames (BridgeUNetStream.forward)."""
        self._left = None if state is None else list(state)
        self._behind = behind
        self._zeros: dict[tuple[int, int, int], Tensor] = {}  # behind maps, by frames, channels and bands
        self.started: list[Tensor] = []
        self.new: list[Tensor] = []

    def pad(self, convolution: nn.Conv2d, h: Tensor) -> Tensor:
        """Return the next frames h between those that the convolution needs around them."""
        reach: Any = convolution.padding[0]
        padded = self._continued(h, reach, reach)
        self.new.append(padded[:, :, -2 * reach :])
        return padded

    def convolve(self, convolution: nn.Conv2d, h: Tensor) -> Tensor:
        """Return the frames of a convolution that are complete with the next frames h."""
        return inside(convolution, self.pad(convolution, h) if convolution.padding[0] else h)

    def delay(self, h: Tensor, frames: int) -> Tensor:
        """Return h so many frames late. With the last frames of the recording, all of it."""
        held = self._continued(h, 0, frames)
        self.new.append(held[:, :, -frames:])
        return held[:, :, :-frames]

    def block(self, block: ResidualBlock | TemporalBlock, h: Tensor, embedding: Tensor) -> Tensor:
        """Return the frames of a residual block that are complete with the next frames h."""
        r = F.relu(block.norm1(self.convolve(block.conv1, h)) + block.shift(embedding)[:, :, None, None])
        r = block.norm2(self.convolve(block.conv2, r))
        return F.relu(r + self.delay(h, block.receptive_field))

    def _continued(self, h: Tensor, before: int, behind: int) -> Tensor:
        """Return h after the frames of the state, and with the last ones before `behind` frames of zeros.

        `before`: frames of zeros in front of the first frame.
        """
        channels, bands = int(h.shape[1]), int(h.shape[3])
        if self._left is None:
            self.started.append(h.new_zeros(1, channels, before, bands))
        old = self.started[-1] if self._left is None else self._left.pop(0)
        shape = behind, channels, bands
        if shape not in self._zeros:
            self._zeros[shape] = self._behind[:behind, : channels * bands].reshape(1, channels, -1, bands)
        return torch.cat([old, h, self._zeros[shape]], dim=2)


def inside(convolution: nn.Conv2d, padded: Tensor) -> Tensor:
    """Return a convolution of frames that have been padded already."""
    bands: Any = convolution.padding[1]
    stride, dilation = convolution.stride, convolution.dilation
    return F.conv2d(padded, convolution.weight, convolution.bias, stride, (0, bands), dilation)


def reach(blocks: Iterable[Any]) -> int:
    """Return the frames by which residual blocks in a row are late."""
    return sum(block.receptive_field for block in blocks)


class BridgeUNetStream(nn.Module):
    """Compute a BridgeUNet without a guide over a stream, one channel at a time."""

    def __init__(self, network: BridgeUNet):
        super().__init__()
        if len(network.guides):
            raise ValueError("networks with a guide do not run as a stream")
        self.network = network

    def forward(self, x: Tensor, y: Tensor, t: Tensor, behind: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return the estimates of complete frames (1, 2, m, F), and the new state.

        Args:
            x, y: the next frames (1, 2, n, F) of the state of the sampler and of the noisy signal.
            t: process time (1,).
            behind: zeros of the shape `last` with the last frames of the recording, (0, ...) before. The first call needs more
                than `receptive_field` frames unless it is the last as well, later ones at least one.
            state: that of the call before, `initial_state` before the first.
        """
        carry = Carry(state, behind)
        return self._estimate(x, y, t, carry), *carry.new

    @property
    def last(self) -> tuple[int, int]:
        """Return the number of frames of zeros behind the last one, and their width: that of the widest map."""
        return self.network.receptive_field, max(x.shape[1] * x.shape[3] for x in self.initial_state())

    def initial_state(self) -> list[Tensor]:
        """Return the state before the first frame."""
        y = torch.zeros(1, 2, 1, self.network.BINS)
        carry = Carry(None, y.new_zeros(self.network.receptive_field, 1 << 16))
        with torch.no_grad():
            self._estimate(y, y, y.new_zeros(1), carry)
        return carry.started

    def _estimate(self, x: Tensor, y: Tensor, t: Tensor, carry: Carry) -> Tensor:
        network: Any = self.network
        embedding = network.embed(t)
        stem = network.stem[1:](carry.convolve(network.stem[0], torch.cat([x, y], dim=1)[..., :-1]))
        h, skips = stem, []
        for level, blocks in enumerate(network.encoder):
            if level:
                h = F.relu(network.down[level - 1](h))
            for block in blocks:
                h = carry.block(block, h, embedding)
            skips.append(h)
        z, late = network.flattened(h), reach(network.temporal)
        for block in network.temporal:
            z = carry.block(block, z, embedding)
        h = F.relu(network.unflattened(z, h) + carry.delay(h, late))
        for level in reversed(range(len(network.decoder))):
            late += reach(network.encoder[level + 1])
            h = F.relu(network.up[level](h) + carry.delay(skips[level], late))
            for block in network.decoder[level]:
                h = carry.block(block, h, embedding)
            late += reach(network.decoder[level])
        late += reach(network.encoder[0])
        h = carry.pad(network.head[0], torch.cat([h, carry.delay(stem, late)], dim=1))
        late = network.receptive_field
        out = network.head[1](inside(network.head[0], h))
        estimate = masked(carry.delay(y, late), 1 + out[:, :1], out[:, 1:2]) + F.pad(out[:, 2:4], (0, 1))
        if network.state_head is None:
            return estimate
        out = network.state_head[1](inside(network.state_head[0], h))
        return estimate + masked(carry.delay(x, late), out[:, :1], out[:, 1:])
