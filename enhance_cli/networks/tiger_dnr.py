"""Separate film and podcast sound into dialogue, music and effects: one TIGER network for each, run alone.

As published each of the three has 1.4 M parameters and needs 23 GFLOP per second of mono sound.

The spectrum is cut into 57 bands, finer at low frequencies. Eight times the same block works along the bands and then along
time, each time by a small U-net of depthwise convolutions and by attention that compares whole rows. A network makes masks of
three sources that sum to 1, of which the one that it was trained for is kept. Activations lie channels-last, and the U-net
takes as many rows at a time as fit into the cache, since normalizations and not arithmetic make it slow. Names of the weights
are those of the published file. (Xu et al., 2025, "TIGER: time-frequency interleaved gain extraction and reconstruction for
efficient speech separation".)
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KEPT = {"dialogue": ("dialog", 2), "music": ("music", 0), "effects": ("effect", 1)}
"""By stem, in the order of the labels: name of its network, number of the source that is kept."""
WIDTHS = ((50, 20), (100, 10), (250, 8), (500, 8), (1000, 8), (2000, 2))
"""(Hz, number of bands). One more band holds the bins that are left."""
# Of a tensor in a U-net on a CPU: 4 MB, larger ones leave the cache and smaller ones take more calls
CACHE_NUMBERS = 1 << 20
LAYER_EPS, ROW_EPS, BAND_EPS = 1e-5, 1e-8, 2.0**-23


class TigerDnR(nn.Module):
    """Separate waveforms (B, 1, N), any channels as items. See networks.stem_pair for the methods.

    Args:
        channels: width N of the features.
        hidden: width of the U-nets.
        blocks: number of times that the one block is applied.
        depth: levels of the U-nets.
        heads, head_channels: heads of the attention, and numbers of a query in each.
        sources: number of masks of each network.
    """

    receptive_field = None  # normalizations and attention see their whole input

    def __init__(
        self,
        channels: int = 132,
        hidden: int = 256,
        blocks: int = 8,
        depth: int = 5,
        heads: int = 4,
        head_channels: int = 4,
        sources: int = 3,
        n_fft: int = 2048,
        hop: int = 512,
        sample_rate: int = 44100,
    ):
        super().__init__()
        args = (channels, hidden, blocks, depth, heads, head_channels, sources, n_fft, hop, sample_rate)
        self.dialog, self.effect, self.music = Tiger(*args), Tiger(*args), Tiger(*args)

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, tuple]:
        """Return the stem (B, 1, N) of mix (B, 1, N) for the one-hot label (B, 3), and no features for a refiner.

        Only networks of stems that are asked for run.
        """
        indices, kept = label.argmax(dim=1), list(KEPT.values())
        found = torch.empty_like(mix, dtype=torch.float32)
        for index in indices.unique().tolist():
            name, source = kept[index]
            items = indices == index
            found[items] = getattr(self, name)(mix[items].flatten(0, 1), source)[:, None]
        return found, ()


class Tiger(nn.Module):
    """Make `sources` of one mix. See TigerDnR for the arguments."""

    window: Tensor

    def __init__(
        self,
        channels: int,
        hidden: int,
        blocks: int,
        depth: int,
        heads: int,
        head_channels: int,
        sources: int,
        n_fft: int,
        hop: int,
        sample_rate: int,
    ):
        super().__init__()
        self.n_fft, self.hop, self.sources = n_fft, hop, sources
        self.widths = band_widths(n_fft, sample_rate)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.BN = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, 2 * w, eps=BAND_EPS), nn.Conv1d(2 * w, channels, 1)) for w in self.widths
        )
        self.separator = Separator(channels, hidden, blocks, depth, heads, head_channels)
        self.mask = nn.ModuleList(
            nn.Sequential(nn.PReLU(), nn.Conv1d(channels, 4 * sources * w, 1, groups=sources)) for w in self.widths
        )

    def forward(self, mix: Tensor, source: int | None = None) -> Tensor:
        """Return one source (B, N) of mix (B, N), or all of them (B, K, N) for None."""
        samples = mix.shape[-1]
        # The ends are mirrored, which takes half a window
        padded = F.pad(mix.float(), (0, max(0, self.n_fft - samples)))
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, return_complex=True)  # (B, F, T)
        bands = spectrum.split(self.widths, dim=1)
        features = [layer(torch.cat([band.real, band.imag], dim=1)) for layer, band in zip(self.BN, bands)]
        h = self.separator(torch.stack(features, dim=-1).permute(0, 2, 3, 1).contiguous())  # (B, T, bands, N)
        masks = torch.cat([self._mask(n, h[:, :, n].transpose(1, 2), source) for n in range(len(bands))], dim=2)
        parts = (masks * spectrum[:, None]).flatten(0, 1)
        length = padded.shape[-1]
        waves = torch.istft(parts, self.n_fft, self.hop, window=self.window, length=length)[..., :samples]
        return waves if source is not None else waves.unflatten(0, masks.shape[:2])

    def _mask(self, band: int, h: Tensor, source: int | None) -> Tensor:
        """Return complex masks (B, K or 1, bins, T) of a band from its features (B, N, T). All K sum to 1."""
        values, gates = self.mask[band](h).float().unflatten(1, (2, 2, self.sources, -1)).unbind(1)
        masks = values * gates.sigmoid()  # (B, real or imaginary, K, bins, T)
        excess = masks.sum(dim=2, keepdim=True)
        excess[:, 0] -= 1
        kept = masks if source is None else masks[:, :, source : source + 1]
        return torch.complex(*(kept - excess / self.sources).unbind(1))


class Separator(nn.Module):
    """Map (B, T, bands, N) to the same shape by one block that is applied `blocks` times."""

    def __init__(self, channels: int, hidden: int, blocks: int, depth: int, heads: int, head_channels: int):
        super().__init__()
        self.blocks = blocks
        self.freq_path, self.frame_path = (
            nn.ModuleList(
                [UNet(channels, hidden, depth), Attention(channels, heads, head_channels), ChannelNorm(channels)]
            )
            for _ in range(2)
        )
        self.concat_block = nn.Sequential(nn.Conv2d(channels, channels, 1, groups=channels), nn.PReLU())

    def forward(self, mixture: Tensor) -> Tensor:
        x = self._block(mixture)
        scale: Any
        scale, act = self.concat_block
        for _ in range(self.blocks - 1):
            x = self._block(act(torch.addcmul(scale.bias, mixture + x, scale.weight.flatten())))
        return x

    def _block(self, x: Tensor) -> Tensor:
        x = x + _path(self.freq_path, x)
        turned = x.transpose(1, 2).contiguous()
        return x + _path(self.frame_path, turned).transpose(1, 2)


def _path(path: nn.ModuleList, x: Tensor) -> Tensor:
    unet, attention, norm = path
    return norm(attention(unet(x)))


class UNet(nn.Module):
    """Map (A, B, L, N) to the same shape, each row (L, N) by itself."""

    def __init__(self, channels: int, hidden: int, depth: int):
        super().__init__()
        self.hidden, self.depth = hidden, depth
        self.proj_1x1 = Conv(channels, hidden, norm=True, act=True)
        self.spp_dw = nn.ModuleList(
            Conv(hidden, hidden, kernel=5, stride=1 if k == 0 else 2, depthwise=True, norm=True) for k in range(depth)
        )
        self.globalatt = GlobalMixer(hidden)
        self.loc_glo_fus = nn.ModuleList(Fusion(hidden, 1) for _ in range(depth))  # the last is there without effect
        self.last_layer = nn.ModuleList(Fusion(hidden, 5) for _ in range(depth - 1))
        self.res_conv = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        at_once = max(1, CACHE_NUMBERS // (self.hidden * x.shape[2])) if x.device.type == "cpu" else len(rows)
        return torch.cat([self._rows(part) for part in rows.split(at_once)]).reshape(x.shape)

    def _rows(self, x: Tensor) -> Tensor:
        """Return the result for rows x (R, L, N)."""
        h = self.proj_1x1(x.transpose(1, 2)[:, :, None])  # (R, H, 1, L), channels-last in memory
        levels = []
        for convolve in self.spp_dw:
            h = convolve(h)
            levels.append(h)
        pooled = torch.stack([F.adaptive_avg_pool2d(level, (1, h.shape[-1])) for level in levels]).sum(dim=0)
        overview = self.globalatt(pooled)
        fused = [fuse(level, overview) for fuse, level in zip(self.loc_glo_fus, levels[:-1])]
        if self.depth == 2:  # the published program counts from the end here
            fused.append(self.loc_glo_fus[1](levels[1], overview))
        h = self.last_layer[-1](fused[self.depth - 2], fused[self.depth - 3])
        for level in range(self.depth - 3, -1, -1):
            h = self.last_layer[level](fused[level], h)
        h = F.linear(h[:, :, 0].transpose(1, 2), self.res_conv.weight[:, :, 0], self.res_conv.bias)
        return h + x


class Conv(nn.Module):
    """Convolve (R, C, 1, L) along L, and normalize over each row and activate if asked to."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
        norm: bool = False,
        act: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.norm = nn.GroupNorm(1, outputs, eps=ROW_EPS) if norm else nn.Identity()
        self.act = nn.PReLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(convolve_last(self.conv, x)))


def convolve_last(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """Apply `conv` along the last dimension of (R, C, 1, L) that lies channels-last in memory."""
    if conv.groups == 1:
        found = F.linear(x[:, :, 0].transpose(1, 2), conv.weight[:, :, 0], conv.bias)
        return found.transpose(1, 2)[:, :, None]
    if conv.kernel_size == (1,):
        return x * conv.weight[:, :, :, None].squeeze(1)[None]
    weight, padding = conv.weight[:, :, None], (0, int(conv.padding[0]))
    return F.conv2d(x, weight, conv.bias, (1, conv.stride[0]), padding, groups=conv.groups)


class GlobalMixer(nn.Module):
    """Mix channels and neighbors of the overview (R, H, 1, L) of all levels."""

    def __init__(self, hidden: int):
        super().__init__()
        self.fc1 = Conv(hidden, hidden, norm=True, bias=False)
        self.dwconv = nn.Conv1d(hidden, hidden, 5, padding=2, groups=hidden)
        self.fc2 = Conv(hidden, hidden, norm=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(convolve_last(self.dwconv, self.fc1(x))))


class Fusion(nn.Module):
    """Gate and shift (R, H, 1, L) by another level, whose length is brought to L by repeating or dropping."""

    def __init__(self, hidden: int, kernel: int):
        super().__init__()
        self.local_embedding, self.global_embedding, self.global_act = (
            Conv(hidden, hidden, kernel=kernel, depthwise=True, norm=True, bias=False) for _ in range(3)
        )

    def forward(self, local: Tensor, other: Tensor) -> Tensor:
        size = (1, local.shape[-1])
        gate = F.interpolate(self.global_act(other).sigmoid(), size, mode="nearest")
        shift = F.interpolate(self.global_embedding(other), size, mode="nearest")
        return torch.addcmul(shift, self.local_embedding(local), gate)


class Attention(nn.Module):
    """Compare whole rows of (A, B, L, N) with each other: positions along L, by their numbers in all of B."""

    def __init__(self, channels: int, heads: int, head_channels: int):
        super().__init__()
        self.heads = heads
        self.Queries, self.Keys, self.Values = (
            nn.ModuleList(Projection(channels, width) for _ in range(heads))
            for width in (head_channels, head_channels, channels // heads)
        )
        self.attn_concat_proj = Projection(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._heads(group, x) for group in (self.Queries, self.Keys, self.Values))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
        found = (weights @ v).unflatten(-1, (x.shape[1], -1))  # (A, heads, L, B, D)
        return self.attn_concat_proj(found.permute(0, 3, 2, 1, 4).flatten(3)) + x

    def _heads(self, group: Iterable[Any], x: Tensor) -> Tensor:
        """Return (A, heads, L, B D) of x (A, B, L, N): one projection to D numbers for each head."""
        weight, bias = (torch.cat([getattr(head.conv, name) for head in group]) for name in ("weight", "bias"))
        h = F.linear(x, weight[:, :, 0, 0], bias).unflatten(-1, (self.heads, -1))
        slopes = torch.cat([head.act.weight for head in group])[:, None]
        h = F.layer_norm(torch.where(h > 0, h, slopes * h), h.shape[-1:], eps=LAYER_EPS)
        gamma, beta = (torch.cat([getattr(head.norm, name) for head in group])[..., 0, 0] for name in ("gamma", "beta"))
        return torch.addcmul(beta, h, gamma).permute(0, 3, 2, 1, 4).flatten(3)


class Projection(nn.Module):
    """Map (..., N) to (..., outputs): a linear layer, an activation, a normalization over the channels."""

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, outputs, 1)
        self.act = nn.PReLU()
        self.norm = ChannelNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.act(F.linear(x, self.conv.weight[:, :, 0, 0], self.conv.bias)))


class ChannelNorm(nn.Module):
    """Normalize (..., C) over the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(fill(1, channels, 1, 1)) for fill in (torch.ones, torch.zeros))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.gamma.flatten(), self.beta.flatten(), LAYER_EPS)


def band_widths(n_fft: int, sample_rate: int) -> list[int]:
    """Return the number of bins of each band, from the lowest."""
    bins = n_fft // 2 + 1
    widths = [int(hertz / (sample_rate / 2) * bins) for hertz, count in WIDTHS for _ in range(count)]
    return [*widths, bins - sum(widths)]
