"""Run `enhance models`: list, show, locate, fetch, convert, export and check models."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from enhance_cli.console import result, result_json, say, transfer
from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models.convert import CONVERTERS

models = typer.Typer(help="List, show, fetch, convert, export and check models.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        help="Name of a model, path of a .safetensors or .onnx file, address of one, or hub:OWNER/REPO/FILE."
    ),
]
Known = Annotated[str, typer.Argument(help="Name of a published model; see `enhance models list`.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per model.")]
Half = Annotated[bool, typer.Option("--half", help="Keep the weights in 16 bits: half the size.")]


def _known_converter(name: str) -> str:
    if name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, FORMATS))}.")
    return name


FORMATS = ("auto", *CONVERTERS)
Format = Annotated[
    str,
    typer.Option(
        "--from", metavar=f"<{'|'.join(FORMATS)}>", callback=_known_converter, help="The program that wrote it."
    ),
]


@models.command("list")
def list_models(
    task: Annotated[str | None, typer.Option(help="Only models for this task, such as denoise.")] = None,
    json: Json = False,
) -> None:
    """List all known models with rate, size, license of the weights, speed, steps, place and use. Asks no network."""
    from enhance_cli.commands.model_table import row_of, table
    from enhance_cli.models.registry import entries, published

    known = [*entries(), *published()]
    tasks = sorted({entry.task for entry in known})
    if task not in (None, *tasks):
        raise UsageError(f"--task {task}: must be one of {', '.join(tasks)}", "leave it out for all")
    rows = [row_of(entry) for entry in known if task in (None, entry.task)]
    if json:
        for row in rows:
            result_json(row)
        return
    for line in table(rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        result(line)
    if any(row["restriction"] for row in rows):
        say("(!) restricted: `enhance models show NAME` says how")
    say("steps: the default is in brackets")
    say(
        "CPU: quick is 10 times real time or more on one core, fair real time, slow a tenth of it, GPU less, - not measured"
    )


@models.command()
def show(name: Name) -> None:
    """Print the whole header of a model as JSON: network, steps, samplers, training data, metrics, provenance, and its size.

    Of a published model that is not here yet, it prints the known facts, and the unknown ones that the first pull will
    pin.
    """
    from dataclasses import asdict

    from enhance_cli.commands.model_table import row_of
    from enhance_cli.models import registry
    from enhance_cli.models.spec import read_spec

    for entry in registry.published():
        if entry.name == name and not entry.path.is_file():
            known = row_of(entry)
            if entry.source:
                known |= {key: value for key, value in asdict(entry.source).items() if value is not None}
                known["not_known"] = entry.source.not_known
            result_json(known, indent=2)
            return
    here = registry.find(name, None).path
    result_json({**asdict(read_spec(here)), "bytes": here.stat().st_size}, indent=2)


@models.command()
def path(name: Name) -> None:
    """Print the path of a model's file."""
    from enhance_cli.models.registry import find

    result(str(find(name, None).path))


@models.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Published models; see `enhance models list`.")],
    delete_original: Annotated[
        bool, typer.Option("--delete-original", help="Keep only the converted model, not the downloaded file.")
    ] = False,
    half: Half = False,
) -> None:
    """Download published models, check them, and convert them once. Models that are here already are left alone."""
    from enhance_cli.models.hub.pull import pull as run

    for name in names:
        with transfer(name) as progress:
            where = run(name, say, progress, delete_original, half)
        result(str(where))


@models.command()
def remove(
    name: Known,
    forget: Annotated[
        bool, typer.Option("--forget", help="Also forget the pinned SHA-256, so that a changed file is trusted again.")
    ] = False,
) -> None:
    """Delete a pulled model. Models that ship with the program stay."""
    from enhance_cli.models.hub.pull import remove as run

    for gone in run(name, forget):
        say(f"removed {gone}")


@models.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A checkpoint of another program.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors file to write.")],
    source: Format = "auto",
    licence: Annotated[
        str, typer.Option("--license", "--licence", help="License of the weights, for the header.")
    ] = "unknown",
    half: Half = False,
    extractor: Annotated[
        str | None,
        typer.Option(help="Id of the speaker embeddings that the model makes or repairs, if it is not known."),
    ] = None,
) -> None:
    """Turn a checkpoint of another program into a model file. Nothing in the checkpoint is ever executed."""
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: a model file ends in .safetensors", f"write {output.with_suffix('.safetensors')}")
    if not file.is_file():
        raise ModelError(f"{file}: no such file", "check the path")
    from enhance_cli.models.convert.file import convert_file

    spec = convert_file(file, output.stem, output, converter=source, licence=licence, half=half, extractor_id=extractor)
    process = f"embeddings {spec.extractor_id}" if spec.extractor else spec.process
    say(f"{output.stem}: {spec.network}, {process}, {spec.sample_rate} Hz")
    result(str(output))


@models.command()
def export(
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .onnx file to write.", show_default="NAME.onnx in the current folder"),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Numbers of steps it allows.", show_default="all of the model's"),
    ] = None,
) -> None:
    """Write a model as one .onnx file, for `--model` and for other programs.

    The outputs of its networks are compared with those of torch. Needs the extra onnx.
    """
    from enhance_cli.models import registry

    try:
        counts = [int(count) for count in steps.split(",")] if steps else []
    except ValueError:
        raise UsageError(
            f"--steps {steps}: must be numbers with commas between", "use for example --steps 1,2"
        ) from None
    entry = registry.find(name, None)
    output = output or Path(f"{entry.name}.onnx")
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: an exported model ends in .onnx", f"write {output.with_suffix('.onnx')}")
    from enhance_cli.models.graphs.export_file import export_model

    _, difference = export_model(entry, output, counts)
    say(f"{entry.name}: the outputs differ from those of torch by {difference:.1e} at most")
    result(str(output))


@models.command()
def verify() -> None:
    """Compare every model that is here with its recorded SHA-256."""
    from enhance_cli.models.registry import entries, published, pulled
    from enhance_cli.models.spec import file_sha256

    here = entries() + [pulled(entry) for entry in published() if entry.path.is_file()]
    damaged = []
    for entry in here:
        good = entry.path.exists() and file_sha256(entry.path) == entry.sha256
        say(f"{entry.name}: {'good' if good else 'damaged or missing'}")
        damaged += [] if good else [entry]
    if damaged:
        shipped = any(entry.source is None for entry in damaged)
        remedy = "reinstall enhance-cli" if shipped else "run `enhance models pull` for each, which fetches them anew"
        raise ModelError(f"{', '.join(entry.name for entry in damaged)}: not the recorded file", remedy)
