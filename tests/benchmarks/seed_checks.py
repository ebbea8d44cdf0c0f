"""Checks of what SEED claims, on the held-out voices of a training run; each prints one small table.

    python tests/benchmarks/seed_checks.py steps    --data CORPUS --cache CACHE     one step against several, and the time
    python tests/benchmarks/seed_checks.py variants --data CORPUS --cache CACHE     trained on one or on three bad variants
    python tests/benchmarks/seed_checks.py distance --data CORPUS --cache CACHE     how far bad embeddings are, and the gain

CORPUS and CACHE are those of `enhance train seed-ge2e`: what it embedded is used again. Equal error rates are in percent.
"""

import argparse
import timeit
from functools import partial
from pathlib import Path

import numpy as np
import torch

from enhance_cli.data.degraded import CONDITIONS
from enhance_cli.metrics.condition_eer import error_rates, pairs
from enhance_cli.models import registry
from enhance_cli.models.extractor import load_extractor
from enhance_cli.models.load import load_file
from enhance_cli.tasks.repair import Repairer, RepairOptions
from enhance_cli.training.loop import Trainer
from enhance_cli.training.parallel import Ranks
from enhance_cli.training.recipe import load
from enhance_cli.training.repair.material import Material
from enhance_cli.training.repair.task import Repair

CPU = torch.device("cpu")


def main() -> None:
    checks = {"steps": steps, "variants": variants, "distance": distance}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=checks)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", default="seed-ge2e")
    parser.add_argument("--batches", type=int, default=600, help="of each training in the check `variants`")
    parser.add_argument("--run", type=Path, default=Path("runs/seed-checks"))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load("seed-ge2e", [f"stage.0.steps={wanted.batches}", f"train.validate_every={wanted.batches}"])
    material = Material(recipe, load_extractor("ge2e", CPU), wanted.data, wanted.cache, print)
    checks[wanted.check](wanted, recipe, material)


def steps(wanted, recipe, material: Material) -> None:
    """One step at several times against DDIM from the same time, and from the whole published grid."""
    vectors, speakers = material.trials()
    entry = registry.find(wanted.model, "enhance-embedding")
    model = load_file(entry.path, CPU)
    options = {"raw": None}
    options |= {f"1 step, t = {t}": RepairOptions(time=t) for t in (0, 10, 25, 50, 100, 200, 400)}
    options |= {f"{n} steps from t = 50": RepairOptions(time=50, steps=n) for n in (3, 10)}
    options |= {f"{n} steps from t = 200": RepairOptions(time=200, steps=n) for n in (3, 10)}
    options |= {f"{n} steps, whole grid": RepairOptions(steps=n) for n in (3, 10)}
    options |= {f"1 step, t = 50, {k} draws": RepairOptions(draws=k) for k in (1, 8)}
    options |= {f"1 step, t = 50, {share:g} raw": RepairOptions(ensemble=share) for share in (0.25, 0.5, 0.75)}
    for name, chosen in options.items():
        work = partial(apply, Repairer(model, chosen), vectors) if chosen else lambda: vectors
        seconds = min(timeit.repeat(work, number=1, repeat=3))
        row(name, error_rates(work(), speakers, CONDITIONS), f"  {1e6 * seconds / vectors[..., 0].size:6.1f} us each")


def variants(wanted, recipe, material: Material) -> None:
    """The same number of batches with one bad variant of every crop, with three, and with all."""
    vectors, speakers = material.trials()
    row("raw", error_rates(vectors, speakers, CONDITIONS))
    for kinds in (("noise",), ("noise", "music", "reverb"), CONDITIONS[1:]):
        chosen = load(
            "seed-ge2e",
            [
                f"stage.0.steps={wanted.batches}",
                f"train.validate_every={2 * wanted.batches}",
                f"pairing.conditions={list(kinds)}",
            ],
        )
        torch.manual_seed(chosen.train.seed)
        task = Repair(chosen, CPU)
        task.material = material
        trainer = Trainer(task, wanted.run / "-".join(kinds), Ranks(CPU), lambda line: None, print)
        trainer.path.parent.mkdir(parents=True, exist_ok=True)
        trainer.path.touch()  # measured whether it may be kept or not
        trainer.train()
        row(", ".join(kinds), error_rates(task.repaired(vectors), speakers, CONDITIONS))


def distance(wanted, recipe, material: Material) -> None:
    """One minus the cosine of a bad embedding to the clean one of the same recording: its quartiles by condition, and the
    error rate of trials between a clean and a bad recording by quarter of that distance, before and after repair."""
    vectors, speakers = material.trials()
    entry = registry.find(wanted.model, "enhance-embedding")
    repaired = apply(Repairer(load_file(entry.path, CPU)), vectors)
    before, after = (1 - np.einsum("ucd,ud->uc", v, v[:, 0]) for v in (vectors, repaired))
    print(f"{'distance to the clean one':28}{'25 %':>8}{'50 %':>8}{'75 %':>8}{'after: 50 %':>14}")
    for i, condition in enumerate(CONDITIONS[1:], 1):
        quartiles = np.percentile(before[:, i], [25, 50, 75])
        print(f"{condition:28}" + "".join(f"{q:8.3f}" for q in quartiles) + f"{np.median(after[:, i]):14.3f}")
    limits = np.percentile(before[:, 1:], [0, 25, 50, 75, 100])
    print(f"\n{'error rate by distance':28}{'raw':>8}{'repaired':>10}{'change':>9}")
    for low, high in zip(limits, limits[1:]):
        rates = [_against_clean(v, speakers, (before >= low) & (before <= high)) for v in (vectors, repaired)]
        name = f"{low:.3f} to {high:.3f}"
        print(f"{name:28}{rates[0]:8.2f}{rates[1]:10.2f}{100 * (rates[1] / max(rates[0], 1e-9) - 1):8.0f}%")


def _against_clean(vectors: np.ndarray, speakers: list[str], chosen: np.ndarray) -> float:
    from enhance_cli.metrics.eer import score

    one, other, same = pairs(speakers)
    one, other, same = np.r_[one, other], np.r_[other, one], np.r_[same, same]
    values, targets = [], []
    for i in range(1, len(CONDITIONS)):
        kept = chosen[other, i]
        values.append(np.einsum("id,id->i", vectors[one[kept], 0], vectors[other[kept], i]))
        targets.append(same[kept])
    return 100 * score(np.concatenate(values), np.concatenate(targets))[0]


def apply(repairer: Repairer, vectors: np.ndarray) -> np.ndarray:
    return repairer.repair(vectors.reshape(-1, vectors.shape[-1])).reshape(vectors.shape)


def row(name: str, rates: dict[str, float], more: str = "") -> None:
    shown = ("clean", *CONDITIONS[1:], "crossed", "degraded")
    print(f"{name:36}" + "  ".join(f"{k} {rates[k]:5.2f}" for k in shown) + more, flush=True)


if __name__ == "__main__":
    main()
