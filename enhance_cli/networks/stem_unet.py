"""Spectrogram U-Net for stems: a mix in, complex masks for all its stems out; as a refiner, a noisy stem in, a cleaner one.

A frequency U-Net over the compressed complex spectrum (2048/512), built of the blocks of bridge_unet: four bins fold into
channels, every further level halves the bands, and the flattened coarsest level runs through dilated convolutions over
time that see all bands at once. Dense convolutions and fixed statistics only, so the context is finite. As an extractor
(`time` False) one pass gives masks for all stems and the label picks one. As a refiner it is told label and noise level,
sees mix, first estimate and state, and is fed with the extractor's maps of every level through adapters that begin at zero.

    stems-s: extractor 2.7 M parameters, 3.4 GMAC per second at 22,050 Hz
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.bridge_unet import BridgeUNet, InterleaveBands, ResidualBlock, TemporalBlock, resample_conv

STRIDE = 4  # bins that fold into channels


class StemUNet(nn.Module):
    """Waveforms (B, 1, N) in and out, any N; see networks.stem_pair for `forward` and `extract`.

    `channels` per level, `blocks` residual blocks per level and side, `dilations` in time of those blocks in turn, `temporal`
    width and `temporal_dilations` of the full-band stack, `labels` the number of stems. `sigma_data` is that of the
    preconditioning, which a refiner looks through to find the state itself.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 48, 64, 96, 128),
        blocks: int = 2,
        dilations: tuple[int, ...] = (1, 2),
        temporal: int = 256,
        temporal_dilations: tuple[int, ...] = (1, 2, 4, 8, 16),
        labels: int = 4,
        time: bool = False,
        sigma_data: float = 0.1,
        n_fft: int = 2048,
        hop: int = 512,
    ):
        super().__init__()
        self.labels, self.time, self.sigma_data, self.n_fft, self.hop = labels, time, sigma_data, n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        bands, width = n_fft // 2 // STRIDE, 64 if time else 1
        self.embed = LabelAndLevel(labels, width) if time else None
        spectra = 3 if time else 1
        self.stem = nn.Sequential(
            nn.Conv2d(2 * spectra, channels[0], (3, 8), stride=(1, STRIDE), padding=(1, 2), bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        )
        level_blocks = lambda c: nn.ModuleList(
            ResidualBlock(c, dilations[i % len(dilations)], width) for i in range(blocks)
        )
        pairs = list(zip(channels, channels[1:]))
        self.encoder = nn.ModuleList(level_blocks(c) for c in channels)
        self.down = nn.ModuleList(resample_conv(a, b, up=False) for a, b in pairs)
        self.up = nn.ModuleList(resample_conv(b, a, up=True) for a, b in pairs)
        self.decoder = nn.ModuleList(level_blocks(c) for c in channels[:-1])
        flat = channels[-1] * (bands >> len(pairs))
        self.narrow = nn.Conv2d(flat, temporal, 1)
        self.temporal = nn.ModuleList(TemporalBlock(temporal, d, width) for d in temporal_dilations)
        self.widen = nn.Conv2d(temporal, flat, 1)
        masks = 3 if time else labels
        self.head = nn.Sequential(nn.Conv2d(2 * channels[0], 2 * masks * STRIDE, 3, padding=1), InterleaveBands(STRIDE))
        self.adapters = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels) if time else None
        for layer in (self.widen, self.head[0], *(self.adapters or ())):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.to(memory_format=torch.channels_last)

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on."""
        stacks = [*self.encoder, *self.decoder, self.temporal]
        return (2 + sum(block.context for stack in stacks for block in stack)) * self.hop + self.n_fft

    fold = BridgeUNet.fold

    def extract(self, mix: Tensor, label: Tensor) -> tuple[Tensor, tuple]:
        """(B, 1, N) mix, (B, K) one-hot -> (B, 1, N) first estimate, and what a refiner is fed with."""
        spectrum = self.analyse(mix)
        masks, maps = self.masks(spectrum)
        picked = torch.einsum("bk,bkft->bft", label.to(masks.dtype), masks)
        first = self.synthesise(picked * spectrum, mix.shape[-1])
        return first, (mix, first, maps)

    def extract_all(self, mix: Tensor) -> Tensor:
        """(B, 1, N) -> (B, K, N), all stems in the labels' order by one pass."""
        spectrum = self.analyse(mix)
        estimates = self.masks(spectrum)[0] * spectrum[:, None]
        return self.synthesise(estimates.flatten(0, 1), mix.shape[-1]).reshape(mix.shape[0], self.labels, -1)

    def masks(self, spectrum: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Mix (B, F, T) -> complex masks (B, K, F, T), which begin as equal shares, and the maps of all levels."""
        out, maps = self.body(features(spectrum), spectrum.real.new_ones(spectrum.shape[0], 1), None)
        share = spectrum.real.new_tensor([1 / self.labels, 0.0])
        return to_complex(out, share), maps

    def forward(self, x: Tensor, t: Tensor, label: Tensor, features_: tuple) -> Tensor:
        """Scaled state (B, 1, N), t = ln(sigma) / 4 (B,), label (B, K) and what `extract` gave -> (B, 1, N)."""
        mix, first, maps = features_
        sigma = (4 * t.float()).exp()[:, None, None]
        spread = (sigma**2 + self.sigma_data**2).sqrt()
        state = x * spread
        out_scale = (sigma * self.sigma_data / spread).clamp_min(1e-3)
        difference = (first - self.sigma_data**2 / spread**2 * state) / out_scale  # what would give the estimate back
        mix_, first_, state_, difference_ = (self.analyse(w) for w in (mix, first, state, difference))
        h = torch.cat([features(w) for w in (mix_, first_, state_)], dim=1)
        out, _ = self.body(h, self.embed(t, label), maps)
        kept = to_complex(out, x.new_tensor([0.0, 0.0]))
        scale = 0.1 / out_scale
        change = kept[:, 0] * difference_ + scale * (kept[:, 1] * mix_ + kept[:, 2] * first_)
        return difference + self.synthesise(change, x.shape[-1])

    def body(self, h: Tensor, embedding: Tensor, maps: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """(B, 2S, T, F) -> (B, 2M, T, F), and the last map of every level, finest first."""
        h = stem = self.stem(h.contiguous(memory_format=torch.channels_last))
        skips = []
        for level, blocks in enumerate(self.encoder):
            if level:
                h = F.relu(self.down[level - 1](h), inplace=True)
            if maps is not None:
                h = h + self.adapters[level](maps[level])
            for block in blocks:
                h = block(h, embedding)
            skips.append(h)
        h = F.relu(h + self.full_band(h, embedding))
        found = [h]
        for level in reversed(range(len(self.decoder))):
            h = F.relu(self.up[level](h) + skips[level], inplace=True)
            for block in self.decoder[level]:
                h = block(h, embedding)
            found.append(h)
        return self.head(torch.cat([h, stem], dim=1)).float(), found[::-1]

    def full_band(self, h: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, T, F) -> same, through the temporal stack on the F*C features of each frame."""
        batch, channels, frames, bands = h.shape
        z = h.permute(0, 2, 3, 1).reshape(batch, 1, frames, bands * channels).permute(0, 3, 2, 1)
        z = self.narrow(z)
        for block in self.temporal:
            z = block(z, embedding)
        z = self.widen(z).permute(0, 2, 3, 1).reshape(batch, frames, bands, channels)
        return z.permute(0, 3, 1, 2)

    def analyse(self, wave: Tensor) -> Tensor:
        """(B, 1, N) -> complex (B, F, T)."""
        padded = F.pad(wave[:, 0].float(), (0, -wave.shape[-1] % self.hop))
        return torch.stft(
            padded, self.n_fft, self.hop, window=self.window, pad_mode="constant", return_complex=True, normalized=True
        )

    def synthesise(self, spectrum: Tensor, samples: int) -> Tensor:
        """Complex (B, F, T) -> (B, 1, N)."""
        wave = torch.istft(spectrum, self.n_fft, self.hop, window=self.window, normalized=True)
        return wave[:, None, :samples]


class LabelAndLevel(nn.Module):
    """t (B,) and label (B, K) -> (B, width)."""

    def __init__(self, labels: int, width: int, frequencies: int = 16):
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1, 1, frequencies), persistent=False)
        self.level = nn.Linear(2 * frequencies, width)
        self.label = nn.Linear(labels, width)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor, label: Tensor) -> Tensor:
        phase = t.float()[:, None] * self.frequencies * math.pi
        return self.mix(self.level(torch.cat([phase.sin(), phase.cos()], dim=1)) + self.label(label))


def features(spectrum: Tensor, exponent: float = 0.4) -> Tensor:
    """Complex (B, F, T) -> real (B, 2, T, F - 1), magnitudes compressed, without the highest bin."""
    parts = torch.view_as_real(spectrum[:, :-1]).permute(0, 3, 2, 1)
    power = parts.square().sum(dim=1, keepdim=True).clamp_min(1e-10)
    return parts * power.pow((exponent - 1) / 2)


def to_complex(out: Tensor, start: Tensor) -> Tensor:
    """(B, 2M, T, F - 1) -> complex (B, M, F, T), with `start` (2,) added; the highest bin takes its neighbour's."""
    parts = F.pad(out, (0, 1, 0, 0), mode="replicate").unflatten(1, (-1, 2)).permute(0, 1, 4, 3, 2)
    return torch.view_as_complex((parts + start).contiguous())
