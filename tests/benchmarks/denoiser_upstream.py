"""Time published denoisers in their authors' own code and here, in the same run: waveform in, waveform out, one thread.

    python tests/benchmarks/denoiser_upstream.py --fastenhancer FOLDER --dpdfnet FOLDER [--seconds 10]

The folders are checkouts of github.com/aask1357/fastenhancer (needs librosa) and github.com/ceva-ip/DPDFNet (needs einops).
Weights are random on both sides, whole files go through upstream's torch classes, and through our streams in chunks. Printed
are seconds of the processor per second of audio, and how many times as quick it is here.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from enhance_cli.models.spectral_stream import SpectralStream
from enhance_cli.networks import NETWORKS
from tests.benchmarks.denoiser_speed import FASTENHANCER, dpdfnet, fastenhancer


def upstream_fastenhancer(size: str, rate: int) -> torch.nn.Module:
    channels, convolutions, blocks, width, bands, hop = FASTENHANCER[size]
    high = rate == 48000
    former = {"num_blocks": blocks, "channels": width, "freq": bands[high], "num_heads": 4, "eps": 1e-5}
    former |= {"positional_embedding": "train", "attn_bias": False, "post_act": False, "pre_norm": False}
    times = 1 + high
    model = importlib.import_module("models.fastenhancer.default.model").Model(
        channels=channels, kernel_size=[8] + [3] * convolutions, stride=4, rnnformer_kwargs=former,
        pre_post_init="linear" if high else "linear_fixed", n_fft=512 * times, hop_size=hop * times,
        win_size=512 * times, window="hann", stft_normalized=False, mask=None, activation="SiLU",
        activation_kwargs={"inplace": True}, input_compression=0.3, normalize_final_conv=True, weight_norm=True,
        resnet=False,
    )  # fmt: skip
    model.eval()
    if hasattr(model, "remove_weight_reparameterizations"):
        model.remove_weight_reparameterizations()
    return model


def upstream_dpdfnet(rate: int, blocks: int) -> torch.nn.Module:
    if rate == 48000:
        return importlib.import_module("dpdfnet_48khz_hr").DPDFNet48HR(dprnn_num_blocks=blocks).eval()
    return importlib.import_module("dpdfnet").DPDFNet(dprnn_num_blocks=blocks).eval()


def cost(run: Callable[[], object], seconds: float) -> float:
    """Return the seconds of the processor per second of audio, the less of two runs after one that warms up."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        with torch.inference_mode():
            run()
        times.append(time.process_time() - begin)
    return min(times[1:]) / seconds


def compare(name: str, theirs: torch.nn.Module, spec, seconds: float) -> None:
    audio = (0.1 * np.random.default_rng(0).standard_normal((1, int(seconds * spec.sample_rate)))).astype(np.float32)
    ours = NETWORKS[spec.network](**spec.network_args).eval().requires_grad_(False)
    upstream = cost(lambda: theirs(torch.from_numpy(audio)), seconds)
    here = cost(lambda: SpectralStream(ours, 1).push(audio, last=True), seconds)
    print(f"| `{name}` | {upstream:.3f} | {here:.3f} | {upstream / here:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastenhancer", type=Path)
    parser.add_argument("--dpdfnet", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| model | upstream | here | times as quick |\n|---|---|---|---|")
    if asked.fastenhancer:
        sys.path.insert(0, str(asked.fastenhancer))
        for size in ("tiny", "small", "large"):
            spec = fastenhancer(size, 16000)
            compare(spec.name, upstream_fastenhancer(size, 16000), spec, asked.seconds)
    if asked.dpdfnet:
        sys.path.insert(0, str(asked.dpdfnet / "model"))
        for name, rate, blocks in (("dpdfnet-baseline", 16000, 0), ("dpdfnet8", 16000, 8), ("dpdfnet2-48k", 48000, 2)):
            compare(name, upstream_dpdfnet(rate, blocks), dpdfnet(name, rate, blocks), asked.seconds)


if __name__ == "__main__":
    main()
