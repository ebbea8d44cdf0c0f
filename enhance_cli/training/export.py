"""The exported model: the best moving average so far, with all that made it in its header, and its card beside it."""

import subprocess
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import torch

from enhance_cli.models.load import save_model
from enhance_cli.training import card
from enhance_cli.training.recipe import Recipe


def quality(scores: dict[str, float]) -> float:
    """One number to compare checkpoints by: PESQ plus a tenth of the SI-SDR in dB (0.1 PESQ weighs as much as 1 dB)."""
    return scores.get("pesq", 0.0) + 0.1 * scores["si_sdr"]


def write(path: Path, network: torch.nn.Module, recipe: Recipe, facts: dict) -> None:
    """The checkpoint and its card. `facts`: what the header says of the training besides recipe, licences, date, commit."""
    made = {"recipe": asdict(recipe), "licences": recipe.data.licences, "date": date.today().isoformat()}
    spec = replace(recipe.model, training=facts | made | {"commit": commit()})
    save_model(path, spec, network)
    path.with_suffix(".md").write_text(card.render(spec))


def commit() -> str:
    """The commit of the source tree this runs from, or "" outside one."""
    folder = Path(__file__).parent
    result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True)
    return result.stdout.strip()
