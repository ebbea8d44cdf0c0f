"""The option that was meant by one that does not exist: the hints are about options that there are."""

import pytest
import typer

from enhance_cli.cli import app
from enhance_cli.meant_names import OTHER_COMMANDS, OTHER_OPTIONS, meant

COMMANDS = {
    name: {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in typer.main.get_command(app).commands.items()
}


@pytest.mark.parametrize("option", OTHER_OPTIONS)
def test_an_option_that_is_told_is_one_of_a_command_which_has_none_of_the_other_names(option):
    having = [names for names in COMMANDS.values() if option.split()[0] in names]
    assert having
    for names in having:
        for other in set(OTHER_OPTIONS[option]) - names:
            assert meant(other, names, OTHER_OPTIONS) == [option]


def test_a_name_that_is_nearly_right_is_told_and_one_that_is_unlike_all_is_not():
    known = COMMANDS["denoise"]
    assert meant("--recursiv", known, OTHER_OPTIONS) == ["--recursive"]
    assert meant("--bitdepth", known, OTHER_OPTIONS) == ["--bit-depth"]
    assert meant("--noise-level", known, OTHER_OPTIONS) == []


@pytest.mark.parametrize(
    "words, said",
    [
        (["denoize"], "no such command 'denoize': did you mean denoise? enhance --help lists all commands"),
        (["separate", "a.wav"], "no such command 'separate': did you mean extract-stem? enhance --help"),
        (["models", "ls"], "no such command 'ls': did you mean list? enhance models --help lists all commands"),
        (["cook"], "no such command 'cook': enhance --help lists all commands"),
    ],
)
def test_a_command_that_does_not_exist_is_answered_with_the_one_that_was_meant(enhance, words, said):
    result = enhance(*words)
    assert result.code == 2 and not result.stdout and result.stderr.startswith(f"error: {said}")
    assert result.stderr.count("\n") == 1


def test_commands_that_are_told_are_there():
    groups = [typer.main.get_command(app), *typer.main.get_command(app).commands.values()]
    there = {name for group in groups for name in getattr(group, "commands", {})}
    assert set(OTHER_COMMANDS) <= there and not there & {other for names in OTHER_COMMANDS.values() for other in names}
