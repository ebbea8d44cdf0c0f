"""Does a guide help, and where should it enter? One command trains the same network without a guide, with attention at the
bottleneck and at every level, on the same batches from the same start, and measures what they leave where nobody speaks.

    python tests/benchmarks/guide_ablation.py --data CORPUS --work FOLDER [--steps 1500] [--guide vad] [--set KEY=VALUE]

CORPUS is the folder of the recipe. Each training resumes in FOLDER if it was stopped. The table is Markdown: means over
held-out mixtures of 6 s in which the voice is silent for 2 s. Pause depth is metrics.pause_depth, "left" the energy of the
result in those 2 s against that of the mixture.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from enhance_cli import metrics
from enhance_cli.models import registry
from enhance_cli.models.load import Model, load_file
from enhance_cli.tasks.denoise import DenoiseOptions, Denoiser
from enhance_cli.training.denoise import material
from enhance_cli.training.recipe import load
from enhance_cli.training.start import make_trainer

PLACES = ("none", "bottleneck", "every")
SECONDS, PAUSE = 6.0, (2.0, 4.0)
UNDAMAGED = [f"mix.{name}=0.0" for name in ("room", "band_limit", "clipping", "codec", "noise_only", "clean")]
MEASURES = ("pesq", "estoi", "si_sdr", "pause_depth")
COLUMNS = {"pesq": "PESQ", "estoi": "ESTOI", "si_sdr": "SI-SDR dB", "pause_depth": "pause depth dB", "left": "left dB"}


def settings(place: str, guide: str, steps: int) -> list[str]:
    name, guides = f"model.name=guide-{place}", f'model.guides=["{guide}"]'
    steps = [f"stage.0.steps={steps}", f"train.validate_every={max(1, steps // 4)}"]
    if place == "none":
        return [name, "model.guides=[]", "model.network_args.guide=", *steps]
    return [name, guides, f"model.network_args.guide={place}", *steps]


def train(place: str, options) -> Model:
    recipe = load(options.recipe, [*settings(place, options.guide, options.steps), *options.set])
    if place == "none":
        del recipe.model.network_args["guide"]
    report = lambda line: print(line, flush=True)
    trainer = make_trainer(
        recipe,
        options.data,
        options.work / place,
        cache=options.cache,
        device=torch.device("cpu"),
        report=report,
        log=report,
    )
    return load_file(trainer.train(), torch.device("cpu"))


def mixtures(options) -> list[tuple[np.ndarray, np.ndarray]]:
    """(noisy, clean) at 16 kHz, each (N,), with a pause of the voice in the middle."""
    changes = [f"mix.seconds={SECONDS}", "mix.snr=[-5.0, 15.0]", "train.seed=1000", *UNDAMAGED]
    held_out = material.load(load(options.recipe, [*options.set, *changes]), options.data, options.cache, print).valid
    noisy, clean = held_out.batch(0, options.items)
    time = np.arange(clean.shape[1]) / 16000
    voice = 1 - np.clip(np.minimum(time - PAUSE[0], PAUSE[1] - time) / 0.05, 0, 1)  # fades in 50 ms
    return list(zip((noisy - clean + clean * voice).astype(np.float32), (clean * voice).astype(np.float32)))


def score(model: Model, guide: str | None, pairs) -> dict[str, float]:
    rows = []
    pause = slice(int((PAUSE[0] + 0.2) * 16000), int((PAUSE[1] - 0.2) * 16000))
    for noisy, clean in pairs:
        result = Denoiser(model, DenoiseOptions(guide=guide)).run(noisy[None], 16000)[0] if model else noisy
        row = {name: metrics.load(name)(clean, result, 16000) for name in MEASURES}
        energy = [float(np.square(x[pause].astype(np.float64)).mean()) for x in (result, noisy)]
        rows.append(row | {"left": 10 * np.log10(max(energy[0], 1e-12) / max(energy[1], 1e-12))})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--recipe", default="denoise-s-guided")
    parser.add_argument("--guide", default="vad")
    parser.add_argument("--places", default=",".join(PLACES))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    options = parser.parse_args()
    options.cache = options.cache or options.work / "cache"
    models = {place: train(place, options) for place in options.places.split(",")}
    pairs = mixtures(options)
    rows = [("noisy", None, None)]
    if start := load(options.recipe, options.set).train.start:
        entry = registry.find(start, "denoise")
        rows += [(f"{start}, where all of them start", load_file(entry.path, torch.device("cpu")), None)]
    for place, model in models.items():
        rows += [(f"attention: {place}", model, None)]
        rows += [(f"attention: {place}, but no guide given", model, "none")] if place != "none" else []
    print(f"| {options.steps} steps, {len(pairs)} mixtures | {' | '.join(COLUMNS.values())} |")
    print(f"|---|{'---|' * len(COLUMNS)}")
    for name, model, guide in rows:
        scores = score(model, guide, pairs)
        print(f"| {name} | {' | '.join(f'{scores[c]:.2f}' for c in COLUMNS)} |", flush=True)


if __name__ == "__main__":
    main()
