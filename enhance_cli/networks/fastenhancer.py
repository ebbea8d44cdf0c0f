"""Define FastEnhancer: a complex mask for every frame of a spectrogram, quick on one core.

An encoder of convolutions over frequency, a few RNNFormer blocks (a GRU over time in every band, then attention over
the bands of one frame) and a decoder with skip connections. No layer sees a later frame, so `forward` takes and returns
a state, and a stream in pieces gives the result of the whole recording. Normalizations are folded into the layers.

    size     channels  bands    16 kHz: parameters   48 kHz
    tiny     24        16, 24   21,774               28,078
    base     48        24, 36   91,430               101,078
    small    64        36, 48   194,418              207,282
    medium   96        48, 72   491,594              511,754
    large    128       64, 96   1,104,610            1,132,258

Ahn et al., 2026, "FastEnhancer: speed-optimized streaming neural speech enhancement". B batch, T frames, F bins.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import SpectralMemory

COMPRESSION = 0.3
SMALLEST = 1e-5  # magnitude below which a bin is not raised further
STRIDE, KERNEL = 4, 8  # of the first and the last layer, over bins


class RNNFormer(nn.Module):
    """Map (B, T, bands, width) to the same shape. `positions`: whether the block adds a learned code of the bands."""

    def __init__(self, width: int, bands: int, heads: int, positions: bool):
        super().__init__()
        self.heads = heads
        self.rnn = nn.GRU(width, width)
        self.rnn_fc = nn.Linear(width, width)
        self.pe = nn.Parameter(torch.zeros(bands, width)) if positions else None
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attn_fc = nn.Linear(width, width)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames, bands, width = x.shape
        over_time, state = self.rnn(x.transpose(0, 1).reshape(frames, batch * bands, width), state)
        x = x + self.rnn_fc(over_time).reshape(frames, batch, bands, width).transpose(0, 1)
        if self.pe is not None:
            x = x + self.pe
        heads = self.qkv(x).flatten(0, 1).unflatten(2, (self.heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(*heads.chunk(3, dim=3))
        return x + self.attn_fc(attended.transpose(1, 2).reshape(x.shape)), state


class DecoderLayer(nn.Module):
    """Mix (B, C, P) with the skip connection of the same shape, then filter along the positions."""

    def __init__(self, channels: int):
        super().__init__()
        self.mix = nn.Conv1d(2 * channels, channels, 1)
        self.filter = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor, skip: Tensor) -> Tensor:
        return F.silu(self.filter(F.silu(self.mix(torch.cat([h, skip], dim=1)))))


class FastEnhancer(SpectralMemory):
    """Estimate clean spectra from noisy ones.

    Args:
        channels, convolutions: of the encoder, whose first layer comes besides.
        blocks, width, bands, heads: RNNFormer blocks, their channels, bands and attention heads.
        n_fft, hop: of the centered transform with a Hann window, in samples.
    """

    window, end, delay = "hann", "mirrored", 0  # of the stream (models.spectral_stream)

    def __init__(
        self,
        *,
        channels: int = 24,
        convolutions: int = 2,
        blocks: int = 2,
        width: int = 20,
        bands: int = 16,
        heads: int = 4,
        n_fft: int = 512,
        hop: int = 256,
    ):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        positions = n_fft // (2 * STRIDE)
        edge = (KERNEL - STRIDE) // 2
        self.enc_pre = nn.Conv1d(2, channels, KERNEL, stride=STRIDE, padding=edge)
        self.encoder = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=1) for _ in range(convolutions))
        self.to_bands = nn.Linear(positions, bands, bias=False)
        self.narrow = nn.Conv1d(channels, width, 1)
        self.blocks = nn.ModuleList(RNNFormer(width, bands, heads, positions=i == 0) for i in range(blocks))
        self.to_positions = nn.Linear(bands, positions, bias=False)
        self.widen = nn.Conv1d(width, channels, 1)
        self.decoder = nn.ModuleList(DecoderLayer(channels) for _ in range(convolutions))
        self.last_mix = nn.Conv1d(2 * channels, channels, 1)
        self.dec_post = nn.ConvTranspose1d(channels, 2, KERNEL, stride=STRIDE, padding=edge)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state before the first frame: of the GRU of every block, (blocks, 1, B * bands, width)."""
        first: Any = self.blocks[0]
        bands, width = first.pe.shape
        return first.pe.new_zeros(len(self.blocks), 1, batch * bands, width)

    def forward(self, spectra: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Process the next T frames.

        Args:
            spectra: (B, T, F, 2), real and imaginary part.
            state: as the call for the frames before returned it, None at the start.

        Returns:
            clean spectra (B, T, F, 2), whose last bin is zero, and the new state.
        """
        state = self.initial_state(len(spectra)) if state is None else state
        x = spectra[:, :, :-1]
        power = x.square().sum(dim=3, keepdim=True).clamp_min(SMALLEST**2)
        x = x * power.pow((COMPRESSION - 1) / 2)
        mask, state = self._mask(x, state)
        (re, im), (mask_re, mask_im) = x.unbind(3), mask.unbind(3)
        y = torch.stack([re * mask_re - im * mask_im, re * mask_im + im * mask_re], dim=3)
        power = y.square().sum(dim=3, keepdim=True)
        return F.pad(y * power.pow((1 / COMPRESSION - 1) / 2), (0, 0, 0, 1)), state

    def _mask(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the complex mask, shaped like the compressed spectra x (B, T, bins, 2), and the new state."""
        batch, frames = x.shape[:2]
        skips = [F.silu(self.enc_pre(x.flatten(0, 1).transpose(1, 2)))]
        for layer in self.encoder:
            skips.append(F.silu(layer(skips[-1])))
        h = self.narrow(self.to_bands(skips[-1]))
        h = h.reshape(batch, frames, *h.shape[1:]).transpose(2, 3)
        states = []
        for block, before in zip(self.blocks, state):
            h, after = block(h, before)
            states.append(after)
        h = self.widen(self.to_positions(h.flatten(0, 1).transpose(1, 2)))
        for layer in self.decoder:
            h = layer(h, skips.pop())
        h = F.silu(self.last_mix(torch.cat([h, skips.pop()], dim=1)))
        return self.dec_post(h).transpose(1, 2).reshape(x.shape), torch.stack(states)
