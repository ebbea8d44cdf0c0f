"""Score systems on the same recordings: folders of files, or models whose computing is timed."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from enhance_cli.commands.evaluate.inputs import audio_files
from enhance_cli.commands.evaluate.table import SPEED, print_table, report_rows, say_json
from enhance_cli.console import count_of, say, tracked
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.spec import Spec

Condition = TypeVar("Condition", int, float)  # such as the frequency at which recordings are cut


@dataclass
class System:
    """Hold one row of the table: the way to its estimates, their scores, and the seconds of computing.

    `source(reference)` returns the estimate, or with a `run` the input from which that computes it.
    """

    name: str
    source: Callable[[Any], Any]
    run: Callable[[Any], Any] | None = None
    scores: list[dict] = field(default_factory=list)
    work: float = 0.0

    def estimate(self, reference: Any) -> tuple[Any, float]:
        """Return the estimate of a reference, and the seconds that `run` took."""
        given = self.source(reference)
        if self.run is None:
            return given, 0.0
        start = time.perf_counter()
        made = self.run(given)
        return made, time.perf_counter() - start

    def speed(self, seconds: float) -> dict[str, float]:
        """Return the speed in multiples of real time, if anything was computed."""
        return {SPEED: seconds / self.work} if self.work else {}


def computed(model: str, counts: Iterable[int], source: Callable, run: Callable, first: Any) -> list[System]:
    """Return a system for each number of steps, which computes `run(source(reference), steps)`.

    Each is run on `first` beforehand, so that the costs of a first call do not count for its speed.
    """
    for steps in counts:
        run(first, steps)
    return [System(f"{model}, {count_of(steps, 'step')}", source, partial(run, steps=steps)) for steps in counts]


def noise(rate: int) -> "np.ndarray":
    """Return a second of noise (1, rate) for a first call. Silence would not reach the network."""
    import numpy as np

    return np.random.default_rng(0).normal(0, 0.1, (1, rate)).astype(np.float32)


def allowed_steps(spec: "Spec", counts: Iterable[int | None], *, warn: bool) -> list[int]:
    """Return those of the step counts that the model allows, so that several models can share a table.

    With `warn`, the others are named on stderr. Raises UsageError if none is left.
    """
    allowed, refusals = [], []
    for count in counts:
        try:
            allowed.append(spec.choose(count, None)[0])
        except UsageError as error:
            refusals.append(error)
    if refusals and not allowed:
        raise refusals[0]
    for refusal in refusals if warn else []:
        say(f"warning: {refusal.message}: no row for it")
    return allowed


def score_all(
    systems: list[System],
    paths: list[PurePath],
    read: Callable[[PurePath], Any],
    measure: Callable[[Any, Any], dict],
    on_scores: Callable[[System, PurePath, dict], None],
) -> tuple[float, bool]:
    """Score every system on each reference. A reference that fails for one system is reported and left out for all.

    `read(path)` returns a reference, which has the attribute `seconds`. `measure(reference, estimate)` returns the scores.
    Returns the seconds that were scored, and whether something failed.
    """
    seconds, failed = 0.0, False
    for path in tracked(paths, "Scoring"):
        try:
            reference = read(path)
            produced = [system.estimate(reference) for system in systems]
            measured = [measure(reference, estimate) for estimate, _ in produced]
        except AudioError as error:
            say(f"error: {path}: {error}" if path.parts else f"error: {error}")
            failed = True
            continue
        seconds += reference.seconds
        for system, scores, (_, work) in zip(systems, measured, produced, strict=True):
            system.scores.append(scores)
            system.work += work
            on_scores(system, path, scores)
    return seconds, failed


def score_made(
    folder: Path,
    conditions: Sequence[Condition],
    *,
    named: str,
    systems_for: Callable[[Condition], list[System]],
    read: Callable[[Path, Condition], Any],
    measure: Callable[[Any, Any], dict],
    titles: Mapping[str, str],
    digits: Mapping[str, int],
    as_json: bool,
) -> bool:
    """Score systems on recordings that are made worse in several ways, and print the table or JSON lines.

    Args:
        folder: clean recordings.
        conditions: of each, one row of every system. `named`: their field in JSON.
        systems_for: returns the systems of a condition.
        read: returns the reference made of a file under a condition (see `score_all`, as for `measure`).
        titles: titles of the columns by measure. `digits`: numbers of their decimals, where they are not two.

    Returns whether some file could not be scored.
    """
    files, rows, total, failed = audio_files(folder, recursive=True), list[dict](), 0.0, False
    for condition in conditions:
        systems = systems_for(condition)

        def show(system: System, path: PurePath, scores: dict) -> None:
            if as_json:
                say_json({"system": system.name, named: condition, "file": str(path), **scores})  # noqa: B023 - used up

        read_one = lambda key: read(files[key], condition)  # noqa: B023, E731 - used up
        seconds, some = score_all(systems, sorted(files), read_one, measure, show)
        total, failed = max(total, seconds), failed or some
        rows += rows_of(systems, seconds, titles, **{named: condition})

    def print_rows() -> None:
        cells = lambda row: [f"{row['mean'][n]:.{digits.get(n, 2)}f}" if n in row["mean"] else "" for n in titles]
        title = f"Mean of {count_of(rows[0]['files'], 'file')}, {total:.0f} s"
        print_table(title, list(titles.values()), rows, cells)

    report_rows(rows, print_rows, as_json=as_json)
    return failed


def rows_of(systems: list[System], seconds: float, names: Iterable[str], **facts: object) -> list[dict]:
    """Return a row of means for each system, with the speed of those that compute, or none if no `seconds` were scored.

    `names`: the measures. `facts`: fields that all of these rows share.
    """
    return [
        {"system": s.name, **facts, "files": len(s.scores), "mean": means(s.scores, names)} | s.speed(seconds)
        for s in (systems if seconds else [])
    ]


def means(scores: list[dict[str, float]], names: Iterable[str]) -> dict[str, float]:
    """Return the mean of every measure among `names`, over the files that have it."""
    found = {name: [one[name] for one in scores if name in one] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items() if values}
