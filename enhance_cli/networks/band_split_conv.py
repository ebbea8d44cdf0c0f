"""Separate stems by a band-split convolutional network: complex masks for all stems of a mix, or a refined noisy stem.

The compressed complex spectrum is cut into bands, narrow ones at low frequencies, and each becomes one vector per frame
by weights of its own. Residual blocks of dense convolutions over frames and bands follow, with a layer that connects
all bands after every second block, and weights of each band's own make the masks. It has dense convolutions and fixed
statistics only, so it is fast on a CPU and has a finite receptive field. (Bands: Luo and Yu, 2023, "Music source
separation with band-split RNN".)

As an extractor (`time` False) one pass gives masks for all stems, and the label selects one. As a refiner it is given
label, noise level, mix, first estimate and state, and the extractor's feature maps enter every block through adapters
that begin at zero.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.layers import ResidualBlock, TemporalBlock, channels_last, fold_normalizations, zeroed

BANDS = ((8, 16), (16, 8), (32, 8), (64, 8), (128, 8))  # of 2048 bins: so many bins each, and how many such bands
MIXER_DILATIONS = ((1, 2), (4, 8))  # dilations of the full-band layers, by turns


class BandSplitConv(nn.Module):
    """Map waveforms (B, 1, N) to waveforms (B, 1, N) for any N. See networks.stem_pair for `forward` and `extract`.

    `channels`: of a band. `dilations`: of the residual blocks, in time. `bottleneck`: channels of all bands together.
    `hidden`: channels of a band before the masks. `labels`: number of stems. `bands`: (bins each, number of such
    bands). `fed`: channels of the maps that a refiner is given (None: its own number). `sigma_data`: that of the
    preconditioning, which a refiner inverts to recover the state.
    """

    window: Tensor

    def __init__(
        self,
        channels: int = 128,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8),
        bottleneck: int = 64,
        hidden: int = 64,
        labels: int = 4,
        time: bool = False,
        fed: int | None = None,
        sigma_data: float = 0.1,
        n_fft: int = 4096,
        hop: int = 1024,
        bands: tuple[tuple[int, int], ...] = BANDS,
    ):
        super().__init__()
        if sum(width * count for width, count in bands) != n_fft // 2:
            raise ValueError(f"the bands hold other than the {n_fft // 2} bins below the highest")
        self.labels, self.time, self.sigma_data, self.n_fft, self.hop = labels, time, sigma_data, n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        count, width = sum(count for _, count in bands), 64 if time else 1
        spectra, masks = (3, 3) if time else (1, labels)
        self.embed = LabelAndLevel(labels, width) if time else None
        self.split = nn.ModuleList(BandLinear(n, 2 * spectra * bins, channels) for bins, n in bands)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList(ResidualBlock(channels, dilation, width) for dilation in dilations)
        self.mixers = nn.ModuleList(
            FullBand(channels, count, bottleneck, MIXER_DILATIONS[n % 2], width) for n in range(len(dilations) // 2)
        )
        self.adapters = nn.ModuleList(nn.Conv2d(fed or channels, channels, 1) for _ in dilations) if time else None
        self.hidden = BandLinear(count, channels, hidden)
        self.masks = nn.ModuleList(BandLinear(n, hidden, 2 * masks * bins) for bins, n in bands)
        for layer in (*self.masks, *(self.adapters or ())):
            zeroed(layer)
        self.bands = bands
        channels_last(self)

    @property
    def receptive_field(self) -> int:
        """Return the number of samples on either side that an output sample can depend on."""
        return sum(layer.receptive_field for layer in (*self.blocks, *self.mixers)) * self.hop + self.n_fft

    def fold(self) -> "BandSplitConv":
        """Fold normalizations for inference (see layers.fold_normalizations)."""
        return fold_normalizations(self)

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, tuple]:
        """Return the first estimate (B, 1, N) for mix (B, 1, N) and one-hot label (B, K), and the features for a refiner."""
        spectrum = self.analyze(mix)
        masks, maps = self.share(spectrum)
        picked = torch.einsum("bk,bktf->btf", label.to(masks.dtype), masks)
        first = self.synthesize(picked * spectrum, mix.shape[-1])
        return first, (mix, first, maps)

    def extract_all(self, mix: Tensor) -> Tensor:
        """Return all stems (B, K, N) of the mix (B, 1, N) in the labels' order by one pass."""
        spectrum = self.analyze(mix)
        estimates = self.share(spectrum)[0] * spectrum[:, None]
        return self.synthesize(estimates.flatten(0, 1), mix.shape[-1]).reshape(mix.shape[0], self.labels, -1)

    def share(self, spectrum: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return complex masks (B, K, T, F) of the mix (B, T, F), and the feature maps of all blocks.

        The masks are equal shares before training.
        """
        out, maps = self.body([spectrum], spectrum.real.new_ones(spectrum.shape[0], 1), None)
        return out + 1 / self.labels, maps

    def forward(self, x: Tensor, t: Tensor, label: Tensor, features: tuple) -> Tensor:
        """Return the refined stem (B, 1, N) from the scaled state x (B, 1, N).

        t: ln(sigma) / 4, (B,). label: (B, K). features: those that `extract` returned.
        """
        if self.embed is None:
            raise ValueError("an extractor has no time: call `extract`")
        mix, first, maps = features
        sigma = (4 * t.float()).exp()[:, None, None]
        spread = (sigma**2 + self.sigma_data**2).sqrt()
        state = x * spread
        out_scale = (sigma * self.sigma_data / spread).clamp_min(1e-3)
        difference = (first - self.sigma_data**2 / spread**2 * state) / out_scale  # that gives the estimate back
        mix_, first_, state_, difference_ = (self.analyze(w) for w in (mix, first, state, difference))
        kept, _ = self.body([mix_, first_, state_], self.embed(t, label), maps)
        scale = 0.1 / out_scale
        change = kept[:, 0] * difference_ + scale * (kept[:, 1] * mix_ + kept[:, 2] * first_)
        return difference + self.synthesize(change, x.shape[-1])

    def body(self, spectra: list[Tensor], embedding: Tensor, maps: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Return complex masks (B, M, T, F) for S spectra (B, T, F), and the output of every block, (B, C, T, bands) each."""
        parts = [torch.view_as_real(spectrum) for spectrum in spectra]
        masks, found = self.real_body(parts, embedding, maps)
        return torch.view_as_complex(masks), found

    def real_masks(self, spectrum: Tensor) -> Tensor:
        """Return the masks of `share` (B, K, T, F, 2) for the mix (B, T, F, 2), both as real and imaginary parts."""
        masks, _ = self.real_body([spectrum], spectrum.new_ones(spectrum.shape[0], 1), None)
        return masks + masks.new_tensor([1 / self.labels, 0])

    def real_body(
        self, spectra: list[Tensor], embedding: Tensor, maps: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the results of `body`, for spectra and with masks as real and imaginary parts (..., 2)."""
        heard = torch.cat([compressed(spectrum) for spectrum in spectra], dim=-1)  # (B, T, F - 1, 2S)
        parts = heard.split([width * count for width, count in self.bands], dim=2)
        h = torch.cat(
            [layer(part.unflatten(2, (layer.count, -1)).flatten(3)) for layer, part in zip(self.split, parts)], dim=2
        )
        h = F.relu(self.norm(h.permute(0, 3, 1, 2)))
        found = []
        for number, block in enumerate(self.blocks):
            if maps is not None and self.adapters is not None:
                h = h + self.adapters[number](maps[number])
            h = block(h, embedding)
            if number % 2:
                h = self.mixers[number // 2](h, embedding)
            found.append(h)
        hidden = F.relu(self.hidden(h.permute(0, 2, 3, 1))).split([count for _, count in self.bands], dim=2)
        return to_bins(
            [layer(part) for layer, part in zip(self.masks, hidden)], [width for width, _ in self.bands]
        ), found

    def analyze(self, wave: Tensor) -> Tensor:
        """Return the complex spectrum (B, T, F) of `wave` (B, 1, N)."""
        padded = F.pad(wave[:, 0].float(), (0, -wave.shape[-1] % self.hop))
        return torch.stft(
            padded, self.n_fft, self.hop, window=self.window, pad_mode="constant", return_complex=True, normalized=True
        ).transpose(1, 2)

    def synthesize(self, spectrum: Tensor, samples: int) -> Tensor:
        """Return the waveform (B, 1, N) of a complex spectrum (B, T, F)."""
        wave = torch.istft(spectrum.transpose(1, 2), self.n_fft, self.hop, window=self.window, normalized=True)
        return wave[:, None, :samples]


class BandLinear(nn.Module):
    """Map (B, T, bands, inputs) to (B, T, bands, outputs) with separate weights for every band."""

    def __init__(self, count: int, inputs: int, outputs: int):
        super().__init__()
        self.count, bound = count, inputs**-0.5
        self.weight = nn.Parameter(torch.empty(count, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("btki,kio->btko", x, self.weight) + self.bias


class FullBand(nn.Module):
    """Add to every band a function of all bands: (B, C, T, bands) -> same.

    All bands of a frame become a few channels, which pass temporal convolutions and are widened again.
    """

    def __init__(self, channels: int, bands: int, bottleneck: int, dilations: tuple[int, ...], embedding: int):
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(bands * channels, bottleneck, 1, bias=False), nn.BatchNorm2d(bottleneck))
        self.temporal: Any = nn.ModuleList(TemporalBlock(bottleneck, dilation, embedding) for dilation in dilations)
        self.widen = zeroed(nn.Conv2d(bottleneck, bands * channels, 1))

    @property
    def receptive_field(self) -> int:
        """Return the receptive field on either side, in frames."""
        return sum(block.receptive_field for block in self.temporal)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        batch, channels, frames, bands = h.shape
        z = h.permute(0, 2, 3, 1).reshape(batch, frames, 1, bands * channels).permute(0, 3, 1, 2)
        z = F.relu(self.narrow(z))
        for block in self.temporal:
            z = block(z, embedding)
        z = self.widen(z).permute(0, 2, 3, 1).reshape(batch, frames, bands, channels)
        return F.relu(h + z.permute(0, 3, 1, 2))


class LabelAndLevel(nn.Module):
    """Embed t (B,) and label (B, K) as (B, width)."""

    frequencies: Tensor

    def __init__(self, labels: int, width: int, frequencies: int = 16):
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1, 1, frequencies), persistent=False)
        self.level = nn.Linear(2 * frequencies, width)
        self.label = nn.Linear(labels, width)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor, label: Tensor) -> Tensor:
        phase = t.float()[:, None] * self.frequencies * math.pi
        return self.mix(self.level(torch.cat([phase.sin(), phase.cos()], dim=1)) + self.label(label))


def compressed(spectrum: Tensor, exponent: float = 0.4) -> Tensor:
    """Return `spectrum` (B, T, F, 2), real and imaginary parts, with magnitudes to that power, without the highest bin."""
    parts = spectrum[:, :, :-1]
    power = parts.square().sum(dim=-1, keepdim=True).clamp_min(1e-10)
    return parts * power.pow((exponent - 1) / 2)


def to_bins(parts: list[Tensor], widths: list[int]) -> Tensor:
    """Return masks (B, M, T, F, 2) from bands of equal width together, (B, T, bands, M * width * 2) each.

    The last axis has real and imaginary parts. The highest bin takes the value of its neighbor.
    """
    bins = [
        part.float().unflatten(-1, (-1, width, 2)).permute(0, 3, 1, 2, 4, 5).flatten(3, 4)
        for part, width in zip(parts, widths)
    ]
    return torch.cat([*bins, bins[-1][..., -1:, :]], dim=3)
