"""Measure the real-time factor of every denoiser on one core: seconds of the processor per second of audio, the whole task.

    python tests/benchmarks/denoiser_speed.py [NAME ...] [--seconds 10] [--table docs/models.md]

Published models have random weights of their full size, so nothing has to be fetched: the figures are about time only.
Score models and bridges, of which all have one of two networks, are measured with one call of it: their time is that of a
call times the number of calls, twice the steps with the usual corrector. Shipped models have their own weights, and run in
the runtime that `enhance denoise` chooses. It is the time of the processor, so that other work on the machine counts little.
With --table the table between the marks in the file is replaced, or its rows of the named models.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from enhance_cli.models import registry
from enhance_cli.models.convert.architecture import VARIANTS
from enhance_cli.models.convert.lightning import Checkpoint
from enhance_cli.models.convert.sgmse import front_end
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec, read_spec
from enhance_cli.networks import NETWORKS
from enhance_cli.resources import Resources
from enhance_cli.tasks.denoise import Denoiser
from enhance_cli.tasks.loading import load_denoiser_model
from enhance_cli.tasks.options import DenoiseOptions
from tests.benchmarks.tables import put_rows

FASTENHANCER = {  # convolutions, blocks, width, bands at 16 and 48 kHz, hop at 16 kHz
    "tiny": (24, 2, 2, 20, (16, 24), 256),
    "base": (48, 2, 3, 36, (24, 36), 256),
    "small": (64, 3, 3, 48, (36, 48), 256),
    "medium": (96, 3, 4, 72, (48, 72), 160),
    "large": (128, 4, 5, 96, (64, 96), 100),
}


def fastenhancer(size: str, rate: int) -> Spec:
    channels, convolutions, blocks, width, bands, hop = FASTENHANCER[size]
    times = rate // 16000 // 3 + 1
    args = {"channels": channels, "convolutions": convolutions, "blocks": blocks, "width": width}
    args |= {"bands": bands[times - 1], "n_fft": 512 * times, "hop": hop * times}
    return stream(f"fastenhancer-{size}-{'48k' if rate == 48000 else 'dns'}", "fastenhancer", args, rate)


def dpdfnet(name: str, rate: int, blocks: int) -> Spec:
    args: dict = {"blocks": blocks, "n_fft": rate // 50}
    if rate == 16000:
        args |= {"bands": [1] * 11 + [2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 7, 7, 8, 8, 10, 12, 12, 14, 16, 18]}
        args |= {"strides": [2, 2, 1]}
    elif rate == 8000:
        args |= {"low_bins": 80, "strides": [2, 2, 2]}
    return stream(name, "dpdfnet", args, rate)


DPDFNET = {
    "dpdfnet-baseline": (16000, 0), "dpdfnet2": (16000, 2), "dpdfnet4": (16000, 4), "dpdfnet8": (16000, 8),
    "dpdfnet2-48k": (48000, 2), "dpdfnet8-48k": (48000, 8), "dpdfnet2-8k": (8000, 2), "dpdfnet8-8k": (8000, 8),
}  # fmt: skip


def stream(name: str, network: str, args: dict, rate: int) -> Spec:
    return Spec(
        name, network, "", network_args=args, frontend=None, sample_rate=rate, samplers=(), max_steps=1,
        normalise="none",
    )  # fmt: skip


def one_call(name: str, backbone: str) -> Spec:
    """A published score model, sampled with a single call of its network."""
    nothing = Checkpoint(Path(name), {}, {}, [], {})
    return Spec(
        name, "ncsnpp", "ouve", network_args=VARIANTS[backbone], **front_end(nothing, backbone),
        samplers=("predictor_corrector",), sampler_args={"predictor_corrector": {"corrector": "none"}},
        prediction={"kind": "score", "sign": -1.0},
    )  # fmt: skip


def published() -> list[Spec]:
    """The headers of the published networks."""
    small = [fastenhancer(size, rate) for rate in (16000, 48000) for size in FASTENHANCER]
    small += [dpdfnet(name, *kind) for name, kind in DPDFNET.items()]
    return [*small, one_call("sgmse, one call", "ncsnpp"), one_call("sgmse at 48 kHz, one call", "ncsnpp_48k")]


def parameters_of(entry: registry.Entry) -> int:
    """Return the number of parameters of a model and of its first stage."""
    with safe_open(entry.path, framework="numpy") as file:
        count = sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118 - not a dictionary
    first = read_spec(entry.path).first_stage
    return count + (parameters_of(registry.find(first, "denoise")) if first else 0)


def models(names: list[str]) -> Iterator[tuple[Any, int]]:
    """Yield every asked model, ready to run, and the number of its parameters, one at a time."""
    for entry in registry.entries():
        if entry.task == "denoise" and (not names or entry.name in names):
            yield load_denoiser_model(entry, None, None, Resources("cpu", threads=1)), parameters_of(entry)
    for spec in published():
        if not names or spec.name in names:
            torch.manual_seed(0)
            network = NETWORKS[spec.network](**spec.network_args).eval().requires_grad_(False)
            count = sum(parameter.numel() for parameter in network.parameters())
            yield Model(spec, network, torch.device("cpu")), count


def measure(model: Any, parameters: int, seconds: float) -> dict[str, Any]:
    """Return the row of a model: the quicker of two runs, after one that warms up. Of the slow ones, one run of two seconds."""
    slow = parameters > 10_000_000
    seconds = 2.0 if slow else seconds
    rate, rng = model.spec.working_rate, np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal((1, int(seconds * rate)))).astype(np.float32)
    options = DenoiseOptions(threads=1)
    if not slow:
        Denoiser(model, options).run(audio[:, :rate], rate)
    times = []
    for _ in range(1 if slow else 2):
        begin = time.process_time()
        Denoiser(model, options).run(audio, rate)
        times.append(time.process_time() - begin)
    factor = min(times) / seconds
    cpu = "quick" if factor <= 0.1 else "fair" if factor <= 1 else "slow" if factor <= 10 else "GPU"
    return {"name": model.spec.name, "rate": rate, "parameters": parameters, "factor": factor, "cpu": cpu}


def table(rows: list[dict]) -> str:
    lines = ["| model | rate | parameters | real-time factor | CPU |", "|---|---|---|---|---|"]
    for row in rows:
        parameters = f"{row['parameters'] / 1e6:.2f} M"
        lines.append(f"| `{row['name']}` | {row['rate']} | {parameters} | {row['factor']:.3f} | {row['cpu']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for model, parameters in models(asked.names):
        rows.append(measure(model, parameters, asked.seconds))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(rows))
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
    if asked.table:
        put_rows(asked.table, "denoiser_speed", table(rows), whole=not asked.names)


if __name__ == "__main__":
    main()
