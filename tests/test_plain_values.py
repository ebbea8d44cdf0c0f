"""Plain values of flags are converted without Typer's validators, to what those make of them."""

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from enhance_cli import cli
from enhance_cli.cli import app
from enhance_cli.plain_values import NOT_PLAIN, plain

WORDS = (
    "",
    "-",
    "a.wav",
    "3",
    "-1",
    "007",
    "0.5",
    "-0.25",
    "1e3",
    "1_000",
    " 4",
    "nan",
    "true",
    "cpu",
    "SKIP",
    "skip",
    "16",
)


def parameters(command):
    """Yield the parameters of a command and of those below it, each with its context."""
    for parameter in command.params:
        yield pytest.param(parameter, command.context_class(command), id=f"{command.name} {parameter.name}")
    for below in getattr(command, "commands", {}).values():
        yield from parameters(below)


@pytest.mark.parametrize("parameter, ctx", list(parameters(typer.main.get_command(app))))
def test_plain_values_are_those_of_the_validators(parameter, ctx):
    words = [["a", "b"], ["3"], []] if parameter.multiple or parameter.nargs == -1 else WORDS
    for value in (None, parameter.default, *words):
        found = plain(value, parameter)
        if found is not NOT_PLAIN:
            wanted = type(parameter).get_runtime_param(parameter).coerce(value, param=parameter, ctx=ctx)
            assert found == wanted and type(found) is type(wanted), value


def test_usual_command_lines_are_plain():
    given = {"files": ["a.wav"], "output": "clean/", "steps": "2", "strength": "0.8", "existing": "overwrite"}
    for parameter in typer.main.get_command(app).commands["denoise"].params:
        if parameter.type_descriptor.annotation is not bool:  # switches have no words
            assert plain(given.get(parameter.name, parameter.default), parameter) is not NOT_PLAIN, parameter.name


@pytest.mark.parametrize("words", [["--threads", "0"], ["--strength", "1.5"], ["--existing", "no"], ["--seed", "x"]])
def test_wrong_values_are_refused_by_the_validators(words):
    result = CliRunner().invoke(app, ["denoise", "in.wav", *words])
    assert result.exit_code == 2 and words[0] in result.output


@pytest.mark.parametrize("name", ["denoise", "enhance-embedding", "report", "models"])
def test_a_command_that_is_built_alone_is_that_of_the_whole_table(name):
    table = cli._table_for([name, "in.wav"])
    assert len(table.registered_commands) + len(table.registered_groups) == 1
    alone, whole = (CliRunner().invoke(each, [name, "--help"]).output for each in (table, cli.app))
    assert name in alone and alone == whole


@pytest.mark.parametrize("words", [[], ["--version"], ["denoyse"], ["in.wav", "denoise"]])
def test_words_that_name_no_command_have_the_whole_table(words):
    assert cli._table_for(words) is cli.app


def test_a_command_that_is_built_alone_knows_the_settings_of_the_others(enhance, tmp_path):
    (tmp_path / "c.toml").write_text("[verify]\nthreshold = 0.5\n[denoise]\nloudness = -20\n")
    done = enhance("denoise", "missing.wav", "--config", "c.toml")
    assert "missing.wav does not exist" in done.stderr and "unknown command" not in done.stderr
