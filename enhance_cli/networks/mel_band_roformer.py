"""Separate stems by a RoPE transformer over overlapping bands of the mel scale: complex masks for all stems of a mix.

As published for vocals ("Kim") it has 228.2 M parameters, 201.5 M of them in the masks, and needs 0.39 TFLOP per second of
stereo sound.

A bin lies in one or two bands, and its mask is the mean of theirs. Every transformer ends in a normalization of its own.
Names of the weights are those of the package BS-RoFormer and of Music-Source-Separation-Training. (Wang, Lu, Won, 2023,
"Mel-Band RoFormer for music source separation".)
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.roformer import Block, RMSNorm, Roformer, Transformer, positions

LINEAR_SCALE = 8  # of the similarities in linear attention


class MelBandRoformer(Roformer):
    """Separate waveforms (B, C, N), whose C = `channels` are processed together.

    See networks.stem_pair for the methods.

    Args:
        bands: number of bands, whose edges follow from `n_fft` and `sample_rate`.
        depth: pairs of transformers, the first of a pair along time and the second along the bands.
        time_layers, band_layers: layers of each of them.
        linear_layers: layers of a transformer with linear attention before each pair, 0 for none.
        mask_depth: linear layers in the MLP of a mask, one more than the hidden layers that published settings count.
        skip_connection: add the results of all earlier pairs to the input of a pair.
        rest: one more stem, the last: the mix less the others.
        zero_dc: remove the lowest bin from every stem, as some training programs did.

    Raises ValueError if a bin lies in no band or a band holds no bin.
    """

    rows: Tensor
    overlap: Tensor

    def __init__(
        self,
        dim: int = 384,
        depth: int = 6,
        heads: int = 8,
        dim_head: int = 64,
        bands: int = 60,
        channels: int = 2,
        stems: int = 1,
        time_layers: int = 1,
        band_layers: int = 1,
        linear_layers: int = 0,
        feed_forward: int = 4,
        mask_depth: int = 3,
        mask_expansion: int = 4,
        n_fft: int = 2048,
        hop: int = 441,
        sample_rate: int = 44100,
        skip_connection: bool = False,
        rest: bool = False,
        zero_dc: bool = False,
    ):
        runs = mel_bands(bands, n_fft, sample_rate)
        super().__init__(
            dim, tuple(2 * channels * count for _, count in runs), dim_head=dim_head, channels=channels, stems=stems,
            mask_depth=mask_depth, mask_expansion=mask_expansion, n_fft=n_fft, hop=hop, zero_dc=zero_dc, rest=rest,
        )  # fmt: skip
        self.skip_connection = skip_connection
        rows = torch.cat([torch.arange(channels * first, channels * (first + count)) for first, count in runs])
        self.register_buffer("rows", rows, persistent=False)
        overlap = torch.zeros(channels * (n_fft // 2 + 1)).index_add_(0, rows, torch.ones(len(rows)))
        self.register_buffer("overlap", overlap[:, None], persistent=False)

        def transformer(layers: int, attention: type[nn.Module] | None = None) -> Transformer:
            return Transformer(dim, layers, heads, dim_head, feed_forward, normed=True, attention=attention)

        self.layers = nn.ModuleList()
        for _ in range(depth):
            first = [transformer(linear_layers, LinearAttention)] if linear_layers else []
            self.layers.append(Block([*first, transformer(time_layers), transformer(band_layers)]))

    def trunk(self, spectrum: Tensor) -> Tensor:
        """Return features (B, T, bands, dim) of a spectrum (B, T, F * C, 2)."""
        h = self.band_split(spectrum[:, :, self.rows].flatten(2))
        frames, bands = positions(h, self.dim_head)
        before = None
        block: Any
        for block in self.layers:
            if len(block) == 3:
                h = block[0](h.flatten(1, 2)[:, None], frames).reshape(h.shape)
            if before is not None:
                h = h + before
            h = block(h, frames, bands)
            if self.skip_connection:
                before = h if before is None else before + h
        return h

    def masks(self, index: int, trunk: Tensor) -> Tensor:
        """Return the masks (B, T, F * C * 2) of a stem: for each bin the mean over its bands."""
        masks = self.mask_estimators[index](trunk).float().unflatten(-1, (-1, 2))
        whole = masks.new_zeros(*masks.shape[:2], len(self.overlap), 2).index_add_(2, self.rows, masks)
        return (whole / self.overlap).flatten(2)


class LinearAttention(nn.Module):
    """Attend between the D numbers of a head instead of between positions, for (A, B, N, dim).

    (El-Nouby et al., 2021, "XCiT: cross-covariance image transformers".)
    """

    def __init__(self, dim: int, heads: int, dim_head: int):
        super().__init__()
        self.heads = heads
        self.norm = RMSNorm(dim)
        self.to_qkv = nn.Sequential(nn.Linear(dim, 3 * heads * dim_head, bias=False))
        self.temperature = nn.Parameter(torch.zeros(heads, 1, 1))
        self.to_out = nn.Sequential(nn.Identity(), nn.Linear(heads * dim_head, dim, bias=False))

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        qkv = self.to_qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(3, 0, 1, 4, 5, 2).unbind(0)  # (A, B, heads, D, N) each
        q, k = F.normalize(q, dim=-1) * self.temperature.exp(), F.normalize(k, dim=-1)
        found = (LINEAR_SCALE * q @ k.transpose(-1, -2)).softmax(dim=-1) @ v
        return self.to_out(found.flatten(2, 3).transpose(-1, -2))


def mel_bands(count: int, n_fft: int, sample_rate: int) -> list[tuple[int, int]]:
    """Return (first bin, number of bins) of `count` bands, which overlap by half, on the mel scale of Slaney's toolbox.

    Raises ValueError if a bin lies in no band or a band holds no bin.
    """
    highest = sample_rate / 2
    edges = [*(_hertz(_mel(highest) * n / (count + 1)) for n in range(count + 1)), highest]
    frequencies = [k * sample_rate / n_fft for k in range(n_fft // 2 + 1)]
    runs = []
    for low, high in zip(edges, edges[2:]):
        inside = [k for k, frequency in enumerate(frequencies) if low < frequency < high]
        if low == 0:
            inside = [0, *inside]
        if high == highest:
            inside = [*inside, len(frequencies) - 1]
        if not inside:
            raise ValueError(f"of {count} mel bands for windows of {n_fft} samples one holds no bin")
        runs.append((inside[0], len(inside)))
    if missing := set(range(len(frequencies))).difference(*(range(first, first + n) for first, n in runs)):
        raise ValueError(f"of {count} mel bands for windows of {n_fft} samples none holds bin {min(missing)}")
    return runs


def _mel(frequency: float) -> float:
    return 3 * frequency / 200 if frequency < 1000 else 15 + 27 * math.log(frequency / 1000) / math.log(6.4)


def _hertz(mel: float) -> float:
    return 200 * mel / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)
