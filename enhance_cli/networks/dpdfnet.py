"""Define DPDFNet: DeepFilterNet 2 with dual-path recurrent blocks, for 8, 16 and 48 kHz, frame by frame.

An encoder reads two features of every frame, the level of each band or bin and the complex low bins, and blocks that run
along frequency and then along time mix them. One decoder gives a gain per band or bin, the other a complex FIR filter of
five frames per low bin, which works on the spectrum after the gains. Every layer is causal, so `forward` takes and
returns a state, and a stream in blocks gives the result of the whole recording. Normalizations are folded. Shapes change by
`reshape`, since torch's exporter fixes the sizes that `unflatten` keeps.

    model               rate       blocks   parameters
    baseline            16 kHz     0        2,146,480
    dpdfnet2, 4, 8      16 kHz     2, 4, 8  2,496,688  2,846,896  3,547,312
    dpdfnet2, 8 48khz   48 kHz     2, 8     2,582,064  3,632,688
    dpdfnet2, 8 8khz    8 kHz      2, 8     2,507,600  3,558,224

Rika et al., 2025, "DPDFNet: boosting DeepFilterNet2 via dual-path RNN". B batch, T frames, F bins, D low bins.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.grouped import GroupedLinear, SqueezedGRU
from enhance_cli.networks.layers import SpectralMemory

TAPS, AHEAD = 5, 2  # frames that a filter spans, and that it looks ahead
DECAY = 0.98  # of the running means, per frame

State = dict[str, Tensor]


class SeparableConv(nn.Module):
    """Filter (B, C, T, F) along frequency with 1x3 kernels per channel, then mix the channels, then ReLU.

    `up`: number of kernels per channel, whose results lie next to each other along frequency.
    """

    def __init__(self, channels: int, *, stride: int = 1, up: int = 1):
        super().__init__()
        self.up = up
        self.depthwise = nn.Conv2d(
            channels, up * channels, (1, 3), stride=(1, stride), padding=(0, 1), groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        h = self.depthwise(h)
        if self.up > 1:
            batch, _, frames, width = h.shape
            h = h.reshape(batch, -1, self.up, frames, width).movedim(2, 4).reshape(batch, -1, frames, self.up * width)
        return F.relu(self.pointwise(h))


class DualPath(nn.Module):
    """Map (B, T, F, C) to the same shape: a GRU both ways along F in every frame, then one along T in every position."""

    def __init__(self, channels: int):
        super().__init__()
        self.intra_gru = nn.GRU(channels, channels, bidirectional=True)
        self.fc_intra, self.ln_intra = nn.Linear(2 * channels, channels), nn.LayerNorm(channels)
        self.inter_gru = nn.GRU(channels, channels)
        self.fc_inter, self.ln_inter = nn.Linear(channels, channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames, positions, channels = x.shape
        # In this order GRUs are quickest, and of contiguous input they make one matrix product for all positions.
        along = x.permute(2, 0, 1, 3).contiguous().reshape(positions, -1, channels)
        along = self.ln_intra(self.fc_intra(self.intra_gru(along)[0]))
        x = x + along.reshape(positions, batch, frames, channels).permute(1, 2, 0, 3)
        over_time = x.transpose(0, 1).reshape(frames, -1, channels)
        over_time, state = self.inter_gru(over_time, state)
        over_time = self.ln_inter(self.fc_inter(over_time))
        return x + over_time.reshape(frames, batch, positions, channels).transpose(0, 1), state


class DPDFNet(SpectralMemory):
    """Estimate clean spectra from noisy ones.

    Args:
        n_fft: of the centered transform with a Vorbis window, whose hop is half of it, in samples.
        blocks: dual-path blocks in each of the two stacks.
        low_bins: bins that are filtered.
        strides: of the three convolutions of the encoder along frequency.
        bands: number of bins of each band, or None for a level and a gain per bin.
        channels, hidden: widths of convolutions and of recurrent layers.
    """

    level_start: Tensor
    magnitude_start: Tensor

    window, end, delay = "vorbis", "silent", 2 * AHEAD  # of the stream (models.spectral_stream)

    def __init__(
        self,
        *,
        n_fft: int = 960,
        blocks: int = 2,
        low_bins: int = 96,
        strides: tuple[int, ...] = (3, 2, 2),
        bands: list[int] | None = None,
        channels: int = 64,
        hidden: int = 256,
    ):
        super().__init__()
        self.n_fft, self.hop, self.bands, self.low_bins = n_fft, n_fft // 2, bands, low_bins
        self.channels, self.hidden, bins = channels, hidden, n_fft // 2 + 1
        width = len(bands) if bands else bins - 1
        embedding = 8 * channels
        pathway = lambda: nn.Conv2d(channels, channels, 1, groups=channels)  # noqa: E731
        self.register_buffer("level_start", torch.zeros(len(bands) if bands else bins))
        self.register_buffer("magnitude_start", torch.zeros(low_bins))

        self.erb_conv0 = nn.Conv2d(1, channels, 3, padding=(0, 1))
        self.erb_conv1, self.erb_conv2, self.erb_conv3 = (SeparableConv(channels, stride=s) for s in strides)
        for stride in strides:
            width //= stride
        self.width = width  # of the last of these
        self.df_conv0 = nn.Sequential(
            nn.Conv2d(2, channels, 3, padding=(0, 1), groups=2, bias=False), nn.Conv2d(channels, channels, 1)
        )
        self.df_conv1 = SeparableConv(channels, stride=2)
        self.dprnn_erb = nn.ModuleList(DualPath(channels) for _ in range(blocks))
        self.dprnn_df = nn.ModuleList(DualPath(channels) for _ in range(blocks))
        self.erb_fc_emb = None if bands else GroupedLinear(width * channels, embedding, 32)
        self.df_fc_emb = GroupedLinear(low_bins // 2 * channels, embedding, 32)
        self.encoder_gru = SqueezedGRU(2 * embedding, hidden, 1, 16)
        self.encoder_out = GroupedLinear(hidden, embedding, 16)
        self.lsnr = nn.Linear(embedding, 1)

        self.erb_gru = SqueezedGRU(embedding, hidden, 2, 16)
        self.erb_out = GroupedLinear(hidden, embedding, 16)
        self.erb_fc_out = None if bands else GroupedLinear(embedding, width * channels, 32)
        self.conv3p, self.conv2p, self.conv1p, self.conv0p = pathway(), pathway(), pathway(), pathway()
        self.convt1, self.convt2, self.convt3 = (SeparableConv(channels, up=s) for s in strides)
        self.conv0_out = nn.Conv2d(channels, 1, (1, 3), padding=(0, 1))

        self.df_gru = SqueezedGRU(embedding, hidden, 2, 8)
        self.df_skip = GroupedLinear(embedding, hidden, 16)
        self.df_convp = nn.Sequential(
            nn.Conv2d(channels, 2 * TAPS, (TAPS, 1), groups=2, bias=False), nn.Conv2d(2 * TAPS, 2 * TAPS, 1)
        )
        self.df_out = GroupedLinear(hidden, 2 * TAPS * low_bins, 16)

    def initial_state(self, batch: int) -> State:
        """Return the state before the first frame: silence."""
        zeros = lambda *shape: self.level_start.new_zeros(shape)  # noqa: E731
        bins, width = self.hop + 1, len(self.bands) if self.bands else self.hop
        inner = {
            f"{stack}.{i}": zeros(1, batch * positions, self.channels)
            for stack, positions in (("dprnn_erb", self.width), ("dprnn_df", self.low_bins // 2))
            for i in range(len(self.dprnn_erb))
        }
        return inner | {
            "level": self.level_start.expand(batch, -1),
            "magnitude": self.magnitude_start.expand(batch, -1),
            "erb": zeros(batch, 1, 2, width),
            "spec": zeros(batch, 2, 2, self.low_bins),
            "c0": zeros(batch, self.channels, TAPS - 1, self.low_bins),
            "encoder_gru": zeros(1, batch, self.hidden),
            "erb_gru": zeros(2, batch, self.hidden),
            "df_gru": zeros(2, batch, self.hidden),
            "spectra": zeros(batch, AHEAD, bins, 2),
            "gained": zeros(batch, TAPS - 1, bins, 2),
            "taps": zeros(batch, AHEAD, self.low_bins, TAPS, 2),
        }

    def forward(self, spectra: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Process the next T frames.

        Args:
            spectra: (B, T, F, 2), real and imaginary part.
            state: as the call for the frames before returned it, None at the start.

        Returns:
            clean spectra (B, T, F, 2), each of the frame four before, and the new state.
        """
        state = self.initial_state(len(spectra)) if state is None else state
        spectra = spectra / self.n_fft
        erb, spec, means = self.features(spectra, state)
        gains, taps, _, inner = self.estimate(erb, spec, state)
        spectra = torch.cat([state["spectra"], spectra], dim=1)
        gained = torch.cat([state["gained"], gains[..., None] * spectra[:, :-AHEAD]], dim=1)
        taps = torch.cat([state["taps"], taps], dim=1)
        clean = self.n_fft * self.filter(gained, taps[:, :-AHEAD])
        kept = {"spectra": spectra[:, -AHEAD:], "gained": gained[:, 1 - TAPS :], "taps": taps[:, -AHEAD:]}
        return clean, means | inner | kept

    def features(self, spectra: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Return the level feature (B, 1, T, bands or F - 1), the complex feature (B, 2, T, D), and the running means.

        The spectra (B, T, F, 2) are divided by n_fft.
        """
        power = spectra.square().sum(dim=3)
        if self.bands:
            heights = torch.stack([piece.mean(dim=2) for piece in power.split(self.bands, dim=2)], dim=2)
        else:
            heights = power.sqrt()
        decibels = 10 * torch.log10(heights + 1e-10)
        level = running_mean(decibels, state["level"])
        magnitude = running_mean(power[..., : self.low_bins].sqrt(), state["magnitude"])
        erb = (decibels - level) / 40
        spec = spectra[:, :, : self.low_bins] * (magnitude + 1e-12).rsqrt()[..., None]
        erb = erb if self.bands else erb[..., :-1]
        return erb[:, None], spec.movedim(3, 1), {"level": level[:, -1], "magnitude": magnitude[:, -1]}

    def estimate(self, erb: Tensor, spec: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """Return the gains and filters of T frames, from features that are two frames ahead of them.

        Returns:
            gains (B, T, F) in 0..1, taps (B, T, D, 5, 2), oldest first, local SNR (B, T) in dB, and the new state.
        """
        erb = torch.cat([state["erb"], erb], dim=2)
        spec = torch.cat([state["spec"], spec], dim=2)
        e0 = F.relu(self.erb_conv0(erb))
        e1 = self.erb_conv1(e0)
        e2 = self.erb_conv2(e1)
        e3 = self.erb_conv3(e2)
        c0 = F.relu(self.df_conv0(spec))
        new = {"erb": erb[:, :, -2:], "spec": spec[:, :, -2:]}
        levels = self._mixed("dprnn_erb", e3, state, new).flatten(2)
        if self.erb_fc_emb is not None:
            levels = F.relu(self.erb_fc_emb(levels))
        spectral = F.relu(self.df_fc_emb(self._mixed("dprnn_df", self.df_conv1(c0), state, new).flatten(2)))
        both = torch.cat([levels, spectral], dim=2)
        embedding, new["encoder_gru"] = self.encoder_gru(both, state["encoder_gru"])
        embedding = F.relu(self.encoder_out(embedding))
        lsnr = torch.sigmoid(self.lsnr(embedding))[..., 0] * 50 - 15

        d, new["erb_gru"] = self.erb_gru(embedding, state["erb_gru"])
        d = F.relu(self.erb_out(d))
        if self.erb_fc_out is not None:
            d = F.relu(self.erb_fc_out(d))
        d = d.reshape(*d.shape[:2], self.width, self.channels).permute(0, 3, 1, 2)
        d = self.convt3(F.relu(self.conv3p(e3)) + d)
        d = self.convt2(F.relu(self.conv2p(e2)) + d)
        d = self.convt1(F.relu(self.conv1p(e1)) + d)
        gains = torch.sigmoid(self.conv0_out(F.relu(self.conv0p(e0)) + d))[:, 0]

        f, new["df_gru"] = self.df_gru(embedding, state["df_gru"])
        f = f + self.df_skip(embedding)
        c0 = torch.cat([state["c0"], c0], dim=2)
        new["c0"] = c0[:, :, 1 - TAPS :]
        pathway = F.relu(self.df_convp(c0)).permute(0, 2, 3, 1)
        taps = torch.tanh(self.df_out(f)).reshape(pathway.shape) + pathway
        return self._to_bins(gains), taps.reshape(*taps.shape[:3], TAPS, 2), lsnr, new

    def filter(self, gained: Tensor, taps: Tensor) -> Tensor:
        """Return the filtered spectra (B, T, F, 2) of T frames.

        Args:
            gained: spectra after the gains, from two frames before to two behind, (B, T + 4, F, 2).
            taps: of the T frames, (B, T, D, 5, 2).
        """
        frames = taps.shape[1]
        low = torch.stack([gained[:, k : k + frames, : self.low_bins] for k in range(TAPS)], dim=3)  # (B, T, D, 5, 2)
        (re, im), (tap_re, tap_im) = low.unbind(4), taps.unbind(4)
        parts = (re * tap_re - im * tap_im).sum(dim=3), (re * tap_im + im * tap_re).sum(dim=3)
        return torch.cat([torch.stack(parts, dim=3), gained[:, AHEAD : AHEAD + frames, self.low_bins :]], dim=2)

    def _mixed(self, stack: str, h: Tensor, state: State, new: State) -> Tensor:
        """Return (B, C, T, F) as (B, T, F, C) through a stack of dual-path blocks, whose states go into `new`."""
        h = h.permute(0, 2, 3, 1).contiguous()  # all blocks keep this order
        for i, block in enumerate(getattr(self, stack)):
            h, new[f"{stack}.{i}"] = block(h, state[f"{stack}.{i}"])
        return h

    def _to_bins(self, gains: Tensor) -> Tensor:
        """Return the gain of every bin (B, T, F). The last bin has that of the last but two, as published."""
        if self.bands:
            return gains.repeat_interleave(torch.tensor(self.bands, device=gains.device), dim=2)
        return torch.cat([gains, gains[..., -2:-1]], dim=2)


def running_mean(values: Tensor, start: Tensor) -> Tensor:
    """Return s_t = 0.02 v_t + 0.98 s_(t-1) for all frames of (B, T, K), from the state (B, K) before them."""
    frames = torch.arange(values.shape[1], device=values.device)
    age = frames[:, None] - frames
    weights = torch.where(age >= 0, (1 - DECAY) * DECAY ** age.clamp_min(0), 0.0)
    return weights @ values + DECAY ** (frames[:, None] + 1) * start[:, None]
