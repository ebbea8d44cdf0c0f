"""`enhance models`: what there is, what a model says about itself, where it lies, and whether it is undamaged."""

import json as json_module
from typing import Annotated

import typer

from enhance_cli.console import result, say
from enhance_cli.errors import ModelError

models = typer.Typer(help="List, show and check models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a model or path of a .safetensors file.")]


@models.command("list")
def list_models(json: Annotated[bool, typer.Option("--json", help="One JSON object per model.")] = False) -> None:
    """All known models: task, sample rate, size, licence."""
    from rich.console import Console
    from rich.table import Table

    from enhance_cli.models.registry import entries

    table = Table("model", "task", "rate", "size", "licence", "what it is")
    for entry in entries():
        size = entry.path.stat().st_size if entry.path.exists() else 0
        if json:
            fields = {"name": entry.name, "task": entry.task, "sample_rate": entry.sample_rate, "bytes": size}
            result(
                json_module.dumps(
                    fields | {"licence": entry.licence, "default": entry.default, "path": str(entry.path)}
                )
            )
        name = f"{entry.name} (default)" if entry.default else entry.name
        table.add_row(name, entry.task, f"{entry.sample_rate} Hz", f"{size / 1e6:.1f} MB", entry.licence, entry.summary)
    if not json:
        Console().print(table)


@models.command()
def show(name: Name) -> None:
    """The whole header of a model as JSON: network, steps, samplers, training data, metrics, provenance."""
    from dataclasses import asdict

    from enhance_cli.models.registry import find
    from enhance_cli.models.spec import read_spec

    result(json_module.dumps(asdict(read_spec(find(name, "denoise").path)), indent=2))


@models.command()
def path(name: Name) -> None:
    """Where a model's file lies."""
    from enhance_cli.models.registry import find

    result(str(find(name, "denoise").path))


@models.command()
def verify() -> None:
    """Compare every model that is here with its recorded SHA-256."""
    from enhance_cli.models.registry import entries
    from enhance_cli.models.spec import file_sha256

    damaged = []
    for entry in entries():
        good = entry.path.exists() and file_sha256(entry.path) == entry.sha256
        say(f"{entry.name}: {'good' if good else 'damaged or missing'}")
        damaged += [] if good else [entry.name]
    if damaged:
        raise ModelError(f"{', '.join(damaged)}: not the recorded file", "reinstall enhance-cli")
