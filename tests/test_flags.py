"""Flags in dataclasses, and `--help` as users read it: panels in the order of need, every flag explained."""

import re
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from enhance_cli.cli import app
from enhance_cli.flags.group import grouped

PANELS = ["Files", "Output", "Model", "Running"]


@dataclass(frozen=True)
class Base:
    name: Annotated[str | None, typer.Option(help="of the base")] = None
    count: Annotated[int, typer.Option(min=1)] = 3


@dataclass(frozen=True)
class Special(Base):
    name: Annotated[str | None, typer.Option("--name", "-N", help="of the special one")] = None


def call(*words):
    """Return the values that a command with a group gets for these words, and the output."""
    got = []

    @grouped
    def command(file: Annotated[str, typer.Argument()], group: Special = Special(), last: bool = False) -> None:
        got.append((file, group, last))

    one = typer.Typer()
    one.command()(command)
    result = CliRunner().invoke(one, list(words), env={"COLUMNS": "120"})
    return got[0] if got else None, result


def test_a_command_gets_its_flags_as_one_object_with_the_defaults_of_the_dataclass():
    assert call("a.wav")[0] == ("a.wav", Special(None, 3), False)
    assert call("a.wav", "-N", "x", "--count", "5", "--last")[0] == ("a.wav", Special("x", 5), True)


def test_bounds_and_help_are_those_of_the_fields_and_a_subclass_may_replace_one():
    _, refused = call("a.wav", "--count", "0")
    assert refused.exit_code == 2 and "--count" in refused.output
    _, helped = call("--help")
    assert "of the special one" in helped.output and "of the base" not in helped.output


def help_of(*words):
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "150", "TERM": "dumb"})
    assert result.exit_code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", result.output)


@pytest.mark.parametrize("command", ["denoise", "extract-stem", "enhance-embedding"])
def test_help_has_panels_in_the_order_of_need(command):
    found = re.findall(r"^╭─ (\w+) ", help_of(command), re.MULTILINE)
    assert [panel for panel in found if panel in PANELS] == PANELS
    assert found[-1] == ("Expert" if command == "denoise" else "Running")


def commands():
    found = typer.main.get_command(app).commands
    for name, command in found.items():
        below = getattr(command, "commands", None)
        yield from ([(name, other) for other in below] if below else [(name,)])


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_flag_is_explained_and_usage_has_no_doubled_dots(words):
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    unexplained = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert not unexplained
    usage = next(line for line in help_of(*words).splitlines() if "Usage:" in line)
    assert "......" not in usage and "...]..." not in usage


def test_models_of_one_task_are_listed_alone():
    listed = CliRunner().invoke(app, ["models", "list", "--task", "denoise", "--json"])
    assert listed.exit_code == 0
    import json

    tasks = {json.loads(line)["task"] for line in listed.stdout.splitlines() if line.startswith("{")}
    assert tasks == {"denoise"}
    refused = CliRunner().invoke(app, ["models", "list", "--task", "sing"])
    assert "--task sing: must be one of denoise," in str(refused.exception)
