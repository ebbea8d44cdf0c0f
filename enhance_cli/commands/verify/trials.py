"""Read the trials of `enhance verify`: a pair, or a list.

A trial is two names, of recordings or of stored embeddings, and in a list whether they are of one speaker.
"""

from dataclasses import dataclass
from pathlib import Path

from enhance_cli.errors import UsageError

TARGETS, OTHERS = {"1", "target", "same", "true"}, {"0", "nontarget", "imp", "impostor", "different", "false"}


@dataclass
class Trials:
    """Hold pairs (K, 2) of indices into `names`, and in `targets` (K,) whether each pair is of one speaker.

    `path`: the file with the list, None for a single pair.
    """

    names: list[str]
    pairs: list[tuple[int, int]]
    targets: list[bool]
    path: Path | None = None


def pair(sides: list[str] | None) -> Trials:
    """Return the one trial of two names. Raises UsageError for another number of them."""
    sides = sides or []
    if len(sides) != 2:
        raise UsageError(f"two recordings are compared, and {len(sides)} given", "name two, or a list with --trials")
    return Trials(list(dict.fromkeys(sides)), [(0, len(set(sides)) - 1)], [])


def listed(path: Path) -> Trials:
    """Return the trials of a list. Raises UsageError for a list that is empty or has a line that is not a trial."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise UsageError(f"{path}: this list cannot be read ({error.strerror})", "check its name") from error
    indices: dict[str, int] = {}
    trials = Trials([], [], [], path)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in (line.split("\t") if "\t" in line else line.split())]
        if len(fields) == 3 and fields[0].lower() not in TARGETS | OTHERS:
            fields = [fields[2], *fields[:2]]  # Kaldi's order
        if len(fields) != 3 or fields[0].lower() not in TARGETS | OTHERS:
            raise UsageError(f"{path}: line {number} is not a trial", "write 1 or 0, then two paths or ids")
        trials.targets.append(fields[0].lower() in TARGETS)
        one, other = (indices.setdefault(name, len(indices)) for name in fields[1:])
        trials.pairs.append((one, other))
    if not trials.pairs:
        raise UsageError(f"{path}: there are no trials in it", "write 1 or 0, then two paths or ids, a line each")
    if len(set(trials.targets)) == 1:
        kind = "one speaker" if trials.targets[0] else "two speakers"
        raise UsageError(f"{path}: all trials are of {kind}", "an error rate needs both kinds")
    trials.names = list(indices)
    return trials
