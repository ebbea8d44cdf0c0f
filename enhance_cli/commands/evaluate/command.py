"""Run `enhance evaluate`: score cleaned speech or separated stems, or a model that makes them.

Exit code 1 if something could not be scored.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from enhance_cli.commands.evaluate.speech import COUNTS, METRICS, evaluate_speech
from enhance_cli.errors import ExitCode, UsageError
from enhance_cli.flags.running import Device


class Task(str, Enum):
    speech = "speech"
    stems = "stems"
    extend_bandwidth = "extend-bandwidth"
    inpaint = "inpaint"


def evaluate(
    clean: Annotated[
        Path, typer.Argument(metavar="CLEAN", help="Folder of clean originals; for stems, of a folder a recording.")
    ],
    estimates: Annotated[
        list[Path] | None,
        typer.Argument(metavar="ESTIMATES", help="Folders to score, each with files named as in CLEAN."),
    ] = None,
    task: Annotated[Task, typer.Option(help="Kind of the results to score.")] = Task.speech,
    noisy: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Speech: the noisy inputs, a row of its own that others are compared with."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help=f"Speech: {METRICS.replace(',', ', ')}, pause_depth.",
            show_default="all but the last",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Also score this model on the --noisy files, or on the mixes: a name or a .safetensors file."
            " May be given several times.",
        ),
    ] = None,
    steps: Annotated[
        list[str] | None,
        typer.Option(
            "--steps",
            "-n",
            metavar="N,...",
            help="Of every --model, one row each.",
            show_default=f"{','.join(map(str, COUNTS))}; for stems the model's",
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="HZ,...", help="extend-bandwidth: where the recordings are cut.", show_default="4000,8000,12000"
        ),
    ] = None,
    gaps_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS,...", help="inpaint: lengths of the gaps, one table row each.", show_default="5,20,50,100,300"
        ),
    ] = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: every recording, then the means.")] = False,
) -> None:
    """Score cleaned speech, or separated stems, against the originals.

    Higher is better in every column but LSD. With --model, speed is in multiples of real time, without loading.

    Speech: PESQ, ESTOI and SI-SDR compare with the original. OVRL, SIG, BAK and P808 are the parts of DNSMOS, which
    predicts the opinion of listeners. SI-SDR is taken at the rate of the original, the others at 16 kHz. Where
    originals have a band above 8 kHz, two columns are of that band alone: HF, its SI-SDR, and LSD, its log-spectral
    distance in dB.

    Stems: a recording is a folder with mixture.wav (or mix.wav), bass.wav, drums.wav and so on. ESTIMATES has the same
    folders with the extracted stems, as bass.wav or mixture_bass.wav. The columns are SI-SDR improvements in dB: of
    each stem in windows of 4 s where it plays, their mean, the mean with silent stems too as published for Slakh2100
    (msdm), and that of whole recordings. The last is the SDR.

    Bandwidth: CLEAN holds recordings with a full band. They are cut at each --cutoff and extended by each --model. Lower
    is better in all columns: log-spectral distance (LSD) of the whole, of the made band, and of that at the right level,
    difference of the levels of thirds of an octave, and the level added to pauses.

    Inpainting: recordings in CLEAN get a gap every two seconds, of each of the lengths --gaps-ms, which is left silent, filled
    by linear prediction, and by each --model. The columns are the SDR within the gaps and their log-spectral distance (LSD,
    lower is better), the PESQ of the whole, and the level of the filling beside that of the original.
    """
    from enhance_cli.commands.evaluate.bandwidth import evaluate_bandwidth
    from enhance_cli.commands.evaluate.inpainting import evaluate_inpainting
    from enhance_cli.commands.evaluate.inputs import step_counts
    from enhance_cli.commands.evaluate.stems import evaluate_stems

    if steps and not model:
        raise UsageError("--steps needs a model to run", "add --model NAME")
    counts = step_counts(steps) if steps else None
    shared: dict[str, Any] = {"models": model or [], "device": device, "as_json": as_json}
    if cutoff and task is not Task.extend_bandwidth:
        raise UsageError("--cutoff is for --task extend-bandwidth", "leave it out")
    if gaps_ms and task is not Task.inpaint:
        raise UsageError("--gaps-ms is for --task inpaint", "leave it out")
    if task is Task.inpaint:
        _refuse(
            {"--noisy": noisy, "--metrics": metrics, "ESTIMATES": estimates},
            "gaps are filled here, of nothing but CLEAN",
        )
        failed = evaluate_inpainting(clean, gaps_ms, counts=counts, **shared)
    elif task is Task.extend_bandwidth:
        others = {"--noisy": noisy, "--metrics": metrics, "--steps": steps, "ESTIMATES": estimates}
        _refuse(others, "bandwidth is extended here, of nothing but CLEAN")
        failed = evaluate_bandwidth(clean, cutoff, **shared)
    elif task is Task.stems:
        for flag, given in (("--noisy", noisy), ("--metrics", metrics)):
            if given is not None:
                raise UsageError(f"{flag} is for speech, and these are stems", f"leave {flag} out")
        failed = evaluate_stems(clean, estimates or [], counts=counts, **shared)
    else:
        failed = evaluate_speech(clean, estimates or [], noisy=noisy, metrics=metrics, counts=counts, **shared)
    if failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Raise UsageError for a flag that was given in vain."""
    for flag, value in given.items():
        if value:
            raise UsageError(f"{flag}: {why}", f"leave {flag} out")
