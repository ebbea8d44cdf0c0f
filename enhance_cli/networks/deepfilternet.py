"""Define DeepFilterNet 3: gains for 32 bands and complex filters for the low bins of a 48 kHz spectrogram, frame by frame.

An encoder reads the ERB feature and the complex feature of every frame (audio.spectra.erb). One decoder gives a gain per band,
the other a complex FIR filter of five frames per bin for the lowest 96 bins (audio.spectra.deep_filter applies both). Every
layer is causal, so `forward` takes and returns a state, and a stream in blocks gives the result of the whole recording.

    2,134,384 parameters (normalizations folded)  0.33 GMAC per second of audio (100 frames)

Schroeter et al., 2023, "DeepFilterNet: Perceptually motivated real-time speech enhancement". B batch, T frames.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.grouped import GroupedLinear, SqueezedGRU

BANDS, FILTERED_BINS, TAPS = 32, 96, 5
CHANNELS, HIDDEN, EMBEDDING = 64, 256, 512

State = dict[str, Tensor]


class SeparableConv(nn.Module):
    """Filter (B, C, T, F) along frequency with one 1x3 kernel per channel, then mix the channels, then ReLU."""

    def __init__(self, stride: int = 1, up: bool = False):
        super().__init__()
        sizes: dict[str, Any] = {"kernel_size": (1, 3), "stride": (1, stride), "padding": (0, 1)}
        sizes |= {"groups": CHANNELS, "bias": False}
        make = partial(nn.ConvTranspose2d, output_padding=(0, 1)) if up else nn.Conv2d
        self.depthwise: nn.Module = make(CHANNELS, CHANNELS, **sizes)
        self.pointwise = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, h: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(h)))


class DeepFilterNet(nn.Module):
    """Estimate band gains and filter taps. Layers are named as upstream, without its normalizations."""

    def __init__(self) -> None:
        super().__init__()
        grouped = partial(GroupedLinear, bias=False)
        recurrent = partial(SqueezedGRU, EMBEDDING, HIDDEN, bias=False)
        pathway = lambda: nn.Conv2d(CHANNELS, CHANNELS, 1, groups=CHANNELS)  # noqa: E731
        self.erb_conv0 = nn.Conv2d(1, CHANNELS, 3, padding=(0, 1))
        self.erb_conv1, self.erb_conv2, self.erb_conv3 = SeparableConv(2), SeparableConv(2), SeparableConv()
        self.df_conv0 = nn.Sequential(
            nn.Conv2d(2, CHANNELS, 3, padding=(0, 1), groups=2, bias=False), nn.Conv2d(CHANNELS, CHANNELS, 1)
        )
        self.df_conv1 = SeparableConv(2)
        self.df_fc_emb = grouped(CHANNELS * FILTERED_BINS // 2, EMBEDDING, 32)
        self.encoder_gru = recurrent(1, 16)
        self.encoder_out = grouped(HIDDEN, EMBEDDING, 16)
        self.lsnr = nn.Linear(EMBEDDING, 1)

        self.erb_gru = recurrent(2, 16)
        self.erb_out = grouped(HIDDEN, EMBEDDING, 16)
        self.conv3p, self.conv2p, self.conv1p, self.conv0p = pathway(), pathway(), pathway(), pathway()
        self.convt3, self.convt2, self.convt1 = SeparableConv(), SeparableConv(2, up=True), SeparableConv(2, up=True)
        self.conv0_out = nn.Conv2d(CHANNELS, 1, (1, 3), padding=(0, 1))

        self.df_gru = recurrent(2, 8)
        self.df_skip = grouped(EMBEDDING, HIDDEN, 16)
        self.df_convp = nn.Sequential(
            nn.Conv2d(CHANNELS, 2 * TAPS, (5, 1), groups=2, bias=False), nn.Conv2d(2 * TAPS, 2 * TAPS, 1)
        )
        self.df_out = grouped(HIDDEN, 2 * TAPS * FILTERED_BINS, 16)

    def initial_state(self, batch: int) -> State:
        """Return the state before the first frame: silence."""
        weight = self.lsnr.weight
        zeros = lambda *shape: weight.new_zeros(shape)  # noqa: E731
        return {
            "erb": zeros(batch, 1, 2, BANDS),
            "spec": zeros(batch, 2, 2, FILTERED_BINS),
            "c0": zeros(batch, CHANNELS, 4, FILTERED_BINS),
            "encoder_gru": zeros(1, batch, HIDDEN),
            "erb_gru": zeros(2, batch, HIDDEN),
            "df_gru": zeros(2, batch, HIDDEN),
        }

    @torch.inference_mode()
    def infer(self, erb: np.ndarray, spec: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """Return gains, taps and the new state for arrays, as `forward`."""
        gains, taps, _, state = self(torch.from_numpy(erb), torch.from_numpy(spec), state)
        return gains.numpy(), taps.numpy(), state

    def forward(self, erb: Tensor, spec: Tensor, state: State | None = None) -> tuple[Tensor, Tensor, Tensor, State]:
        """Process the next T frames.

        Args:
            erb: ERB feature (B, T, 32).
            spec: complex feature (B, 2, T, 96), real and imaginary part.
            state: as the call for the frames before returned it, None at the start.

        Returns:
            gains (B, T, 32) in 0..1, taps (B, T, 96, 5, 2), oldest first, local SNR (B, T) in dB, and the new state.
            All of them belong to the frame two before.
        """
        state = state or self.initial_state(len(erb))
        erb = torch.cat([state["erb"], erb[:, None]], dim=2)
        spec = torch.cat([state["spec"], spec], dim=2)
        e0 = F.relu(self.erb_conv0(erb))
        e1 = self.erb_conv1(e0)
        e2 = self.erb_conv2(e1)
        e3 = self.erb_conv3(e2)
        c0 = F.relu(self.df_conv0(spec))
        spectral = F.relu(self.df_fc_emb(_features(self.df_conv1(c0))))
        embedding, encoder_state = self.encoder_gru(_features(e3) + spectral, state["encoder_gru"])
        embedding = F.relu(self.encoder_out(embedding))
        lsnr = torch.sigmoid(self.lsnr(embedding))[..., 0] * 50 - 15

        d, erb_state = self.erb_gru(embedding, state["erb_gru"])
        d = F.relu(self.erb_out(d)).unflatten(2, (-1, CHANNELS)).permute(0, 3, 1, 2)
        d = self.convt3(F.relu(self.conv3p(e3)) + d)
        d = self.convt2(F.relu(self.conv2p(e2)) + d)
        d = self.convt1(F.relu(self.conv1p(e1)) + d)
        gains = torch.sigmoid(self.conv0_out(F.relu(self.conv0p(e0)) + d))[:, 0]

        f, df_state = self.df_gru(embedding, state["df_gru"])
        f = f + self.df_skip(embedding)
        c0 = torch.cat([state["c0"], c0], dim=2)
        pathway = F.relu(self.df_convp(c0)).permute(0, 2, 3, 1)
        taps = torch.tanh(self.df_out(f)).unflatten(2, (FILTERED_BINS, 2 * TAPS)) + pathway
        new = {
            "erb": erb[:, :, -2:],
            "spec": spec[:, :, -2:],
            "c0": c0[:, :, -4:],
            "encoder_gru": encoder_state,
            "erb_gru": erb_state,
            "df_gru": df_state,
        }
        return gains, taps.unflatten(3, (TAPS, 2)), lsnr, new


def _features(h: Tensor) -> Tensor:
    """Return (B, C, T, F) as (B, T, F C), the channel varying fastest."""
    return h.permute(0, 2, 3, 1).flatten(2)
