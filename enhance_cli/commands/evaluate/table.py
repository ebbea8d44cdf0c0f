"""Score systems on the same recordings, and print the result as a table or as JSON lines."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from enhance_cli.console import count_of, result_json, say, tracked
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.models.spec import Spec

SPEED = "times_real_time"
Condition = TypeVar("Condition", int, float)  # such as the frequency at which recordings are cut

Producer = Callable[[Any], tuple[Any, float]]
"""`produce(reference)`: the estimate and the seconds of computing it, 0 for files that were there."""


@dataclass
class System:
    """Hold one row of the table: a function that makes the estimates, their scores, and the seconds of computing."""

    name: str
    produce: Producer
    scores: list[dict] = field(default_factory=list)
    work: float = 0.0

    def speed(self, seconds: float) -> dict[str, float]:
        """Return the speed in multiples of real time, if anything was computed."""
        return {SPEED: seconds / self.work} if self.work else {}


def computed(model: str, rate: int, counts: Iterable[int], run: Callable, source: Callable) -> list[System]:
    """Return a system for each number of steps: `run(audio (C, N), rate, steps)` on `source(reference)`, timed.

    Each system is run on a second of noise first, so that the costs of a first call do not count for its speed (silence
    would not reach the network). Raises UsageError for steps that the model does not allow.
    """
    import numpy as np

    def producer(steps: int) -> Producer:
        def produce(reference: Any) -> tuple[Any, float]:
            audio, audio_rate = source(reference)
            start = time.perf_counter()
            estimate = run(audio, audio_rate, steps)
            return estimate, time.perf_counter() - start

        return produce

    noise = np.random.default_rng(0).normal(0, 0.1, (1, rate)).astype(np.float32)
    for steps in counts:
        run(noise, rate, steps)
    return [System(f"{model}, {count_of(steps, 'step')}", producer(steps)) for steps in counts]


def step_counts(texts: list[str]) -> list[int]:
    """Return the numbers of steps in the flags `texts`: ["1,2", "5"] gives [1, 2, 5]. Raises UsageError."""
    try:
        return list(dict.fromkeys(int(number) for text in texts for number in text.split(",")))
    except ValueError as error:
        raise UsageError(f"--steps {','.join(texts)} is not a list of whole numbers", "write it like 1,2,5") from error


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


def audio_files(folder: Path, recursive: bool) -> dict[PurePath, Path]:
    """Return the audio in `folder` by relative path without extension, or with it where several differ in it alone.

    Raises UsageError for none.
    """
    from enhance_cli.batch.inputs import expand

    files = {item.relative: Path(item.path) for item in expand([str(folder)], recursive=recursive)}
    short = {name: name.with_suffix("") for name in files}
    count = Counter([*short.values(), *files])
    return {short[name] if count[short[name]] == 1 else name: path for name, path in files.items()}


def read_whole(path: Path) -> "tuple[np.ndarray, int]":
    """Return a file as (C, N) float32, and its rate. Raises AudioError."""
    import numpy as np

    from enhance_cli.audio.read import open_audio

    with open_audio(path) as file:
        return np.concatenate(list(file.blocks()), axis=1).astype(np.float32), file.info.rate


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
            produced = [system.produce(reference) for system in systems]
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


def say_json(value: dict) -> None:
    """Print one line of JSON on stdout, with null for values that are not finite."""

    def finite(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: finite(item) for key, item in x.items()}
        if isinstance(x, list):
            return [finite(item) for item in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    result_json(finite(value))


def print_table(title: str, columns: list[str], rows: list[dict], cells: Callable[[dict], list[str]]) -> None:
    """Print a line for each row: the name of its "system", its cells, and its speed if any row has one."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    speeds = [f"{row[SPEED]:.1f}x" if SPEED in row else "" for row in rows]
    table = Table(title=title, box=SIMPLE, padding=(0, 0))  # ten columns and a name in 80 characters
    table.add_column("", overflow="fold")
    for column in [*columns, "speed"] if any(speeds) else columns:
        table.add_column(column, justify="right")
    for name, row, speed in zip(_labels([row["system"] for row in rows]), rows, speeds, strict=True):
        table.add_row(escape(name), *cells(row), *([speed] if any(speeds) else []))
    Console().print(table)


def means(scores: list[dict[str, float]], names: Iterable[str]) -> dict[str, float]:
    """Return the mean of every measure among `names`, over the files that have it."""
    found = {name: [one[name] for one in scores if name in one] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def rows_of(systems: list[System], seconds: float, names: Iterable[str], **facts: object) -> list[dict]:
    """Return a row of means for each system, with the speed of those that compute, or none if no `seconds` were scored.

    `names`: the measures. `facts`: fields that all of these rows share.
    """
    return [
        {"system": s.name, **facts, "files": len(s.scores), "mean": means(s.scores, names)} | s.speed(seconds)
        for s in (systems if seconds else [])
    ]


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


def numbers(
    text: str, flag: str, kind: type[Condition], lowest: float, highest: float, example: str
) -> list[Condition]:
    """Return the numbers of "5,20", which are the value of a `flag`, as int or float. Raises UsageError."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(lowest <= number <= highest for number in found):
        raise UsageError(f"{flag} {text}: must be numbers from {lowest} to {highest}", f"write it like {example}")
    return found


def report_rows(rows: list[dict], print_rows: Callable[[], None], *, as_json: bool) -> None:
    """Print the rows as JSON lines, or call `print_rows`, which prints them as a table, if there are any."""
    if as_json:
        for row in rows:
            say_json(row)
    elif rows:
        print_rows()


def _labels(names: list[str]) -> list[str]:
    """Return the last parts of folders, if these differ."""
    short = [Path(name).name or name for name in names]
    return short if len(set(short)) == len(names) else names
