"""Print `enhance verify` of a list: error rates with their intervals, and the threshold to decide a pair by.

All are given twice, for the embeddings as they were and as repaired: unit vectors (K, D) each.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from enhance_cli.console import result, result_json, say
from enhance_cli.errors import EnhanceError

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.commands.verify.trials import Trials
    from enhance_cli.metrics.trials import SortedTrials


def report_error_rates(
    wanted: "Trials",
    raw: "np.ndarray",
    repaired: "np.ndarray",
    missing: set[int],
    *,
    draws: int,
    seed: int,
    plot: Path | None,
    json: bool,
) -> None:
    """Print error rates and costs of the list before and after repair, without the trials of `missing` names.

    Raises EnhanceError if too few trials are left.
    """
    import numpy as np

    from enhance_cli.metrics.trials import SortedTrials, speakers, too_few

    pairs, targets = np.array(wanted.pairs), np.array(wanted.targets)
    kept: np.ndarray = ~np.any(np.isin(pairs, sorted(missing)), axis=1)
    pairs, targets = pairs[kept], targets[kept]
    if missing:
        say(f"{int((~kept).sum())} of {len(kept)} trials are left out")
        if len(set(targets.tolist())) < 2:
            kind = "one speaker" if targets.all() else "two speakers"
            left = f"all trials that are left are of {kind}" if len(targets) else "no trial is left"
            raise EnhanceError(f"{wanted.path}: {left}", "fix the files named above, or list others")
    cosines = {
        name: np.einsum("kd,kd->k", v[pairs[:, 0]], v[pairs[:, 1]])
        for name, v in (("raw", raw), ("repaired", repaired))
    }
    systems = {name: SortedTrials(scores, targets) for name, scores in cosines.items()}
    sides = speakers(pairs, targets)
    few = too_few(len(np.unique(sides)))
    rows = [_row(name, scores, targets, with_range=not few) for name, scores in cosines.items()]
    if rows[0]["eer"] > 0:
        rows[1]["eer_change"] = rows[1]["eer"] / rows[0]["eer"] - 1
    if draws and few:
        say(few)
    elif draws:
        _add_intervals(rows, list(systems.values()), sides, draws, seed)
    if plot:
        _plot(systems, plot)
    if json:
        for row in rows:
            result_json(row)
    else:
        _print_table(rows)


def _row(system: str, scores: "np.ndarray", targets: "np.ndarray", *, with_range: bool) -> dict[str, Any]:
    """Return the error rates of the `scores` (K,) of one system. `targets`: (K,), True for pairs of one speaker."""
    from enhance_cli.metrics import eer, min_dcf
    from enhance_cli.metrics.trials import uncertain_range

    rate, threshold = eer.score(scores, targets)
    return {
        "system": system,
        "trials": len(targets),
        "targets": int(targets.sum()),
        "eer": rate,
        "target_cosine": round(float(scores[targets].mean()), 4),
        "min_dcf": min_dcf.score(scores, targets),
        "threshold": threshold,
        "uncertain_range": uncertain_range(scores, targets) if with_range else None,
    }


def _add_intervals(
    rows: list[dict[str, Any]], systems: "list[SortedTrials]", sides: "np.ndarray", draws: int, seed: int
) -> None:
    """Add 95 % intervals of the error rates to the rows of the systems, by a bootstrap over speakers."""
    from enhance_cli.metrics import eer, min_dcf
    from enhance_cli.metrics.trials import bootstrap, interval

    measure = lambda *rates: (eer.rate(*rates), min_dcf.cost(*rates))
    drawn = bootstrap(systems, measure, sides, draws, seed)
    for system, row in enumerate(rows):
        row["eer_interval"], row["min_dcf_interval"] = (interval(drawn[:, system, which]) for which in (0, 1))
    if (drawn[:, 0, 0] > 0).all():
        rows[1]["eer_change_interval"] = interval(drawn[:, 1, 0] / drawn[:, 0, 0] - 1)


def _plot(systems: dict, plot: Path) -> None:
    from enhance_cli.batch.safety.atomic import atomic
    from enhance_cli.metrics.det import draw

    try:
        with atomic(plot) as unfinished:
            draw(systems, unfinished)
    except OSError as error:
        raise EnhanceError(
            f"{plot}: the picture cannot be written ({error.strerror})", "choose another file"
        ) from error


def _print_table(rows: list[dict]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{rows[0]['trials']} trials, {rows[0]['targets']} of one speaker", box=SIMPLE, padding=(0, 0, 0, 1)
    )
    for title in ("", "EER %", "minDCF", "threshold", "uncertain"):
        table.add_column(title, justify="right" if title else "left")
    for row in rows:
        cells = [f"{100 * row['eer']:.2f}", f"{row['min_dcf']:.3f}"]
        if "eer_interval" in row:
            cells[0] += "\n[dim]{:.2f} to {:.2f}[/]".format(*(100 * x for x in row["eer_interval"]))
            cells[1] += "\n[dim]{:.3f} to {:.3f}[/]".format(*row["min_dcf_interval"])
        doubt = "{:.4f} to {:.4f}".format(*row["uncertain_range"]) if row["uncertain_range"] else "-"
        table.add_row(row["system"], *cells, f"{row['threshold']:.4f}", doubt)
    Console().print(table)
    if "eer_change" in rows[1]:
        change = f"repair changes the EER by {rows[1]['eer_change']:+.1%}"
        if "eer_change_interval" in rows[1]:
            change += " ({:+.1%} to {:+.1%})".format(*rows[1]["eer_change_interval"])
        result(change)
    cosines = [row["target_cosine"] for row in rows]
    if cosines[1] > cosines[0] and rows[1]["eer"] >= rows[0]["eer"]:
        said = "cosines of one speaker rise from {:.3f} to {:.3f}, the EER does not fall ({:.2f} to {:.2f} %)"
        result(said.format(*cosines, *(100 * row["eer"] for row in rows)))
