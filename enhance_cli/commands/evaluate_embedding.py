"""Run `enhance evaluate-embedding`: equal error rates of the same recordings, clean and degraded in several ways.

They are those of raw and of repaired embeddings, of both averaged, and of the recordings denoised first.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enhance_cli.console import result, result_json, say, tracked
from enhance_cli.errors import UsageError
from enhance_cli.flags.embedding import Extractor
from enhance_cli.flags.model import ModelName
from enhance_cli.flags.running import Device, Threads

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.tasks.repair import Repairer


def evaluate_embedding(
    speech: Annotated[
        list[Path],
        typer.Argument(metavar="SPEECH", help="Folders that hold a folder of recordings for every speaker."),
    ],
    noise: Annotated[list[Path], typer.Option(metavar="FOLDER", help="Folder of noises to add; may be given again.")],
    music: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of music to add; may be given again; without it, other voices take its place.",
        ),
    ] = None,
    model: ModelName = None,
    extractor: Extractor = None,
    ensemble: Annotated[
        float, typer.Option(min=0, max=1, help="Weight of the raw embedding in the row of both.")
    ] = 0.5,
    denoiser: Annotated[
        str | None, typer.Option(help="Also denoise the recordings with this model, and embed that.")
    ] = None,
    rooms: Annotated[int, typer.Option(min=1, help="How many rooms to simulate.")] = 60,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Where decoded audio, rooms and embeddings are kept.",
            show_default="evaluate-embedding in the folder of pulled models",
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
) -> None:
    """Measure how well speakers are told apart before and after repair.

    Prints equal error rates (EER) in percent, lower is better, and their change against raw. With ten or more speakers,
    there are 95 % intervals from a bootstrap over speakers. In the row "noise" both recordings of a trial are noisy, in
    "clean-noise" one of them, and in "crossed" they are degraded in different ways. "degraded" is the mean of all rows
    except "clean".
    """
    _refuse_missing(SPEECH=speech, **{"--noise": noise, "--music": music or []})
    kept = _folder_for(cache)
    from enhance_cli.models import registry

    entry = registry.find(model, "enhance-embedding")  # before torch is imported, which takes seconds
    if denoiser:
        registry.find(denoiser, "denoise")
    from enhance_cli.data.repair_test_set import RATE, RepairTestSet
    from enhance_cli.models.device import pick_device, set_threads
    from enhance_cli.models.load import load_file
    from enhance_cli.tasks.embed import Embedder
    from enhance_cli.tasks.embedding_pipeline import extractor_for
    from enhance_cli.tasks.repair import Repairer, RepairOptions

    set_threads(threads)
    chosen = pick_device(device)
    loaded = load_file(entry.path, chosen, sha256=entry.sha256)
    repairer, both = (Repairer(loaded, RepairOptions(ensemble=share)) for share in (0.0, ensemble))
    network = extractor_for(repairer, extractor)
    repairer.check_extractor(network.id)
    embedder, clean_up = Embedder(network), _denoiser(denoiser, RATE)
    recordings = RepairTestSet(speech, noise, music or [], rooms, kept, say)
    with_bar = lambda items: tracked(items, "Embedding")
    raw = recordings.vectors(network.id, lambda wave: embedder.embed(wave[None], RATE), with_bar)
    systems = {"raw": raw, "repaired": _apply(repairer, raw), f"both, {ensemble:g} raw": _apply(both, raw)}
    if clean_up:
        embed = lambda wave: embedder.embed(clean_up(wave)[None], RATE)
        systems["denoised"] = recordings.vectors(f"{network.id} after {denoiser}", embed, with_bar)
        systems["denoised, repaired"] = _apply(repairer, systems["denoised"])
    _report(systems, recordings.speakers, recordings.conditions, as_json=as_json)


def _report(systems: "dict[str, np.ndarray]", speakers: list[str], conditions: Sequence[str], *, as_json: bool) -> None:
    """Print the error rates of the embeddings of each system as a table, or as JSON lines."""
    from enhance_cli.metrics import condition_eer
    from enhance_cli.metrics.trials import too_few

    rates = {name: condition_eer.error_rates(vectors, speakers, conditions) for name, vectors in systems.items()}
    cosines = {name: condition_eer.target_cosines(vectors, speakers, conditions) for name, vectors in systems.items()}
    few = too_few(len(set(speakers)))
    if few:
        say(few)
    rows = _rows(rates, None if few else condition_eer.intervals(systems, speakers, conditions), cosines)
    if as_json:
        for row in rows:
            result_json(row)
    else:
        _print_table(
            rows, list(systems), f"Equal error rate in %, {len(speakers)} recordings of {len(set(speakers))} speakers"
        )
        _print_cosines(rows)


def _refuse_missing(**folders: list[Path]) -> None:
    """Raise UsageError for a folder of a flag that does not exist or has no file below it."""
    for flag, named in folders.items():
        for folder in named:
            if not folder.is_dir():
                raise UsageError(f"{flag} {folder}: no such folder", "check its name")
            if not any(path.is_file() for path in folder.rglob("*")):
                raise UsageError(f"{flag} {folder}: there is no file in this folder", "name one that holds recordings")


def _folder_for(cache: Path | None) -> Path:
    """Return the folder given with --cache, or the default one, and create it. Raises UsageError."""
    from enhance_cli.models.hub.folders import home

    folder = cache or home() / "evaluate-embedding"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder}: nothing can be kept there ({error.strerror})", "give a folder with --cache"
        ) from error
    return folder


def _denoiser(name: str | None, rate: int) -> "Callable[[np.ndarray], np.ndarray] | None":
    from enhance_cli import denoise, load_model

    if name is None:
        return None
    model = load_model(name)
    return lambda wave: denoise(wave, rate, model=model)


def _apply(repairer: "Repairer", vectors: "np.ndarray") -> "np.ndarray":
    """Repair (utterances, conditions, D)."""
    return repairer.repair(vectors.reshape(-1, vectors.shape[-1])).reshape(vectors.shape)


def _rows(rates: dict[str, dict], drawn: dict[str, dict] | None, cosines: dict[str, dict]) -> list[dict]:
    """Return one row for each condition and system.

    A row has the error rate, its change against raw in percent, intervals of both if there are bootstrap draws, and the
    mean cosine of trials of one speaker. "cosine_only" is true if that cosine rises while the error rate does not fall.
    """
    import numpy as np

    rows = []
    for condition, before in rates["raw"].items():
        for system in rates:
            row = {"condition": condition, "system": system, "eer": rates[system][condition]}
            row["cosine"] = cosines[system][condition]
            if system != "raw" and before:
                row["change"] = round(100 * (rates[system][condition] / before - 1), 1)
            if drawn:
                draws, base = drawn[system][condition], drawn["raw"][condition]
                row["interval"] = np.percentile(draws, [2.5, 97.5]).round(2).tolist()
                if "change" in row:
                    change = 100 * (draws / np.maximum(base, 1e-9) - 1)[base > 0]
                    row["change_interval"] = np.percentile(change, [2.5, 97.5]).round(1).tolist()
            if system != "raw":
                row["cosine_only"] = bool(row["cosine"] > cosines["raw"][condition] and row["eer"] >= before)
            rows.append(row)
    return rows


def _print_table(rows: list[dict], systems: list[str], title: str) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=SIMPLE, padding=(0, 0, 0, 1))
    table.add_column("", min_width=max(len(row["condition"]) for row in rows))
    for system in systems:
        table.add_column(system, justify="right")
    for condition in dict.fromkeys(row["condition"] for row in rows):
        cells = []
        for row in (row for row in rows if row["condition"] == condition):
            change = f" {row['change']:+.0f} %" if "change" in row else ""
            interval = "\n[dim]{:.1f} to {:.1f}[/]".format(*row["interval"]) if "interval" in row else ""
            cells.append(f"{row['eer']:.1f}{change}{interval}")
        table.add_row(condition, *cells)
    Console().print(table)


def _print_cosines(rows: list[dict]) -> None:
    """Report systems that make one speaker's embeddings more alike and yet do not tell speakers apart better."""
    raw = {row["condition"]: row for row in rows if row["system"] == "raw"}
    for row in rows:
        if row.get("cosine_only"):
            before = raw[row["condition"]]
            result(
                f"{row['system']}, {row['condition']}: cosines of one speaker rise from {before['cosine']:.3f} to "
                f"{row['cosine']:.3f}, the EER does not fall ({before['eer']:.2f} to {row['eer']:.2f} %)"
            )
