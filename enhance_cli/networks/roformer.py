"""Define the blocks of bs_roformer and mel_band_roformer, and their way from a waveform to stems.

Each band of the spectrum becomes one vector per frame, transformers attend along time and along the bands in turn, with
rotary positions, and one small MLP per band and stem makes the complex mask. Names of the weights are those of the package
BS-RoFormer, less the rotary frequencies, which follow from a formula.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOKENS = 1024  # that a CPU takes through a transformer at once, so that its activations stay in the cache


class Roformer(nn.Module, ABC):
    """Separate waveforms (B, C, N), whose C = `channels` are processed together.

    See networks.stem_pair for the methods. A network defines `trunk`, and `masks` if a bin has several bands.

    Args:
        inputs: numbers per frame of each band, 2 C for every bin.
        zero_dc: remove the lowest bin from every stem, as some training programs did.
        rest: one more stem, the last: the mix less the others.
    """

    window: Tensor

    receptive_field = None  # attention sees its whole input

    def __init__(
        self,
        dim: int,
        inputs: tuple[int, ...],
        *,
        dim_head: int,
        channels: int,
        stems: int,
        mask_depth: int,
        mask_expansion: int,
        n_fft: int,
        hop: int,
        zero_dc: bool,
        rest: bool = False,
    ):
        super().__init__()
        self.n_fft, self.hop, self.channels, self.dim_head = n_fft, hop, channels, dim_head
        self.zero_dc, self.rest = zero_dc, rest
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.band_split = BandSplit(dim, inputs)
        self.mask_estimators = nn.ModuleList(
            MaskEstimator(dim, inputs, mask_depth, mask_expansion) for _ in range(stems)
        )

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, tuple]:
        """Return the stem (B, C, N) of mix (B, C, N) for the one-hot label (B, K), and no features for a refiner."""
        spectrum = self.analyze(mix)
        trunk, indices = self.trunk(spectrum), label.argmax(dim=1)
        found = torch.empty_like(mix, dtype=torch.float32)
        for index in indices.unique().tolist():
            items = indices == index
            if index < len(self.mask_estimators):
                masks = self.masks(index, trunk[items])
                found[items] = self.synthesize(spectrum[items], masks, mix.shape[-1])
            else:
                found[items] = mix[items] - self._stems(mix[items], spectrum[items], trunk[items]).sum(dim=1)
        return found, ()

    def extract_all(self, mix: Tensor) -> Tensor:
        """Return all stems (B, K, C, N) of the mix (B, C, N) in the labels' order by one pass."""
        spectrum = self.analyze(mix)
        stems = self._stems(mix, spectrum, self.trunk(spectrum))
        return torch.cat([stems, mix[:, None] - stems.sum(dim=1, keepdim=True)], dim=1) if self.rest else stems

    def _stems(self, mix: Tensor, spectrum: Tensor, trunk: Tensor) -> Tensor:
        count = range(len(self.mask_estimators))
        stems = [self.synthesize(spectrum, self.masks(index, trunk), mix.shape[-1]) for index in count]
        return torch.stack(stems, dim=1)

    def masks(self, index: int, trunk: Tensor) -> Tensor:
        """Return the masks (B, T, F * C * 2) of a stem from the features of `trunk`."""
        return self.mask_estimators[index](trunk)

    @abstractmethod
    def trunk(self, spectrum: Tensor) -> Tensor:
        """Return features (B, T, bands, dim) of a spectrum (B, T, F * C, 2)."""

    def analyze(self, wave: Tensor) -> Tensor:
        """Return the spectrum (B, T, F * C, 2) of `wave` (B, C, N), the channels of a bin side by side."""
        short = max(0, self.n_fft - wave.shape[-1])  # the ends are mirrored, which takes half a window
        padded = F.pad(wave.float(), (0, short)).flatten(0, 1)
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, return_complex=True)
        return torch.view_as_real(spectrum).unflatten(0, wave.shape[:2]).permute(0, 3, 2, 1, 4).flatten(2, 3)

    def synthesize(self, spectrum: Tensor, masks: Tensor, samples: int) -> Tensor:
        """Return the waveform (B, C, N) of one stem.

        spectrum: that of the mix (B, T, F * C, 2). masks: those of the stem (B, T, F * C * 2).
        """
        masks = torch.view_as_complex(masks.float().unflatten(-1, (-1, 2)).contiguous())
        masked = torch.view_as_complex(spectrum) * masks
        parts = masked.unflatten(2, (-1, self.channels)).permute(0, 3, 2, 1).flatten(0, 1)  # (B * C, F, T)
        if self.zero_dc:
            parts[:, 0] = 0
        length = max(samples, self.n_fft)
        wave = torch.istft(parts, self.n_fft, self.hop, window=self.window, length=length)
        return wave.unflatten(0, (-1, self.channels))[..., :samples]


class RMSNorm(nn.Module):
    """Divide x by its root mean square along the last dimension and apply a gain. Zeros stay zeros."""

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).clamp_min(1e-12)
        return (x * (x.shape[-1] ** 0.5 / norm)).mul_(self.gamma)


class BandSplit(nn.Module):
    """Map (B, T, inputs of all bands) to (B, T, bands, dim)."""

    def __init__(self, dim: int, inputs: tuple[int, ...]):
        super().__init__()
        self.inputs = inputs
        self.to_features = nn.ModuleList(nn.Sequential(RMSNorm(n), nn.Linear(n, dim)) for n in inputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([f(part) for f, part in zip(self.to_features, x.split(self.inputs, dim=-1))], dim=2)


class MaskEstimator(nn.Module):
    """Map (B, T, bands, dim) to (B, T, outputs of all bands). `depth`: number of linear layers."""

    def __init__(self, dim: int, outputs: tuple[int, ...], depth: int, expansion: int):
        super().__init__()
        widths = [dim, *[dim * expansion] * (depth - 1)]
        self.to_freqs = nn.ModuleList()
        for n in outputs:
            hidden = [layer for a, b in zip(widths, widths[1:]) for layer in (nn.Linear(a, b), nn.Tanh())]
            self.to_freqs.append(nn.Sequential(nn.Sequential(*hidden, nn.Linear(widths[-1], 2 * n)), nn.GLU(dim=-1)))

    def forward(self, h: Tensor) -> Tensor:
        return torch.cat([mlp(band) for mlp, band in zip(self.to_freqs, h.unbind(dim=2))], dim=-1)


class Transformer(nn.Module):
    """Attend along N of (A, B, N, dim), given `rotations` of N positions. Returns (A, B, N, dim).

    `normed`: normalize the result. `attention`: class of the attention.
    """

    def __init__(
        self,
        dim: int,
        layers: int,
        heads: int,
        dim_head: int,
        feed_forward: int,
        *,
        normed: bool = False,
        attention: type[nn.Module] | None = None,
    ):
        super().__init__()
        attention = attention or Attention
        self.layers = nn.ModuleList(
            nn.ModuleList([attention(dim, heads, dim_head), FeedForward(dim, feed_forward)]) for _ in range(layers)
        )
        self.norm = RMSNorm(dim) if normed else nn.Identity()

    def forward(self, x: Tensor, rotations: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return self._transform(x, rotations)
        pieces = x.split(max(1, TOKENS // x.shape[2]), dim=1)
        # side by side in memory, so that a layer is one product of matrices and not one for every sequence
        return torch.cat([self._transform(piece.contiguous(), rotations) for piece in pieces], dim=1)

    def _transform(self, x: Tensor, rotations: Tensor) -> Tensor:
        layer: Any  # an Attention and a FeedForward
        for layer in self.layers:
            attend, feed = layer
            x = attend(x, rotations).add_(x)
            x = feed(x).add_(x)
        return self.norm(x)


class FeedForward(nn.Module):
    """Map (..., dim) to (..., dim)."""

    def __init__(self, dim: int, factor: int):
        super().__init__()
        self.net = nn.Sequential(
            RMSNorm(dim), nn.Linear(dim, dim * factor), nn.GELU(), nn.Identity(), nn.Linear(dim * factor, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Attention(nn.Module):
    """Apply self-attention along N of (A, B, N, dim), with rotary positions and a gate for every head."""

    def __init__(self, dim: int, heads: int, dim_head: int):
        super().__init__()
        self.heads = heads
        self.norm = RMSNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.to_gates = nn.Linear(dim, heads)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False))

    def forward(self, x: Tensor, rotations: Tensor) -> Tensor:
        shape = x.shape
        x = self.norm(x).flatten(0, 1)
        qkv = self.to_qkv(x).unflatten(-1, (3, self.heads, -1))
        pairs = torch.view_as_complex(qkv[:, :, :2].float().unflatten(-1, (-1, 2))).mul_(rotations)
        q, k = torch.view_as_real(pairs).flatten(-2).to(qkv.dtype).transpose(1, 3).unbind(2)
        found = F.scaled_dot_product_attention(q, k, qkv[:, :, 2].transpose(1, 2)).transpose(1, 2)
        found = found * self.to_gates(x).sigmoid()[..., None]
        return self.to_out(found.flatten(2)).reshape(shape)


class Block(nn.ModuleList):
    """Attend along time and then along the bands of (B, T, bands, dim). The last two members are these transformers."""

    def forward(self, h: Tensor, frames: Tensor, bands: Tensor) -> Tensor:
        along_time, along_bands = self[-2], self[-1]
        h = along_time(h.transpose(1, 2), frames).transpose(1, 2)
        return along_bands(h, bands)


def positions(h: Tensor, dim_head: int) -> Sequence[Tensor]:
    """Return the rotary factors of the frames and of the bands of h (B, T, bands, dim)."""
    return [rotations(length, dim_head, h.device) for length in h.shape[1:3]]


def rotations(count: int, dim: int, device: torch.device) -> Tensor:
    """Return the rotary factors, complex (N, 1, 1, D / 2), of `count` positions for pairs of D numbers."""
    frequencies = 10000 ** -(torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)
    angles = torch.arange(count, device=device, dtype=torch.float32)[:, None] * frequencies
    return torch.polar(torch.ones_like(angles), angles)[:, None, None]
