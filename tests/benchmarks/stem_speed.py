"""Speed of stem models on this machine, all in one run: four stems out of a mix, as `enhance extract-stem` takes them.

    python tests/benchmarks/stem_speed.py [--seconds 11.9] [--device auto] [--threads N] [--runs 3] [--only stems-s,htdemucs]

Networks of the published sizes with random weights, which are as fast as trained ones: nothing is fetched. They take turns,
and the fastest run of each counts. "first" is one stem alone. Each hears the mix at its own rate, in mono or stereo as it was
trained; a refiner's row says how often the sampler steps. Demucs needs the extra `demucs`.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from enhance_cli.models import demucs
from enhance_cli.models.demucs_model import DemucsModel
from enhance_cli.models.device import pick_device, pick_precision, set_threads
from enhance_cli.models.registry import find
from enhance_cli.models.spec import Spec
from enhance_cli.models.stems import StemModel
from enhance_cli.networks import NETWORKS
from enhance_cli.tasks.extract_stem import StemExtractor, StemOptions
from enhance_cli.training.recipe import load

STEMS = ("bass", "drums", "guitar", "piano")
EDM = {"process": "edm", "process_args": {"sigma_min": 1e-4, "sigma_max": 10.0, "rho": 9.0}}
ALONE = {"process": "edm", "min_steps": 0, "max_steps": 0, "default_steps": 0, "normalise": "none", "frontend": None}


def of_recipe(name: str) -> Callable:
    return lambda device, precision: built(load(name).model, device, precision)


def dicose(device: torch.device, precision: str) -> StemModel:
    unet = {"network": "unet1d"}
    spec = Spec(
        name="dicose",
        task="extract-stem",
        network="stem_pair",
        network_args={"extractor": unet, "refiner": unet | {"time": True}},
        sample_rate=22050,
        window_seconds=262144 / 22050,
        frames_multiple=262144,
        stems=STEMS,
        samplers=("consistency",),
        sampler_args={"consistency": {"limit": 1.0}},
        start_sigma={"1": 0.01244},
        prediction={
            "kind": "data",
            "input_scaling": "edm_in",
            "sigma_data": 0.2,
            "time": "ln/4",
            "skip": "consistency_skip",
            "out": "consistency_out",
            "sigma_min": 1e-4,
        },
        **(ALONE | EDM | {"max_steps": 18}),
    )
    return built(spec, device, precision)


def bs_roformer(device: torch.device, precision: str) -> StemModel:
    extractor = {"network": "bs_roformer"}
    stems = ("drums", "bass", "other", "vocals")
    spec = Spec(
        name="bs-roformer",
        task="extract-stem",
        network="stem_pair",
        network_args={"extractor": extractor},
        sample_rate=44100,
        channels=2,
        window_seconds=8.0,
        frames_multiple=441,
        stems=stems,
        **ALONE,
    )
    return built(spec, device, precision)


def built(spec: Spec, device: torch.device, precision: str) -> StemModel:
    network = NETWORKS[spec.network](**spec.network_args).to(device).eval()
    network.fold()
    return StemModel(spec, network, device, precision)


def htdemucs(device: torch.device, _: str) -> DemucsModel:
    from demucs.apply import BagOfModels
    from demucs.htdemucs import HTDemucs

    network = BagOfModels([HTDemucs(list(demucs.FOUR))])
    return DemucsModel(demucs.spec_of(find("htdemucs", "extract-stem")), network, device)


SYSTEMS = {
    "stems-s": (of_recipe("stems-s"), (0,)),
    "stems-s-diffusion": (of_recipe("stems-s-diffusion"), (1,)),
    "htdemucs": (htdemucs, (0,)),
    "dicose": (dicose, (0, 1, 2, 4)),
    "bs-roformer": (bs_roformer, (0,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=11.9)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default=",".join(SYSTEMS))
    options = parser.parse_args()
    set_threads(options.threads)
    device = pick_device(options.device)
    precision = pick_precision("auto", device)
    print(f"{options.seconds:g} s on {device} in {precision}, {torch.get_num_threads()} threads\n")
    print("| system | steps | parameters M | x real time, four stems | first | real-time factor, four stems |")
    print("|---|---|---|---|---|---|")
    for name in options.only.split(","):
        make, counts = SYSTEMS[name]
        model = make(device, precision)
        spec = model.spec
        size = sum(p.numel() for p in model.network.parameters()) / 1e6
        for steps in counts:
            every, one = (fastest(model, StemOptions(part, steps), options) for part in (spec.stems, spec.stems[:1]))
            cells = (f"{options.seconds / every:.1f}", f"{options.seconds / one:.1f}", f"{every / options.seconds:.3f}")
            print(f"| {name} | {steps} | {size:.1f} | {' | '.join(cells)} |", flush=True)


def fastest(model, wanted: StemOptions, options) -> float:
    """Seconds of the fastest of several runs."""
    spec, times = model.spec, []
    mix = np.random.default_rng(0).standard_normal((spec.channels, int(options.seconds * spec.sample_rate))) / 10
    for _ in range(options.runs):
        begun = time.perf_counter()
        StemExtractor(model, replace(wanted, threads=options.threads)).run(mix.astype(np.float32), spec.sample_rate)
        times.append(time.perf_counter() - begun)  # what comes back lies in the CPU's memory: a GPU is done as well
    return min(times)


if __name__ == "__main__":
    main()
