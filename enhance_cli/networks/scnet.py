"""Separate drums, bass, other and vocals by SCNet: spectra estimated from bands that are compressed the more, the higher.

As published it has 10.6 M (small), 42.2 M (large) or 53.5 M parameters (XL IHF).

The encoder splits the spectrum into three bands at each level and strides along frequency. Between encoder and decoder, LSTMs
run along frequency and time, in turn on time and on its Fourier transform. The spectra of the stems come out directly, without
masks, so the stems do not sum to the mix. Names of the weights are those of the published files. (Tong et al., 2024, "SCNet:
sparse compression network for music source separation".)
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import LSTM


class SCNet(nn.Module):
    """Separate waveforms (B, C, N), whose C = `channels` are processed together. See networks.stem_pair for the methods.

    Args:
        dims: channels of the spectra (2 C) and of each level.
        shares: share of each level's bins in its low, middle and high band.
        strides, kernels: along frequency, of each band.
        conv_depths: residual layers of each band.
        compress: divisor of the width inside these layers.
        conv_kernel: their kernel along time.
        pairs: number of LSTM pairs.
        expand: width of an LSTM, as a multiple of its input.
        standardize: make mean and deviation of each item's spectrum 0 and 1, as the authors' own program does.
    """

    receptive_field = None  # the LSTMs see their whole input

    def __init__(
        self,
        stems: int = 4,
        channels: int = 2,
        dims: tuple[int, ...] = (4, 64, 128, 256),
        shares: tuple[float, ...] = (0.23, 0.37, 0.4),
        strides: tuple[int, ...] = (1, 4, 4),
        kernels: tuple[int, ...] = (3, 4, 4),
        conv_depths: tuple[int, ...] = (3, 3, 3),
        compress: int = 4,
        conv_kernel: int = 3,
        pairs: int = 8,
        expand: int = 1,
        n_fft: int = 4096,
        hop: int = 1024,
        standardize: bool = False,
    ):
        super().__init__()
        self.stems, self.channels, self.n_fft, self.hop, self.standardize = stems, channels, n_fft, hop, standardize
        bands = list(zip(kernels, strides))
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for inputs, outputs in zip(dims, dims[1:]):
            depths = [(depth, compress, conv_kernel) for depth in conv_depths]
            self.encoder.append(Encoder(inputs, outputs, shares, bands, depths))
            inputs = inputs if len(self.encoder) > 1 else inputs * stems
            self.decoder.insert(0, nn.ModuleList([FusionLayer(outputs), Upsampling(outputs, inputs, bands)]))
        self.separation_net = SeparationNet(dims[-1], pairs, expand)

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, tuple]:
        """Return the stem (B, C, N) of mix (B, C, N) for the one-hot label (B, K), and no features for a refiner."""
        every, indices = self.extract_all(mix), label.argmax(dim=1)
        return every[torch.arange(len(mix), device=mix.device), indices], ()

    def extract_all(self, mix: Tensor) -> Tensor:
        """Return all stems (B, K, C, N) of the mix (B, C, N) in the labels' order by one pass."""
        samples = max(mix.shape[-1], self.n_fft)  # the ends are mirrored, which takes half a window
        fill = self.hop - samples % self.hop
        if (samples + fill) // self.hop % 2 == 0:
            fill += self.hop  # the number of frames is even then, as the inverse transform needs it
        padded = F.pad(mix.float(), (0, samples + fill - mix.shape[-1])).flatten(0, 1)
        window = padded.new_ones(self.n_fft)
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=window, normalized=True, return_complex=True)
        x = torch.view_as_real(spectrum).unflatten(0, mix.shape[:2]).permute(0, 1, 4, 2, 3).flatten(1, 2)
        x = self.spectra(x).float().unflatten(1, (self.stems, self.channels, 2)).movedim(3, -1).contiguous()
        parts = torch.view_as_complex(x).flatten(0, 2)
        waves = torch.istft(parts, self.n_fft, self.hop, window=window, normalized=True, length=padded.shape[-1])
        return waves.unflatten(0, (-1, self.stems, self.channels))[..., : mix.shape[-1]]

    def spectra(self, x: Tensor) -> Tensor:
        """Return the spectra (B, K * C * 2, F, T) of all stems from that of the mix (B, C * 2, F, T)."""
        if self.standardize:
            mean, deviation = x.mean(dim=(1, 2, 3), keepdim=True), x.std(dim=(1, 2, 3), keepdim=True)
            x = (x - mean) / (1e-5 + deviation)
        skips = []
        for encode in self.encoder:
            x, *kept = encode(x)
            skips.append(kept)
        x = self.separation_net(x)
        level: Any  # a FusionLayer and an Upsampling
        for level in self.decoder:
            fuse, upsample = level
            skip, lengths = skips.pop()
            x = upsample(fuse(x, skip), lengths)
        return x * deviation + mean if self.standardize else x


class Encoder(nn.Module):
    """Map (B, C, F, T) to fewer bins and more channels, and give the bands for the decoder besides."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        shares: tuple[float, ...],
        bands: list[tuple[int, int]],
        depths: list[tuple[int, int, int]],
    ):
        super().__init__()
        self.SDlayer = Downsampling(inputs, outputs, shares, bands)
        self.conv_modules = nn.ModuleList(ConvLayers(outputs, *depth) for depth in depths)
        self.globalconv = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
        """Return the result (B, C', F', T), the skip of that shape, and the bins of each band before and after."""
        bands, before = self.SDlayer(x)
        done = [F.gelu(layers(band)) for layers, band in zip(self.conv_modules, bands)]
        skip = torch.cat(done, dim=2)
        return self.globalconv(skip), skip, list(zip(before, (band.shape[2] for band in bands)))


class Downsampling(nn.Module):
    """Split (B, C, F, T) into bands and stride in each along frequency."""

    def __init__(self, inputs: int, outputs: int, shares: tuple[float, ...], bands: list[tuple[int, int]]):
        super().__init__()
        self.shares = shares
        self.convs = nn.ModuleList(nn.Conv2d(inputs, outputs, (k, 1), (s, 1)) for k, s in bands)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[int]]:
        """Return the bands (B, C', F', T), and the numbers of bins that they had."""
        bins, ends = x.shape[2], [0]
        for n in range(1, len(self.shares)):
            ends.append(math.ceil(bins * sum(self.shares[:n])))
        bands = [x[:, :, begin:end] for begin, end in zip(ends, [*ends[1:], bins])]
        convs: Iterable[Any] = self.convs
        return [_strided(conv, band) for conv, band in zip(convs, bands)], [band.shape[2] for band in bands]


def _strided(conv: nn.Conv2d, band: Tensor) -> Tensor:
    (kernel, _), (stride, _) = conv.kernel_size, conv.stride
    missing = kernel - 1 if stride == 1 else -band.shape[2] % stride
    return conv(F.pad(band, (0, 0, missing // 2, missing - missing // 2)))


class ConvLayers(nn.Module):
    """Apply `depth` residual layers along time to each bin of (B, C, F, T)."""

    def __init__(self, channels: int, depth: int, compress: int, kernel: int):
        super().__init__()
        inner = channels // compress
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, channels),
                nn.Conv1d(channels, 2 * inner, kernel, padding=kernel // 2),
                nn.GLU(dim=1),
                nn.Conv1d(inner, inner, kernel, padding=kernel // 2, groups=inner),
                nn.GroupNorm(1, inner),
                nn.SiLU(),
                nn.Conv1d(inner, channels, 1),
            )
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, bins = x.shape[0], x.shape[2]
        x = x.transpose(1, 2).flatten(0, 1)
        for layer in self.layers:
            x = x + layer(x)
        return x.unflatten(0, (batch, bins)).transpose(1, 2)


class FusionLayer(nn.Module):
    """Add the skip to x, both (B, C, F, T), and convolve with a gate.

    The published program convolves the sum beside a copy of itself. The sum of the weights does the same in half the time.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        of_sum, of_copy = self.conv.weight.chunk(2, dim=1)
        return F.glu(F.conv2d(x + skip, of_sum + of_copy, self.conv.bias, padding=1), dim=1)


class Upsampling(nn.Module):
    """Bring the bands of (B, C, F', T) back to the bins that they had in the encoder."""

    def __init__(self, inputs: int, outputs: int, bands: Iterable[tuple[int, int]]):
        super().__init__()
        self.convtrs = nn.ModuleList(nn.ConvTranspose2d(inputs, outputs, (k, 1), (s, 1)) for k, s in bands)

    def forward(self, x: Tensor, lengths: list[tuple[int, int]]) -> Tensor:
        """Return (B, C', F, T). `lengths`: bins of each band before and after the encoder."""
        found = []
        for conv, band, (before, _) in zip(self.convtrs, x.split([after for _, after in lengths], dim=2), lengths):
            wide = conv(band)
            first = abs(wide.shape[2] - before) // 2
            found.append(wide[:, :, first : first + before])
        return torch.cat(found, dim=2)


class SeparationNet(nn.Module):
    """Map (B, C, F, T) to the same shape, T even, by pairs of LSTMs, every second on the Fourier transform of time."""

    def __init__(self, channels: int, pairs: int, expand: int):
        super().__init__()
        self.dp_modules = nn.ModuleList(DualPath(channels * (1 + n % 2), expand) for n in range(pairs))

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[-1]
        for n, pair in enumerate(self.dp_modules):
            x = pair(x).float()
            if n % 2 == 0:
                turned = torch.fft.rfft(x, dim=-1, norm="ortho")
                x = torch.cat([turned.real, turned.imag], dim=1)
            else:
                x = torch.fft.irfft(torch.complex(*x.chunk(2, dim=1)), n=frames, dim=-1, norm="ortho")
        return x


class DualPath(nn.Module):
    """Apply one LSTM along frequency and one along time to (B, C, F, T), both ways each."""

    def __init__(self, channels: int, expand: int):
        super().__init__()
        width = channels * expand
        self.lstm_layers = nn.ModuleList(LSTM(channels, width, batch_first=True, bidirectional=True) for _ in range(2))
        self.linear_layers = nn.ModuleList(nn.Linear(2 * width, channels) for _ in range(2))
        self.norm_layers = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for n, along in enumerate((2, 3)):
            rows = self.norm_layers[n](x).movedim(1, -1)  # (B, F, T, C)
            rows = rows.transpose(1, 2) if along == 2 else rows
            found = self.linear_layers[n](self.lstm_layers[n](rows.flatten(0, 1))[0]).unflatten(0, rows.shape[:2])
            x = x + (found.transpose(1, 2) if along == 2 else found).movedim(-1, 1)
        return x
