"""Train variants of denoise-48k for equal minutes of one core, and score them on held-out mixtures.

    python tests/benchmarks/compare_refiners.py --data CORPUS --work FOLDER [--voices FOLDER ...] [--variant NAME ...]

All begin as the model --start, whose scores are the first row, and have the last stage of the recipe. Only the CPU time of
the steps counts. Mixtures are made before, once for all variants, and kept in the work folder, as weights and scores are.
"recipe" are 96 held-out mixtures of the recipe, "voices" as many of the folders --voices, which training must not have heard:
dry, with held-out noises at 0 to 15 dB. Behind the scores, the mean difference to "the recipe" and its standard error.
"""

import argparse
import json
import math
import sys
import time
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from refiner_mixtures import Sounds, stored
from refiner_variants import Change, set_features, widened, with_features, with_gains
from torch import Tensor

from enhance_cli import metrics
from enhance_cli.errors import AudioError
from enhance_cli.models import registry
from enhance_cli.models.load import Model
from enhance_cli.models.sampling import Sampling
from enhance_cli.models.weights import load_network
from enhance_cli.training.denoise.objective import Objective
from enhance_cli.training.denoise.recipe import DenoiseStage, Recipe
from enhance_cli.training.parallel import Ranks
from enhance_cli.training.recipe import load
from enhance_cli.training.state import MovingAverage
from enhance_cli.training.step import TrainStep

SCHEDULE = {"lr": 3e-4, "lr_end": 1e-5, "ema": 0.97}
WARMUP = 0.05  # of the time
MEASURES = {"pesq": ("PESQ", 3), "estoi": ("ESTOI", 4), "si_sdr": ("SI-SDR dB", 2)}  # and digits
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Variant:
    """Change the network, or settings of the stage, the training and the mixtures."""

    change: Change = lambda network: network
    stage: dict = field(default_factory=dict)
    train: dict = field(default_factory=dict)
    mix: dict = field(default_factory=dict)


BASELINE = "the recipe"
VARIANTS = {
    BASELINE: Variant(),
    "wider by a quarter": Variant(widened((40, 48, 64, 96), 256)),
    "gains as a condition": Variant(with_gains),
    "features as a condition": Variant(with_features),
    "gains and features": Variant(lambda network: with_features(with_gains(network))),
    "one call only": Variant(stage={"loss_args": {"steps": 1}}),
    "no perceptual distance": Variant(stage={"distance": {"hybrid_spectral": 1.0}}),
    "perceptual distance times 3": Variant(stage={"distance": {"hybrid_spectral": 1.0, "perceptual": 6.0}}),
    "batches of 16": Variant(train={"batch_size": 16}),
    "a fifth of the items in rooms": Variant(mix={"room": 0.2}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="packed audio; in the work folder if not given")
    parser.add_argument("--start", default="denoise-48k", help="model that all begin as")
    parser.add_argument("--voices", type=Path, action="append", default=[])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--calls", type=int, default=1, help="of the network, when it is scored")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    sounds = Sounds(load("denoise-48k"), options.data, options.cache or options.work / "cache", say)
    sets = sounds.held_out(options.voices, options.work)
    lines: dict[str, dict] = {}
    for name in dict.fromkeys(["", BASELINE, *(options.variant or VARIANTS)]):
        lines[name] = variant_scores(name, sounds, sets, options)
        say(f"{name} has been scored")
    print("\n".join(table(lines, list(sets))))


def variant_scores(name: str, sounds: Sounds, sets: dict, options: argparse.Namespace) -> dict:
    """Return "batches" and "seconds" of a variant and its scores of every item. "" is the model --start."""
    folder = options.work / (name.replace(" ", "-") or "start")
    scores, weights = folder / f"scores-{options.calls}.json", folder / "network.pt"
    if scores.exists():
        return json.loads(scores.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    variant, recipe = VARIANTS.get(name, Variant()), sounds.recipe
    recipe = replace(recipe, mix=replace(recipe.mix, **variant.mix), train=replace(recipe.train, **variant.train))
    refiner = Refiner(recipe, variant.change, options.start)
    if weights.exists():
        line = torch.load(weights)
        refiner.averaged.network.load_state_dict(line.pop("network"))
    else:
        stage = replace(recipe.stage[-1], **SCHEDULE, **variant.stage)
        line = refiner.train(stage, sounds, options.work / "batches", 60 * options.minutes if name else 0)
        torch.save(line | {"network": refiner.averaged.network.state_dict()}, weights)
    line |= {place: scored(refiner.averaged, items, options.calls) for place, items in sets.items()}
    scores.write_text(json.dumps(line))
    return line


class Refiner:
    """Hold the network and the moving average of its weights, with all that training.step asks of a task."""

    def __init__(self, recipe: Recipe, change: Change, start: str):
        entry = registry.find(start, "denoise")
        torch.manual_seed(0)
        network = change(load_network(entry.path, entry.sha256, fold=False)[1])
        self.recipe, self.device, self.seconds = recipe, CPU, recipe.mix.seconds
        self.model = Model(recipe.model, network.requires_grad_(True), CPU)
        self.averaged = Model(recipe.model, deepcopy(network).eval().requires_grad_(False), CPU)
        self.trained, self.average = self.model.network, MovingAverage(self.averaged.network)
        self.objective = Objective(self.model, self.averaged, None)

    def loss(self, stage: DenoiseStage, noisy: Tensor, clean: Tensor, first: Tensor, features: Tensor) -> Tensor:
        set_features(self.model.network, features)
        return self.objective.loss(stage, noisy, clean, first)

    def train(self, stage: DenoiseStage, sounds: Sounds, folder: Path, seconds: float) -> dict:
        """Train for so many seconds of CPU time. Returns "batches" and "seconds"."""
        size, mix = self.recipe.train.batch_size, self.recipe.mix
        source, step = sounds.training(mix), TrainStep(self, Ranks(CPU))
        used, number = 0.0, 0
        while used < seconds:
            path = folder / f"{size}-{mix.room:g}" / f"{number}.npz"
            batch = stored(path, lambda n=number: source.described(n, size))
            begun, share = time.process_time(), used / seconds
            lr = stage.lr_end + (stage.lr - stage.lr_end) * 0.5 * (1 + math.cos(math.pi * share))
            step.step(number, stage, lr * min(1.0, share / WARMUP + 0.06), [batch])
            used, number = used + time.process_time() - begun, number + 1
        return {"batches": number, "seconds": used}


def scored(model: Model, items: list[np.ndarray], calls: int) -> dict[str, list[float]]:
    """Return the scores of every item with a voice, nan where one is not defined."""
    windowed, found = model.windowed(Sampling(calls)), {name: [] for name in MEASURES}
    for noisy, clean, first, features in zip(*items):
        if np.abs(clean).max() < 1e-3:
            continue
        set_features(model.network, torch.from_numpy(features[None]))
        estimate = first + windowed.refinements([np.stack([noisy, first])], [0])[0][0]
        for name, scores in found.items():
            scores.append(score(name, clean, estimate, model.spec.sample_rate))
    return found


def score(name: str, clean: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    try:
        return float(np.clip(metrics.load(name)(clean, estimate, rate), -30, 50))
    except AudioError:
        return math.nan


def table(lines: dict[str, dict], places: list[str]) -> list[str]:
    """Return the lines of a table in Markdown."""
    titles = [f"{place}: {title}" for place in places for title, _ in MEASURES.values()]
    made = [f"| variant | batches | minutes | {' | '.join(titles)} |", "|---" * (3 + len(titles)) + "|"]
    for name, line in lines.items():
        cells = [str(line["batches"]), f"{line['seconds'] / 60:.1f}"]
        for place in places:
            for measure, (_, digits) in MEASURES.items():
                values = np.array(line[place][measure])
                change = values - np.array(lines[BASELINE][place][measure])
                error = np.nanstd(change, ddof=1) / math.sqrt(np.isfinite(change).sum())
                compared = "" if name == BASELINE else f" ({np.nanmean(change):+.{digits}f} ± {error:.{digits}f})"
                cells.append(f"{np.nanmean(values):.{digits}f}{compared}")
        made.append(f"| {name or 'before training'} | {' | '.join(cells)} |")
    return made


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
