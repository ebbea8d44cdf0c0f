"""How much faster networks/ncsnpp.py is on a CPU than the same network written down plainly, with the same weights.

    python tests/benchmarks/ncsnpp_speed.py [--full] [--frames 128] [--threads 1] [--runs 5]

`plain` is the usual way: NCHW, the filters as zero insertion and one convolution per channel with a 4x4 kernel at the
full rate (the portable version of upfirdn2d), attention as two einsums and a softmax, every step a new tensor.
`depthwise` is the same with the filters as strided depthwise convolutions. They take turns, and the fastest run of each
counts.
"""

import argparse
import copy
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance_cli.networks.ncsnpp import Attention, NCSNpp, ResBlock

SMALL = {"nf": 64, "ch_mult": (1, 2, 2, 2), "num_res_blocks": 1, "attn_resolutions": ()}
TAPS = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


def inserted_down(h: Tensor) -> Tensor:
    batch, channels, height, width = h.shape
    h = F.conv2d(F.pad(h.reshape(-1, 1, height, width), (1, 1, 1, 1)), TAPS[None, None])[:, :, ::2, ::2]
    return h.reshape(batch, channels, height // 2, width // 2)


def inserted_up(h: Tensor) -> Tensor:
    batch, channels, height, width = h.shape
    h = F.pad(h.reshape(-1, 1, height, 1, width, 1), (0, 1, 0, 0, 0, 1)).reshape(-1, 1, 2 * height, 2 * width)
    return F.conv2d(F.pad(h, (2, 1, 2, 1)), 4 * TAPS[None, None]).reshape(batch, channels, 2 * height, 2 * width)


def depthwise_down(h: Tensor) -> Tensor:
    return F.conv2d(h, TAPS.repeat(h.shape[1], 1, 1, 1), stride=2, padding=1, groups=h.shape[1])


def depthwise_up(h: Tensor) -> Tensor:
    return F.conv_transpose2d(h, 4 * TAPS.repeat(h.shape[1], 1, 1, 1), stride=2, padding=1, groups=h.shape[1])


class Plain:
    """The forward pass of an NCSNpp, layer after layer."""

    def __init__(self, network: NCSNpp, down, up):
        self.network = network.to(memory_format=torch.contiguous_format)
        self.resample = {"": lambda h: h, "down": down, "up": up}

    def block(self, layer: ResBlock, x: Tensor, embedding: Tensor) -> Tensor:
        h = F.silu(layer.GroupNorm_0(x))
        h, x = self.resample[layer.direction](h), self.resample[layer.direction](x)
        h = layer.Conv_0(h) + layer.Dense_0(F.silu(embedding))[:, :, None, None]
        h = layer.Conv_1(F.silu(layer.GroupNorm_1(h)))
        return (h + (x if layer.Conv_2 is None else layer.Conv_2(x))) / 2**0.5

    def attention(self, layer: Attention, x: Tensor) -> Tensor:
        def pointwise(part, h):
            return torch.einsum("bcft,cd->bdft", h, part.W) + part.b[:, None, None]

        batch, channels, height, width = x.shape
        h = layer.GroupNorm_0(x)
        q, k, v = (pointwise(part, h) for part in (layer.NIN_0, layer.NIN_1, layer.NIN_2))
        scores = torch.einsum("bcft,bcgu->bftgu", q, k) * channels**-0.5
        scores = F.softmax(scores.reshape(batch, height, width, -1), dim=-1).reshape(scores.shape)
        return (x + pointwise(layer.NIN_3, torch.einsum("bftgu,bcgu->bcft", scores, v))) / 2**0.5

    def __call__(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        pyramid = torch.cat([x, y], dim=1).transpose(2, 3).contiguous()
        network, layers = self.network, list(self.network.all_modules)
        fourier, first, second, enter = (layers.pop(0) for _ in range(4))
        embedding = second(F.silu(first(fourier(t))))
        h, output = enter(pyramid), None
        skips = [h]
        for level in range(network.levels):
            for _ in range(network.blocks):
                h = self.block(layers.pop(0), h, embedding)
                h = self.attention(layers.pop(0), h) if network.attends[level] else h
                skips.append(h)
            if level < network.levels - 1:
                h = self.block(layers.pop(0), h, embedding)
                pyramid = self.resample["down"](pyramid)
                h = h + layers.pop(0).Conv_0(pyramid)
                skips.append(h)
        h = self.attention(layers.pop(1), self.block(layers.pop(0), h, embedding))
        h = self.block(layers.pop(0), h, embedding)
        for level in reversed(range(network.levels)):
            for _ in range(network.blocks + 1):
                h = self.block(layers.pop(0), torch.cat([h, skips.pop()], dim=1), embedding)
            h = self.attention(layers.pop(0), h) if network.attends[level] else h
            part = F.silu(layers.pop(0)(h))
            part = layers.pop(0)(part)
            output = part if output is None else self.resample["up"](output) + part
            h = self.block(layers.pop(0), h, embedding) if level else h
        return network.output_layer(output).transpose(2, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the network of 65.6 M parameters, not the one of 7.0 M")
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    network = NCSNpp(**({} if options.full else SMALL)).eval().requires_grad_(False)
    for parameter in network.parameters():  # a new network gives zero
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    spectra = torch.randn(2, 1, 2, options.frames, 256)
    inputs = (*spectra, torch.tensor([0.5]))

    def bf16(*inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return network(*inputs)

    ways = {
        "plain": Plain(copy.deepcopy(network), inserted_down, inserted_up),
        "depthwise": Plain(copy.deepcopy(network), depthwise_down, depthwise_up),
        "ours": network,
        "ours, bf16": bf16,
    }
    seconds = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        outputs = {name: way(*inputs) for name, way in ways.items()}
        for _ in range(options.runs):
            for name, way in ways.items():
                start = time.perf_counter()
                way(*inputs)
                seconds[name] = min(seconds[name], time.perf_counter() - start)

    weights = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"{weights:.1f} M parameters, F = 256, T = {inputs[0].shape[2]}, {options.threads} thread(s)")
    for name, output in outputs.items():
        error = float((output - outputs["plain"]).norm() / outputs["plain"].norm())
        times = f"{seconds[name]:7.3f} s   {seconds['plain'] / seconds[name]:5.2f} times as fast as plain"
        print(f"{name:12s} {times}   differs by {error:.1e}")


if __name__ == "__main__":
    main()
