"""Run `enhance verify`: cosine scores before and after repair, of a pair or of a list of trials.

A list gives equal error rate and detection cost of both, with intervals, and the change that the repair makes.
"""

from pathlib import Path
from typing import Annotated

import typer

from enhance_cli.errors import ExitCode, UsageError
from enhance_cli.flags.embedding import EmbeddingFlags, RepairFlags
from enhance_cli.flags.group import grouped
from enhance_cli.flags.model import ModelName
from enhance_cli.flags.running import Device, Precision, Runtime, RuntimeChoice, Threads, Verbose
from enhance_cli.flags.values import parse_channel


@grouped
def verify(
    sides: Annotated[
        list[str] | None,
        typer.Argument(metavar="A B", help="Two recordings or stored embeddings, or two ids with --vectors."),
    ] = None,
    trials: Annotated[
        Path | None, typer.Option(metavar="LIST", help="Lines such as: 1 a.wav b.wav (1 for one speaker, else 0).")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Embeddings whose ids are named instead of recordings.")
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder that paths in LIST, or A and B, are below.",
            show_default="the current one",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1, max=1, help="Cosine after repair from which on it is one speaker.", show_default="the model's"
        ),
    ] = None,
    uncertain: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Cosines after repair between which that is uncertain.",
            show_default="the model's, about its threshold",
        ),
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="With --trials: draws of speakers for the intervals.")] = 1000,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="With --trials: draw the DET curves.")] = None,
    repairing: RepairFlags = RepairFlags(),
    model: ModelName = None,
    embedding: EmbeddingFlags = EmbeddingFlags(),
    device: Device = "auto",
    precision: Precision = "auto",
    runtime: RuntimeChoice = Runtime.auto,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Results as JSON lines.")] = False,
    verbose: Verbose = False,
) -> None:
    """Compare voices before and after repair: are two of one speaker?

    For two recordings it prints both cosine scores, raw and repaired, and the decision. A model's threshold was found at
    the equal error rate over speech held out of its training, clean and degraded, and is valid for such speech only. For
    other voices, rooms or telephone lines it may be far off. Find your own threshold with --trials on pairs of known
    speakers, and use it with --threshold and --uncertain. Scores are uncertain from the 5 % quantile of pairs of one
    speaker to the 95 % quantile of pairs of two speakers.

    With --trials it prints the equal error rate (EER), the detection cost (minDCF, at a share of 5 % targets), the
    threshold at the EER and the uncertain range, raw and repaired. EER and minDCF have 95 % intervals from a bootstrap
    over speakers. Files that cannot be read are named and left out, and the exit code is 1.
    """
    from enhance_cli.commands.verify.decision import decide, rule
    from enhance_cli.commands.verify.embeddings import files_named, in_files, in_store
    from enhance_cli.commands.verify.error_rates import report_error_rates
    from enhance_cli.commands.verify.trials import listed, pair
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec
    from enhance_cli.resources import Resources
    from enhance_cli.tasks.loading import load_embedding_pipeline
    from enhance_cli.tasks.options import EmbedOptions, PipelineOptions, RepairOptions

    _refuse_misuse(trials, sides, plot, decides=threshold is not None or uncertain is not None)
    wanted = listed(trials) if trials else pair(sides)
    entry = registry.find(model, "enhance-embedding")
    spec = read_spec(entry.path)
    by = None if trials else rule(threshold, uncertain, spec)
    if vectors:
        found = in_store(vectors, wanted.names, trials)
    else:
        paths = files_named(wanted.names, root, trials)
    repair = RepairOptions(repairing.time, repairing.steps, repairing.draws, repairing.seed, repairing.ensemble)
    embed = EmbedOptions(embedding.segment, embedding.vad, channel=parse_channel(embedding.channel))
    options = PipelineOptions(repair, embedding.extractor, embed)
    pipeline, _ = load_embedding_pipeline(entry, options, Resources(device, precision, threads, runtime.value))
    if not vectors:
        found = in_files(paths, pipeline)
    raw, repaired, missing = found.repaired(pipeline, wanted.names)
    if not trials:
        if missing:
            raise typer.Exit(ExitCode.SOME_FAILED)
        decide(wanted, raw, repaired, by, model=spec.name, json=json)
        return
    report_error_rates(wanted, raw, repaired, missing, draws=bootstrap, seed=repairing.seed, plot=plot, json=json)
    if missing:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _refuse_misuse(trials: Path | None, sides: list[str] | None, plot: Path | None, *, decides: bool) -> None:
    """Raise UsageError for flags that exclude each other. `decides`: whether some about the decision are given."""
    if trials and sides:
        raise UsageError("--trials and a pair cannot be given together", "leave one of them out")
    if trials and decides:
        raise UsageError("--threshold and --uncertain decide a pair, and --trials finds them", "leave them out")
    if plot and not trials:
        raise UsageError("--plot draws the curves of a list", "give one with --trials")
    if plot and plot.suffix.lower() != ".png":
        raise UsageError(f"--plot {plot}: pictures are PNG", f"write {plot.with_suffix('.png')}")
