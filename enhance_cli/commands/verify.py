"""`enhance verify`: are two voices one? Cosine scores before and after repair, of a pair or of a list of trials.

A list gives equal error rate and detection cost of both, with intervals, and the change that the repair makes.
"""

import json as json_module
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enhance_cli import flags
from enhance_cli.console import result, say, talk
from enhance_cli.errors import AudioError, EnhanceError, UsageError, VectorError

if TYPE_CHECKING:
    import numpy as np

TARGETS, OTHERS = {"1", "target", "same", "true"}, {"0", "nontarget", "imp", "impostor", "different", "false"}


@dataclass
class Trials:
    """Pairs (K, 2) of places in `names`, and which of them are of one speaker (K,)."""

    names: list[str]
    pairs: list[tuple[int, int]]
    targets: list[bool]


def verify(
    sides: Annotated[
        list[str] | None, typer.Argument(metavar="A B", help="Two recordings, or two ids with --vectors.")
    ] = None,
    trials: Annotated[
        Path | None, typer.Option(metavar="LIST", help="Lines with 1 or 0 (one speaker or not), and two paths or ids.")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Stored embeddings that the ids are of, instead of recordings.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the paths.", show_default="the current one")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1, max=1, help="Cosine after repair from which on it is one speaker.", show_default="the model's"
        ),
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="With --trials: draws of speakers for the intervals.")] = 1000,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="With --trials: draw the DET curves.")] = None,
    steps: flags.RepairSteps = None,
    time: flags.Time = None,
    draws: flags.Draws = 0,
    seed: flags.Seed = 0,
    ensemble: flags.Ensemble = None,
    model: flags.ModelName = None,
    extractor: flags.Extractor = None,
    vad: flags.VoiceActivity = False,
    segment: flags.Segment = None,
    device: flags.Device = "auto",
    precision: flags.Precision = "auto",
    threads: flags.Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Results as JSON lines.")] = False,
    verbose: flags.Verbose = False,
) -> None:
    """Compare voices before and after repair.

    Of two recordings: both cosine scores and the decision. With --trials: equal error rate (EER), detection cost (minDCF,
    at a share of 5 % targets) and the threshold at the EER, each with its 95 % interval from drawing speakers anew.
    """
    from enhance_cli.models import registry

    if trials and sides:
        raise UsageError("--trials and a pair are two tasks", "give one of them")
    wanted = _listed(trials) if trials else _pair(sides)
    if plot and not trials:
        raise UsageError("--plot draws the curves of a list", "give one with --trials")
    entry = registry.find(model, "enhance-embedding")
    read = _store(vectors, wanted, trials) if vectors else _files(root, wanted, trials)
    options = {"time": time, "steps": steps, "draws": draws, "seed": seed, "ensemble": ensemble}
    speakers = _load(entry, (device, precision, threads), options, extractor, {"segment": segment, "vad": vad})
    raw, repaired, missing = _embed(read, speakers, wanted.names)
    if not trials:
        if missing:
            raise typer.Exit(1)
        _decide(wanted, raw, repaired, threshold, speakers.repairer.model.spec, json)
        return
    _score(wanted, raw, repaired, missing, bootstrap, seed, plot, json)
    if missing:
        raise typer.Exit(1)


# --- what is compared -----------------------------------------------------------------------------------------


def _pair(sides: list[str] | None) -> Trials:
    if len(sides or []) != 2:
        raise UsageError(f"there are {len(sides or [])} voices to compare", "name two, or a list with --trials")
    return Trials(list(dict.fromkeys(sides)), [(0, len(set(sides)) - 1)], [])


def _listed(path: Path) -> Trials:
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


def _store(path: Path, wanted: Trials, listing: Path | None) -> Callable:
    """read(name) -> (row, extractor id or None, file). Raises UsageError for an id that is not there."""
    from enhance_cli.vectors import read

    stored = read(path)
    places = {name: place for place, name in enumerate(stored.ids)}
    unknown = [name for name in wanted.names if name not in places]
    if unknown:
        raise _missing(unknown, listing, f"is not in {path}")
    return lambda name: (stored.rows[places[name]], stored.extractor, str(path))


def _files(root: Path | None, wanted: Trials, listing: Path | None) -> Callable:
    """The same for recordings and for files of one stored embedding. Raises UsageError for one that is not there."""
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


# --- scores -----------------------------------------------------------------------------------------------------


def _load(entry, places: tuple, options: dict, extractor: str | None, embedding: dict):
    """torch is imported here."""
    from enhance_cli.models.device import pick_device, pick_precision, set_threads
    from enhance_cli.models.load import load_file
    from enhance_cli.tasks.embed import EmbedOptions
    from enhance_cli.tasks.repair import RepairOptions
    from enhance_cli.tasks.speakers import Speakers

    device, precision, threads = places
    set_threads(threads)
    place = pick_device(device)
    loaded = load_file(entry.path, place, pick_precision(precision, place), entry.sha256)
    return Speakers(loaded, RepairOptions(**options), extractor, EmbedOptions(**embedding))


def _embed(read: Callable, speakers, names: list[str]) -> "tuple[np.ndarray, np.ndarray, set[int]]":
    """Unit vectors (K, D) before and after, and the places of those that could not be had, each said why."""
    import numpy as np
    from rich.progress import track

    rows = np.zeros((len(names), speakers.repairer.dimension), np.float32)
    missing, makers = set(), {}
    hidden = not talk().is_terminal
    for place, name in enumerate(track(names, "Embedding", console=talk(), transient=True, disable=hidden)):
        try:
            found = read(name)
            if isinstance(found, Path):
                rows[place] = speakers.embed_file(found)[0]
                continue
            row, maker, what = found
            if maker:
                makers[maker] = what
            if row.size != rows.shape[1]:
                speakers.repair(row[None], maker, what)  # says that it is another dimension
            rows[place] = row
        except AudioError as error:
            say(f"error: {error}")
            missing.add(place)
    if len(makers) > 1:
        said = " and ".join(f"{what} of {maker}" for maker, what in list(makers.items())[:2])
        raise VectorError(f"these are embeddings of different extractors: {said}", "compare those of one")
    repaired, unusable = speakers.repair(rows, next(iter(makers), None), next(iter(makers.values()), "the embeddings"))
    for place in sorted(set(np.flatnonzero(unusable).tolist()) - missing):
        say(f"error: {names[place]}: the embedding is zero or not finite: embed it anew")
        missing.add(place)
    return _unit(rows), _unit(repaired), missing


def _unit(rows: "np.ndarray") -> "np.ndarray":
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def _decide(wanted: Trials, raw, repaired, threshold: float | None, spec, json: bool) -> None:
    """Print one pair's scores, and the decision if a threshold is known."""
    a, b = wanted.pairs[0]
    scores = {"raw": float(raw[a] @ raw[b]), "repaired": float(repaired[a] @ repaired[b])}
    threshold = spec.training.get("threshold") if threshold is None else threshold
    same = None if threshold is None else scores["repaired"] >= threshold
    if json:
        names = {"a": wanted.names[a], "b": wanted.names[b]}
        result(json_module.dumps(names | scores | {"threshold": threshold, "same": same, "model": spec.name}))
        return
    said = "  ".join(f"{name} {score:.4f}" for name, score in scores.items())
    if same is None:
        result(said)
        say(f"{spec.name} states no threshold: give one with --threshold; --trials finds one")
    else:
        result(f"{said}  threshold {threshold:.4f}  {'the same speaker' if same else 'different speakers'}")


def _score(wanted: Trials, raw, repaired, missing: set[int], draws: int, seed: int, plot, json: bool) -> None:
    import numpy as np

    from enhance_cli.metrics import eer, min_dcf
    from enhance_cli.metrics.trials import FEWEST, Sorted, bootstrap, interval, speakers

    pairs, targets = np.array(wanted.pairs), np.array(wanted.targets)
    kept = ~np.isin(pairs, sorted(missing)).any(axis=1)
    pairs, targets = pairs[kept], targets[kept]
    if missing:
        say(f"{int((~kept).sum())} of {len(kept)} trials are left out")
    cosines = {
        name: np.einsum("kd,kd->k", v[pairs[:, 0]], v[pairs[:, 1]])
        for name, v in (("raw", raw), ("repaired", repaired))
    }
    systems = {name: Sorted(scores, targets) for name, scores in cosines.items()}
    rows = []
    for name, scores in cosines.items():
        rate, threshold = eer.score(scores, targets)
        row = {"system": name, "trials": len(targets), "targets": int(targets.sum()), "eer": rate}
        rows.append(row | {"min_dcf": min_dcf.score(scores, targets), "threshold": threshold})
    if rows[0]["eer"] > 0:
        rows[1]["eer_change"] = rows[1]["eer"] / rows[0]["eer"] - 1
    sides = speakers(pairs, targets)
    voices = len(np.unique(sides))
    if draws and voices < FEWEST:
        say(f"no intervals: they take {FEWEST} speakers, and these trials tell of {voices}")
    elif draws:
        measure = lambda *rates: (eer.rate(*rates), min_dcf.cost(*rates))
        drawn = bootstrap(list(systems.values()), measure, sides, draws, seed)
        for place, row in enumerate(rows):
            row["eer_interval"], row["min_dcf_interval"] = (interval(drawn[:, place, which]) for which in (0, 1))
        if (drawn[:, 0, 0] > 0).all():
            rows[1]["eer_change_interval"] = interval(drawn[:, 1, 0] / drawn[:, 0, 0] - 1)
    if plot:
        _plot(systems, plot)
    if json:
        for row in rows:
            result(json_module.dumps(row))
    else:
        _print_table(rows)


def _plot(systems: dict, plot: Path) -> None:
    from enhance_cli.batch.atomic import atomic
    from enhance_cli.metrics.det import draw

    try:
        with atomic(plot) as part:
            draw(systems, part)
    except OSError as error:
        raise EnhanceError(
            f"{plot}: the picture cannot be written ({error.strerror})", "choose another place"
        ) from error


def _print_table(rows: list[dict]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{rows[0]['trials']} trials, {rows[0]['targets']} of one speaker", box=SIMPLE, padding=(0, 0, 0, 1)
    )
    for title in ("", "EER %", "minDCF", "threshold"):
        table.add_column(title, justify="right" if title else "left")
    for row in rows:
        cells = [f"{100 * row['eer']:.2f}", f"{row['min_dcf']:.3f}"]
        if "eer_interval" in row:
            cells[0] += "\n[dim]{:.2f} to {:.2f}[/]".format(*(100 * x for x in row["eer_interval"]))
            cells[1] += "\n[dim]{:.3f} to {:.3f}[/]".format(*row["min_dcf_interval"])
        table.add_row(row["system"], *cells, f"{row['threshold']:.4f}")
    Console().print(table)
    if "eer_change" in rows[1]:
        change = f"repair changes the EER by {rows[1]['eer_change']:+.1%}"
        if "eer_change_interval" in rows[1]:
            change += " ({:+.1%} to {:+.1%})".format(*rows[1]["eer_change_interval"])
        result(change)
