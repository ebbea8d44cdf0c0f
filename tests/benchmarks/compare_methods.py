"""Training methods compared: one network, one small corpus, the same seconds of training each, then every step count.

    python tests/benchmarks/compare_methods.py --data CORPUS --work FOLDER [--seconds 600] [--only score,bridge]

The methods are the shipped recipes with a network and a front end that one CPU core can train (COMMON), and with learning
rates for minutes, not days (STAGE). How many batches fit into the seconds is measured first, all methods in turns, in CPU
time where there is no GPU. The work folder keeps that, the runs and every score: the same command goes on where it
stopped. Scores are of held-out voices, in held-out recordings of the noises that were trained on and in other noises, at
the same number of network calls (NFE). The table comes out on stdout and as FOLDER/table.md.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from enhance_cli import metrics
from enhance_cli.data import corpus
from enhance_cli.data.corpus import Source
from enhance_cli.data.mixing import Mix, Mixer
from enhance_cli.models.device import pick_device
from enhance_cli.models.load import Model, load_file
from enhance_cli.tasks import denoise
from enhance_cli.training.denoise.recipe import Recipe
from enhance_cli.training.loop import Trainer
from enhance_cli.training.recipe import load
from enhance_cli.training.start import make_trainer

COMMON = [
    'model.network="bridge_unet"',
    "model.network_args={ channels = [24, 32, 48, 64], blocks = 1, dilations = [1], temporal = 128,"
    " temporal_dilations = [1, 2, 4, 8], state_mask = true }",
    "model.frontend={ n_fft = 512, hop = 256, exponent = 0.5, scale = 0.6 }",
    "model.frames_multiple=1",
    'model.frame_padding="zero"',
    "train.batch_size=8",
    "train.weight_decay=0.01",
    "train.validation_items=8",
    "train.validate_every=1000000",  # at the end only
    "mix.seconds=1.0",
    "data.rooms=0",
    'data.speech=[{ folder = "speech/train/librispeech", groups = "folder", held_out = 0.1,'
    ' scores = "speech/train/quality.csv", at_least = { dnsmos_bak = 3.9, dnsmos_ovrl = 2.9 } }]',
    'data.noise=[{ folder = "noise/train/moodist", held_out = 0.15 }]',
]
PLAIN = dict.fromkeys(("room", "babble", "coloured", "clean", "noise_only", "band_limit", "clipping", "codec"), 0.0)
COMMON += [f"mix.{name}={value}" for name, value in PLAIN.items()]
STAGE = {"lr": 1e-3, "lr_end": 1e-5, "warmup": 50, "ema": 0.995}
SCORED = Mix(seconds=4.0, snr=(0.0, 15.0), level=(0.0, 0.0), speed=(1.0, 1.0), second_noise=0.0, equaliser=0.0, **PLAIN)
UNSEEN = Source("noise/train/esc10", exclude=("rain*", "sea*", "fire*", "clock*"))  # kinds that training has not heard
STEPS = (1, 2, 5, 15, 30)
MEASURES = {"pesq": 2, "estoi": 3, "si_sdr": 1}  # and digits


@dataclass(frozen=True)
class Method:
    """A recipe, the share of the seconds that each of its stages gets, and what is different from the recipe."""

    recipe: str
    shares: tuple[float, ...] = (1.0,)
    steps: tuple[int, ...] = STEPS
    overrides: tuple[str, ...] = ()


# A network that gives the clean spectrogram learns score matching several times faster here than one that gives the
# score. Both score models are sampled alike, from t = 0.5 without corrector, which after so short a training is also
# what serves the one without CRP best. CRP draws one to five steps for every batch, or is trained for one step alone.
SCORE = ('model.prediction={ kind = "data" }',)
METHODS = {
    "score": Method("score-bbed-crp", overrides=SCORE),
    "score-crp": Method("score-bbed-crp", (0.5, 0.5), overrides=SCORE),
    "score-crp-1": Method("score-bbed-crp", (0.5, 0.5), (1,), overrides=(*SCORE, "stage.1.loss_args.steps=1")),
    "bridge": Method("bridge-sb"),
    "flow": Method("flow-matching"),
    "predictive": Method("predictive", steps=(1,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("."), help="where the folders of speech and noise are")
    parser.add_argument("--work", type=Path, default=Path("runs/compare"), help="runs, scores and the table")
    parser.add_argument("--cache", type=Path, help="packed audio; in the work folder if not given")
    parser.add_argument("--seconds", type=float, default=600, help="of training for every method")
    parser.add_argument("--items", type=int, default=24, help="mixtures of 4 s in each of the two tests")
    parser.add_argument("--only", default=",".join(METHODS), help="methods, with commas between")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], help="change the recipes: section.key=value")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    cache = options.cache or options.work / "cache"
    options.work.mkdir(parents=True, exist_ok=True)
    names = [name for name in METHODS if name in options.only.split(",")]
    recipes = {name: recipe_of(name, options.set) for name in names}
    trainer = lambda name: make_trainer(
        recipes[name], options.data, options.work / name, cache=cache, device=device, report=report, log=say
    )
    recipes = plan(recipes, trainer, options.work / "batches.json", options.seconds)
    tests = mixtures(recipes[names[0]], options.data, cache, options.items)
    for name in names:
        path = trainer(name).train()
        score(METHODS[name], load_file(path, device), tests, options.work / name / "scores.json")
    text = table(options.work, tests)
    (options.work / "table.md").write_text(text + "\n")
    print(text)


def recipe_of(name: str, overrides: list[str]) -> Recipe:
    method = METHODS[name]
    stages = range(len(method.shares))
    settings = [f"stage.{i}.{key}={value}" for i in stages for key, value in STAGE.items()]
    recipe = load(method.recipe, [*COMMON, *settings, *method.overrides, *overrides])
    return replace(recipe, stage=recipe.stage[: len(stages)])


def plan(recipes: dict[str, Recipe], trainer, file: Path, seconds: float) -> dict[str, Recipe]:
    """The recipes with as many batches in every stage as fit into its share of the seconds on this machine."""
    known = json.loads(file.read_text()) if file.exists() else {}
    if not recipes.keys() <= known.keys():
        costs = batch_seconds({name: trainer(name) for name in recipes})
        for name, stages in costs.items():
            counts = [max(1, int(seconds * share / cost)) for share, cost in zip(METHODS[name].shares, stages)]
            known.setdefault(name, {"batches": counts, "batch_seconds": stages, "seconds": seconds})
        file.write_text(json.dumps(known, indent=1))
    for name in recipes:
        say(f"{name}: {known[name]}")
    return {
        name: replace(recipe, stage=[replace(s, steps=n) for s, n in zip(recipe.stage, known[name]["batches"])])
        for name, recipe in recipes.items()
    }


def batch_seconds(trainers: dict[str, Trainer], batches: int = 6, rounds: int = 4) -> dict[str, list[float]]:
    """What a batch of every stage costs. All take turns, and of several rounds the fastest counts, batch by batch."""
    fastest = {}
    for _ in range(rounds):
        for name, trainer in trainers.items():
            for number in range(len(trainer.stages)):
                times = fastest.setdefault((name, number), [float("inf")] * batches)
                times[:] = map(min, times, stage_times(trainer, number, batches))
    return {
        name: [float(np.mean(fastest[name, i])) for i in range(len(trainer.stages))]
        for name, trainer in trainers.items()
    }


def stage_times(trainer: Trainer, stage: int, count: int) -> list[float]:
    """Seconds of `count` batches: mixing, and what one step of training does, whose draws depend on its number alone."""
    times = []
    for number in range(count):
        begun = clock(trainer.task.device)
        batch = trainer.task.source.batch(number, trainer.task.recipe.train.batch_size)
        trainer.train_step.step(number, trainer.stages[stage], 0.0, [batch])
        times.append(clock(trainer.task.device) - begun)
    return times


def clock(device: torch.device) -> float:
    """CPU seconds of this process, which other work on the machine hardly adds to; with a GPU, seconds."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def mixtures(recipe: Recipe, root: Path, cache: Path, items: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The tests "matched" and "unseen": (noisy, clean), each (items, samples)."""
    rate, data = recipe.model.sample_rate, recipe.data
    speech, matched = (corpus.load(sources, root, rate, cache, say) for sources in (data.speech, data.noise))
    noises = {"matched": matched, "unseen": corpus.load([UNSEEN], root, rate, cache, say, whole=True)}
    mixers = {
        name: Mixer(speech, noise, rooms=None, mix=SCORED, rate=rate, seed=11, held_out=True)
        for name, noise in noises.items()
    }
    return {name: mixer.batch(0, items) for name, mixer in mixers.items()}


def score(method: Method, model: Model, tests: dict, file: Path) -> None:
    """Scores of every item at every step count, added to `file` as they are done."""
    done = json.loads(file.read_text()) if file.exists() else {}
    rate = model.spec.sample_rate
    for steps in method.steps:
        options = denoise.DenoiseOptions(steps=steps)
        for test, (noisy, clean) in tests.items():
            if len(done.get(f"{steps} {test}", {}).get("pesq", [])) == len(noisy):
                continue
            begun = clock(model.device)
            enhanced = [denoise.Denoiser(model, options).run(x[None], rate)[0] for x in noisy]
            cost = (clock(model.device) - begun) / (noisy.size / rate)
            scores = measure(clean, enhanced, rate)
            done[f"{steps} {test}"] = {"real_time_factor": cost} | scores
            file.write_text(json.dumps(done))
            say(f"{file.parent.name}, {steps} steps, {test}: {[round(float(np.mean(v)), 3) for v in scores.values()]}")


def table(work: Path, tests: dict) -> str:
    """Markdown: a row per method and number of network calls, the unprocessed mixtures first; then the claims in numbers."""
    known = json.loads((work / "batches.json").read_text())
    results = {name: json.loads(path.read_text()) for name in METHODS if (path := work / name / "scores.json").exists()}
    lines = [
        "| | | | matched | | | unseen | | | |",
        "|---|---|---|---|---|---|---|---|---|---|",
        "| method | batches | NFE | PESQ | ESTOI | SI-SDR dB | PESQ | ESTOI | SI-SDR dB | real-time factor |",
        line("noisy", "", "", [measure(clean, noisy) for noisy, clean in tests.values()], ""),
    ]
    for name, rows in results.items():
        batches = " + ".join(map(str, known[name]["batches"]))
        for steps in METHODS[name].steps:
            pair = [rows[f"{steps} {test}"] for test in tests if f"{steps} {test}" in rows]
            if len(pair) == len(tests):
                cost = np.mean([one["real_time_factor"] for one in pair])
                lines.append(line(name, batches, steps, pair, f"{cost:.3f}"))
    return "\n".join([*lines, "", *claims(results)])


def line(method: str, batches: str, nfe: int | str, tests: list[dict], cost: str) -> str:
    means = [f"{np.mean(scores[name]):.{digits}f}" for scores in tests for name, digits in MEASURES.items()]
    return f"| {' | '.join([method, batches, str(nfe), *means, cost])} |"


def claims(results: dict) -> list[str]:
    """Differences of the mean over the same mixtures, with their standard errors."""
    asked = [
        ("CRP in 5 steps less score matching in 30", ("score-crp", 5), ("score", 30)),
        ("CRP for 1 step less score matching in 30", ("score-crp-1", 1), ("score", 30)),
        ("score matching in 1 step less the same in 30", ("score", 1), ("score", 30)),
        ("CRP for 1 step less the predictor", ("score-crp-1", 1), ("predictive", 1)),
        ("bridge in 5 steps less the predictor", ("bridge", 5), ("predictive", 1)),
    ]
    lines = ["| difference | test | PESQ | ESTOI | SI-SDR dB |", "|---|---|---|---|---|"]
    for text, *sides in asked:
        for test in ("matched", "unseen"):
            rows = [results.get(name, {}).get(f"{steps} {test}") for name, steps in sides]
            if None in rows:
                continue
            cells = []
            for name, digits in MEASURES.items():
                one = np.subtract(rows[0][name], rows[1][name])
                cells.append(f"{one.mean():+.{digits}f} +- {one.std(ddof=1) / len(one) ** 0.5:.{digits}f}")
            lines.append(f"| {text} | {test} | {' | '.join(cells)} |")
    return lines


def measure(clean: np.ndarray, estimates, rate: int = 16000) -> dict[str, list[float]]:
    """The scores of every item."""
    return {name: [metrics.load(name)(c, e, rate) for c, e in zip(clean, estimates)] for name in MEASURES}


def report(line: dict) -> None:
    say(json.dumps(line))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
