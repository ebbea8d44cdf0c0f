"""The figures of a run: `metrics.jsonl`, one line per validation, and TensorBoard's files where the recipe asks for them."""

import json
from math import inf
from pathlib import Path

from enhance_cli.atomic import replace_file
from enhance_cli.errors import UsageError


class Log:
    """Writes below `folder`; figures of an earlier run beyond its `step` are forgotten, since it goes on from there."""

    def __init__(self, folder: Path, step: int, tensorboard: bool):
        self.path = folder / "metrics.jsonl"
        if self.path.exists():
            lines = self.path.read_bytes().splitlines(keepends=True)
            with replace_file(self.path) as file:
                file.writelines(line for line in lines if _step(line) <= step)
        self.board = _board(folder / "tensorboard", step) if tensorboard else None

    def write(self, line: dict) -> None:
        """A line of metrics; its numbers go to TensorBoard too."""
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")
        self.draw(line)

    def draw(self, line: dict) -> None:
        """To TensorBoard alone."""
        if self.board:
            for name in line.keys() - {"step", "seconds", "eta"}:
                self.board.add_scalar(name, line[name], line["step"])
            self.board.flush()


def _step(line: bytes) -> float:
    """Of a line of metrics; one that a crash cut short belongs to no step that is over."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return inf


def _board(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("train.tensorboard needs tensorboard", "pip install 'enhance-cli[train]'") from error
    return SummaryWriter(folder, purge_step=step + 1)
