"""What `enhance verify` compares: a pair or a list of trials, and where the embeddings that they name come from.

A trial is two names, of recordings or of stored embeddings, and in a list whether they are of one speaker.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enhance_cli.errors import UsageError, VectorError

TARGETS, OTHERS = {"1", "target", "same", "true"}, {"0", "nontarget", "imp", "impostor", "different", "false"}


@dataclass
class Trials:
    """Pairs (K, 2) of places in `names`, and which of them are of one speaker (K,)."""

    names: list[str]
    pairs: list[tuple[int, int]]
    targets: list[bool]


def pair(sides: list[str] | None) -> Trials:
    """The one trial of two names. Raises UsageError for another number of them."""
    if len(sides or []) != 2:
        raise UsageError(f"there are {len(sides or [])} voices to compare", "name two, or a list with --trials")
    return Trials(list(dict.fromkeys(sides)), [(0, len(set(sides)) - 1)], [])


def listed(path: Path) -> Trials:
    """Raises UsageError for a list that is empty or has a line that is not a trial."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise UsageError(f"{path}: this list cannot be read ({error.strerror})", "check its name") from error
    places: dict[str, int] = {}
    trials = Trials([], [], [])
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in (line.split("\t") if "\t" in line else line.split())]
        if len(parts) == 3 and parts[0].lower() not in TARGETS | OTHERS:
            parts = [parts[2], *parts[:2]]  # Kaldi's order
        if len(parts) != 3 or parts[0].lower() not in TARGETS | OTHERS:
            raise UsageError(f"{path}: line {number} is not a trial", "write 1 or 0, then two paths or ids")
        trials.targets.append(parts[0].lower() in TARGETS)
        trials.pairs.append(tuple(places.setdefault(name, len(places)) for name in parts[1:]))
    if not trials.pairs:
        raise UsageError(f"{path}: there are no trials in it", "write 1 or 0, then two paths or ids, a line each")
    if len(set(trials.targets)) == 1:
        kind = "one speaker" if trials.targets[0] else "two speakers"
        raise UsageError(f"{path}: all trials are of {kind}", "an error rate needs both kinds")
    trials.names = list(places)
    return trials


def in_store(path: Path, wanted: Trials, listing: Path | None) -> Callable:
    """read(name) -> (row, extractor id or None, file). Raises UsageError for an id that is not there."""
    from enhance_cli.vectors import read

    stored = read(path)
    places = {name: place for place, name in enumerate(stored.ids)}
    unknown = [name for name in wanted.names if name not in places]
    if unknown:
        raise _missing(unknown, listing, f"is not in {path}")
    return lambda name: (stored.rows[places[name]], stored.extractor, str(path))


def in_files(root: Path | None, wanted: Trials, listing: Path | None) -> Callable:
    """read(name) -> the path of a recording, or of a file of one stored embedding what `in_store` gives. Raises UsageError for
    one that is not there."""
    from enhance_cli.vectors import form_of, read

    folder = root or Path()
    unknown = [name for name in wanted.names if not (folder / name).is_file()]
    if unknown:
        raise _missing(unknown, listing, "does not exist")

    def get(name: str):
        path = folder / name
        if form_of(path) is None:
            return path
        stored = read(path)
        if len(stored.rows) > 1:
            raise VectorError(
                f"{path}: holds {len(stored.rows)} embeddings", "choose two of them with --vectors FILE ID ID"
            )
        return stored.rows[0], stored.extractor, str(path)

    return get


def _missing(names: list[str], listing: Path | None, why: str) -> UsageError:
    more = f", as {len(names) - 1} more" if len(names) > 1 else ""
    where = f"{listing}: " if listing else ""
    return UsageError(f"{where}{names[0]} {why}{more}", "check the names, or --root and --vectors")
