"""Write the figures of a run: `metrics.jsonl`, one line per validation, and TensorBoard's files if the recipe sets it."""

import json
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from enhance_cli.atomic import replace_file
from enhance_cli.errors import UsageError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class MetricsFile:
    """Write the figures below `folder`. Figures of an earlier run after `step` are removed, since it continues from there."""

    def __init__(self, folder: Path, step: int, tensorboard: bool):
        self.path = folder / "metrics.jsonl"
        if self.path.exists():
            lines = self.path.read_bytes().splitlines(keepends=True)
            with replace_file(self.path) as file:
                file.writelines(line for line in lines if _step(line) <= step)
        self.board = _board(folder / "tensorboard", step) if tensorboard else None

    def write(self, line: dict) -> None:
        """Append a line of metrics and send its numbers to TensorBoard."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.draw(line)

    def draw(self, line: dict) -> None:
        """Send numbers to TensorBoard alone."""
        if self.board:
            for name in line.keys() - {"step", "seconds", "eta"}:
                self.board.add_scalar(name, line[name], line["step"])
            self.board.flush()


def _step(line: bytes) -> float:
    """Return the step of a line of metrics, or infinity for a line that a crash cut short."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return inf


def _board(folder: Path, step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("train.tensorboard needs tensorboard", "pip install 'enhance-cli[train]'") from error
    return SummaryWriter(folder, purge_step=step + 1)
