"""Ways to extract stems compared: small networks, one corpus, held-out songs; does a refiner do what the published one does?

    python tests/benchmarks/compare_stem_methods.py --data CORPUS --work FOLDER [--batches 600] [--only deterministic,double]

The shipped recipes with networks that one CPU core can train. "deterministic" is an extractor trained for --batches; "double"
has twice its weights and hears twice as many, as extractor and refiner do together; "diffusion" refines the estimates of
"deterministic" and hears --batches itself; "consistency" is distilled from it with half as many. Scores are SI-SDR
improvements in dB in windows of 4 s in which the stem plays, of songs that were held out, played with a held-out soundfont.
The real-time factor is CPU time for all four stems. The work folder keeps the runs: the same command goes on where it stopped.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from enhance_cli.metrics import si_sdri
from enhance_cli.models.registry import find
from enhance_cli.models.stems import TASK, StemModel, load_stems
from enhance_cli.tasks.extract_stem import StemExtractor, StemOptions
from enhance_cli.training.loop import Trainer
from enhance_cli.training.recipe import load
from enhance_cli.training.start import load_teacher, make_trainer

SECONDS = 4.0  # of a window that is scored
BANDS = "[[4, 16], [8, 8], [16, 8], [32, 8], [64, 8]]"


def network(channels: int, narrow: int, more: str = "") -> str:
    return (
        f'{{ network = "band_split_conv", labels = 4, channels = {channels}, hidden = {narrow}, bottleneck = {narrow},'
        f" dilations = [1, 2, 4, 8], n_fft = 2048, bands = {BANDS}{more} }}"
    )


SMALL, DOUBLE, REFINER = network(64, 32), network(92, 44), network(64, 32, ", time = true, sigma_data = 0.1")


@dataclass(frozen=True)
class Method:
    """A recipe, its networks, how many times --batches it hears, whose refiner it is, and at which steps it is scored."""

    recipe: str
    networks: str
    share: float
    steps: tuple[int, ...]
    begins_from: str = ""
    teacher: str = ""


METHODS = {
    "deterministic": Method("stems-s", f"{{ extractor = {SMALL} }}", 1, (0,)),
    "double": Method("stems-s", f"{{ extractor = {DOUBLE} }}", 2, (0,)),
    "diffusion": Method(
        "stems-s-diffusion", f"{{ extractor = {SMALL}, refiner = {REFINER} }}", 1, (1, 10), "deterministic"
    ),
    "consistency": Method("stems-consistency", "", 0.5, (1, 2, 4), teacher="diffusion"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("."), help="where the folder of MIDI files is")
    parser.add_argument("--work", type=Path, default=Path("runs/compare-stems"), help="runs and the table")
    parser.add_argument("--cache", type=Path, help="rendered songs; in the work folder if not given")
    parser.add_argument("--batches", type=int, default=600)
    parser.add_argument("--items", type=int, default=64, help="windows to be scored")
    parser.add_argument("--only", default=",".join(METHODS), help="methods, with commas between")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, cache = torch.device(options.device), options.cache or options.work / "cache"
    for name in [name for name in METHODS if name in options.only.split(",")]:
        trainer = trainer_of(name, options, device, cache)
        model = load_stems(find(str(trainer.train()), TASK), device)
        test = replace(trainer.task.held_out.mix, seconds=SECONDS)
        trainer.task.held_out.mix, trainer.task.held_out.samples = test, round(SECONDS * model.spec.sample_rate)
        mixes, stems = trainer.task.held_out.batch(1, options.items)
        rows = [row(name, trainer.total, steps, model, mixes, stems) for steps in METHODS[name].steps]
        (options.work / name / "rows.json").write_text(json.dumps(rows))
    header = ["method", "weights", "batches", "calls", *model.spec.stems, "mean", "real-time factor"]
    files = [options.work / name / "rows.json" for name in METHODS]
    rows = [cells for file in files if file.exists() for cells in json.loads(file.read_text())]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])
    (options.work / "table.md").write_text(text + "\n")
    print(text)


def trainer_of(name: str, options: argparse.Namespace, device: torch.device, cache: Path) -> Trainer:
    method, path = METHODS[name], lambda other: options.work / other / f"{other}.safetensors"
    steps = round(options.batches * method.share)
    settings = [f"stage.0.steps={steps}", f"train.validate_every={max(1, steps // 4)}", "stage.0.ema=0.995"]
    settings += [f"model.name={name}"] + ([f"model.network_args={method.networks}"] if method.networks else [])
    settings += [f"train.start={path(method.begins_from)}"] if method.begins_from else []
    settings += ["stage.0.lr=2e-3", "stage.0.lr_end=2e-5"] if method.recipe == "stems-s" else []
    teacher = load_teacher(find(str(path(method.teacher)), TASK), device) if method.teacher else None
    kind = asdict(teacher.spec) | {"training": {}} if teacher else None
    recipe = load(method.recipe, settings, model=kind)
    recipe = replace(recipe, stage=recipe.stage[:1])
    return make_trainer(
        recipe, options.data, options.work / name, cache=cache, device=device, report=say, log=say, teacher=teacher
    )


def row(name: str, batches: int, steps: int, model: StemModel, mixes: np.ndarray, stems: np.ndarray) -> list[str]:
    rate, names = model.spec.sample_rate, model.spec.stems
    gains, begun = {stem: [] for stem in names}, time.process_time()
    estimates = [StemExtractor(model, StemOptions(steps=steps, residual=True)).run(mix, rate) for mix in mixes]
    cost = (time.process_time() - begun) / (mixes.size / rate)
    for mix, true, found in zip(mixes, stems, estimates):
        scores = si_sdri.score(mix[0], true, np.stack([found[stem][0] for stem in names]), rate)["active"]
        for stem, values in zip(names, scores):
            gains[stem] += values
    means = [float(np.mean(gains[stem])) for stem in names]
    weights = f"{sum(p.numel() for p in model.network.parameters()) / 1e6:.1f} M"
    cells = [name, weights, str(batches), str(steps), *(f"{v:.2f}" for v in [*means, float(np.mean(means))])]
    say(" ".join(cells))
    return [*cells, f"{cost:.2f}"]


def say(line) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
