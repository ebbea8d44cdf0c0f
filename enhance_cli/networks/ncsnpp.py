"""Define NCSN++, the U-Net of published score-based speech enhancers, with the layer names and order of their checkpoints.

Residual blocks on 2 to 7 levels, attention in the middle and where asked, skips from the way down to the way up. Each
level halves both axes with the filter [1, 3, 3, 1]. Beside the features runs a pyramid of 2 to 6 channels: the input is
added at every level on the way down, an output at every level on the way up. Time enters as sines of ln t. Inside, axes
are (B, C, F, T).

    model                             arguments                                                       parameters
    SGMSE+ v2, Schroedinger bridge    none                                                               65.6 M
    SGMSE+ and BBED                   divide="before"                                                    65.6 M
    SGMSE+ for 48 kHz                 divide="after", attn_resolutions=(), progressive="none",
                                      progressive_input="none", image_size=768                           64.7 M
    StoRM score network               ch_mult=(1, 2, 2, 2), num_res_blocks=1, attn_resolutions=(),
                                      centered=False, divide="before"                                    27.8 M
    ... that sees two estimates       the same and input_channels=6                                      27.8 M
    StoRM predictive network          the same without divide, discriminative=True                       27.3 M

130 GMAC per second of 16 kHz audio and step (510/128 STFT) for 65.6 M parameters, 153 for 27.8 M. (Song et al., 2021,
"Score-based generative modeling through stochastic differential equations". Richter et al., 2023, "Speech enhancement
and dereverberation with diffusion-based generative models". Lemercier et al., 2023, "StoRM".)
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance_cli.networks.guide_attention import GUIDE_POSITIONS, GuideAttention
from enhance_cli.networks.layers import channels_last

LayerT = TypeVar("LayerT", nn.Conv2d, nn.Linear)


def fresh(layer: LayerT, gain: float = 1.0) -> LayerT:
    """Initialize a convolution or linear layer for training. Layers that end a residual branch have gain 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def conv3x3(inputs: int, outputs: int, gain: float = 1.0) -> nn.Conv2d:
    return fresh(nn.Conv2d(inputs, outputs, 3, padding=1), gain)


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=1e-6)


def norm_silu(norm: nn.GroupNorm, h: Tensor) -> Tensor:
    return F.silu(norm(h), inplace=not torch.is_grad_enabled())


class FourierEmbedding(nn.Module):
    """Embed the process time t (B,) as (B, 2 * width), sine and cosine of 2 pi W ln t. W is saved but not trained."""

    def __init__(self, width: int, scale: float):
        super().__init__()
        self.W = nn.Parameter(torch.randn(width) * scale, requires_grad=False)

    def forward(self, t: Tensor) -> Tensor:
        phase = t.float().log()[:, None] * self.W.float() * (2 * math.pi)
        return torch.cat([phase.sin(), phase.cos()], dim=1)


class Downsample(nn.Module):
    """Map (B, C, F, T) to (B, C, F/2, T/2), filtered by [1, 3, 3, 1] on both axes, without parameters."""

    kernel: Tensor

    def __init__(self, channels: int):
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(taps, taps).expand(channels, 1, 4, 4).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        return F.conv2d(h, self.kernel, stride=2, padding=1, groups=h.shape[1])


def upsample(h: Tensor) -> Tensor:
    """Return h (B, C, F, T) as (B, C, 2F, 2T), filtered by [1, 3, 3, 1]: bilinear with zeros outside of the picture."""
    with torch.autocast(h.device.type, enabled=False):  # which would make it fp32
        h = F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
    return h.mul_(_edges(h, 2)[:, None]).mul_(_edges(h, 3))


def _edges(h: Tensor, axis: int) -> Tensor:
    """Return the factors of the positions of an axis: 1, and .75 at both ends. Assignments to slices could not be exported."""
    return F.pad(h.new_ones(h.shape[axis] - 2), (1, 1), value=0.75)


class ResBlock(nn.Module):
    """Map (B, inputs, F, T) to (B, outputs, F, T), given silu of the time embedding (B, E) or None.

    With `direction` "down" or "up" the output has half or twice F and T.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, direction: str = ""):
        super().__init__()
        self.GroupNorm_0 = group_norm(inputs)
        self.Conv_0 = conv3x3(inputs, outputs)
        self.Dense_0 = fresh(nn.Linear(embedding, outputs))
        self.GroupNorm_1 = group_norm(outputs)
        self.Conv_1 = conv3x3(outputs, outputs, gain=0)
        self.direction = direction
        resamplers: dict[str, Callable[[Tensor], Tensor]]
        resamplers = {"": nn.Identity(), "down": Downsample(inputs), "up": upsample}
        self.resample = resamplers[direction]
        self.Conv_2 = fresh(nn.Conv2d(inputs, outputs, 1)) if direction or inputs != outputs else None

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        h = self.Conv_0(self.resample(norm_silu(self.GroupNorm_0, x)))
        if embedding is not None:
            h = h.add_(self.Dense_0(embedding)[:, :, None, None])
        h = norm_silu(self.GroupNorm_1, h)
        if self.direction == "up" and self.Conv_2 is not None:
            # The filter and the 1x1 convolution commute: the convolution comes first, on a quarter of the points.
            bias: Any = self.Conv_1.bias
            h = F.conv2d(h, self.Conv_1.weight, bias + self.Conv_2.bias, padding=1)
            x = upsample(F.conv2d(x, self.Conv_2.weight))
        else:
            h, x = self.Conv_1(h), self.resample(x)
            x = x if self.Conv_2 is None else self.Conv_2(x)
        return h.add_(x).mul_(0.5**0.5)


class Pointwise(nn.Module):
    """Apply a linear layer stored as `W` (inputs, outputs) and `b`."""

    def __init__(self, channels: int, gain: float):
        super().__init__()
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(channels, channels), gain))
        self.b = nn.Parameter(torch.zeros(channels))

    def forward(self, h: Tensor) -> Tensor:
        return F.linear(h, self.W.t(), self.b)


class Attention(nn.Module):
    """Attend with one head over all F*T positions of (B, C, F, T), shape kept."""

    def __init__(self, channels: int):
        super().__init__()
        self.GroupNorm_0 = group_norm(channels)
        self.NIN_0, self.NIN_1, self.NIN_2 = (Pointwise(channels, gain=0.1**0.5) for _ in range(3))
        self.NIN_3 = Pointwise(channels, gain=0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.GroupNorm_0(x).permute(0, 2, 3, 1).flatten(1, 2).unsqueeze(1)  # (B, 1, F*T, C)
        h = self.NIN_3(F.scaled_dot_product_attention(self.NIN_0(h), self.NIN_1(h), self.NIN_2(h)))
        return (x + h.squeeze(1).transpose(1, 2).reshape(x.shape)) * 0.5**0.5


class Combine(nn.Module):
    """Add the input pyramid (B, P, F, T) to the features (B, C, F, T) through a 1x1 convolution."""

    def __init__(self, pyramid: int, channels: int):
        super().__init__()
        self.Conv_0 = fresh(nn.Conv2d(pyramid, channels, 1))

    def forward(self, pyramid: Tensor, h: Tensor) -> Tensor:
        return self.Conv_0(pyramid).add_(h)


class NCSNpp(nn.Module):
    """Map x, y (B, 2, T, F), real and imaginary compressed spectra, and t (B,) to (B, 2, T, F).

    T and F are multiples of `frames_multiple`. The meaning of the output (score, clean estimate), its sign and scale
    are defined outside of the network. `divide`: divide the output by t, "before" or "after" the last 1x1 convolution.
    Unless `centered`, the input is mapped to 2u - 1.

    `attn_resolutions`: attention is applied in the middle, and at the levels that have as many bins as one of these
    when the input has `image_size`. `progressive` ("output_skip" or "none") and `progressive_input` ("input_skip" or
    "none") are the two pyramids. `input_channels` 6 adds a third spectrogram, forward(x, y, t, condition). A
    `discriminative` network sees y alone: x and t are ignored, and the layers that would embed t are absent or not
    trained. `guide` adds attention to a guide (B, 1, T) at the "bottleneck", or at "every" level (guide_attention).
    """

    receptive_field = None  # attention: an output frame depends on all input frames
    GUIDE_REACH = 64  # frames, 0.5 s

    def __init__(
        self,
        nf: int = 128,
        ch_mult: tuple[int, ...] = (1, 1, 2, 2, 2, 2, 2),
        num_res_blocks: int = 2,
        attn_resolutions: tuple[int, ...] = (16,),
        image_size: int = 256,
        input_channels: int | None = None,
        discriminative: bool = False,
        progressive: str = "output_skip",
        progressive_input: str = "input_skip",
        divide: str | None = None,
        centered: bool = True,
        fourier_scale: float = 16.0,
        guide: str | None = None,
    ):
        super().__init__()
        if guide not in (None, *GUIDE_POSITIONS):
            raise ValueError(f"guide {guide!r} is none of {', '.join(GUIDE_POSITIONS)}")
        if progressive not in ("output_skip", "none") or progressive_input not in ("input_skip", "none"):
            raise ValueError(f"no such pyramid: progressive={progressive!r}, progressive_input={progressive_input!r}")
        if divide not in (None, "before", "after") or (divide and discriminative):
            raise ValueError(f"the output cannot be divided by t: {divide!r}")
        pyramid = input_channels or (2 if discriminative else 4)
        self.levels, self.blocks, self.bins = len(ch_mult), num_res_blocks, image_size
        self.attends = [(image_size >> level) in attn_resolutions for level in range(self.levels)]
        self.input_skip, self.output_skip = progressive_input == "input_skip", progressive == "output_skip"
        self.discriminative, self.divide, self.centered = discriminative, divide, centered

        self.output_layer = nn.Conv2d(pyramid, 2, 1)
        self.downsample = Downsample(pyramid)
        self.all_modules = nn.ModuleList(self.layers(nf, ch_mult, pyramid, 4 * nf, fourier_scale))
        self.guides = nn.ModuleDict(dict(self.guide_layers(guide, [nf * m for m in ch_mult])))
        if discriminative:
            for name, parameter in self.all_modules.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and "Dense_0" not in name)
        channels_last(self)

    def layers(
        self, nf: int, ch_mult: tuple[int, ...], pyramid: int, embedding: int, fourier_scale: float
    ) -> Iterator[nn.Module]:
        """Yield all layers in the order of the checkpoints, which is the order in which `forward` uses them."""
        yield FourierEmbedding(nf, fourier_scale)
        if not self.discriminative:
            yield fresh(nn.Linear(2 * nf, embedding))
            yield fresh(nn.Linear(embedding, embedding))
        yield conv3x3(pyramid, nf)
        width, skips = nf, [nf]
        for level in range(self.levels):
            for _ in range(self.blocks):
                yield ResBlock(width, nf * ch_mult[level], embedding)
                width = nf * ch_mult[level]
                if self.attends[level]:
                    yield Attention(width)
                skips.append(width)
            if level < self.levels - 1:
                yield ResBlock(width, width, embedding, "down")
                if self.input_skip:
                    yield Combine(pyramid, width)
                skips.append(width)
        yield ResBlock(width, width, embedding)
        yield Attention(width)
        yield ResBlock(width, width, embedding)
        for level in reversed(range(self.levels)):
            for _ in range(self.blocks + 1):
                yield ResBlock(width + skips.pop(), nf * ch_mult[level], embedding)
                width = nf * ch_mult[level]
            if self.attends[level]:
                yield Attention(width)
            if self.output_skip or level == 0:
                yield group_norm(width)
                yield conv3x3(width, pyramid, gain=0)
            if level > 0:
                yield ResBlock(width, width, embedding, "up")

    def guide_layers(self, guide: str | None, widths: list[int]) -> Iterator[tuple[str, nn.Module]]:
        """Yield the attentions to the guide as (position, layer)."""
        attention = lambda width, level: GuideAttention(width, self.GUIDE_REACH, 2**level, min(2**level, 8))
        if guide:
            yield "bottleneck", attention(widths[-1], self.levels - 1)
        if guide == "every":
            for level, width in enumerate(widths):
                yield f"down{level}", attention(width, level)
                yield f"up{level}", attention(width, level)

    def guided(self, position: str, h: Tensor, guide: Tensor | None) -> Tensor:
        """Return h with the attention to the guide at `position` added, if there is one."""
        if position not in self.guides:
            return h
        return self.guides[position](h.transpose(2, 3), guide).transpose(2, 3)

    @property
    def frames_multiple(self) -> int:
        """Return the number of which the number of frames must be a multiple."""
        return 2 ** (self.levels - 1)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        t: Tensor | None = None,
        condition: Tensor | None = None,
        guide: Tensor | None = None,
    ) -> Tensor:
        spectra = [y] if self.discriminative else [x, y] if condition is None else [x, y, condition]
        pyramid = torch.cat(spectra, dim=1).transpose(2, 3).contiguous(memory_format=torch.channels_last)
        if not self.centered:
            pyramid = 2 * pyramid - 1
        layer = iter(self.all_modules).__next__

        fourier, embedding = layer(), None
        if not self.discriminative:
            if t is None:
                raise ValueError("the network needs a time")
            t = t.clamp_min(1e-5)
            embedding = layer()(fourier(t))
            embedding = F.silu(layer()(F.silu(embedding)))

        h = layer()(pyramid)
        skips = [h]
        for level in range(self.levels):
            for _ in range(self.blocks):
                h = layer()(h, embedding)
                if self.attends[level]:
                    h = layer()(h)
                skips.append(h)
            h = self.guided(f"down{level}", h, guide)
            if level < self.levels - 1:
                h = layer()(h, embedding)
                if self.input_skip:
                    pyramid = self.downsample(pyramid)
                    h = layer()(pyramid, h)
                skips.append(h)

        h = layer()(h, embedding)
        h = layer()(h)
        h = self.guided("bottleneck", h, guide)
        h = layer()(h, embedding)

        output: Any = None
        for level in reversed(range(self.levels)):
            for _ in range(self.blocks + 1):
                h = layer()(torch.cat([h, skips.pop()], dim=1), embedding)
            if self.attends[level]:
                h = layer()(h)
            h = self.guided(f"up{level}", h, guide)
            if self.output_skip or level == 0:
                part = layer()(h)
                part = layer()(F.silu(part))
                output = part if output is None else upsample(output).add_(part)
            if level > 0:
                h = layer()(h, embedding)

        if self.divide == "before" and t is not None:
            output = output / t[:, None, None, None]
        output = self.output_layer(output).transpose(2, 3).float()
        return output / t[:, None, None, None] if self.divide == "after" and t is not None else output
