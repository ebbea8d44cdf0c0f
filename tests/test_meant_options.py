"""The option that was meant by one that does not exist: the hints are about options that there are."""

import pytest
import typer

from enhance_cli.cli import app
from enhance_cli.meant_options import OTHER_NAMES, meant

COMMANDS = {
    name: {word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)}
    for name, command in typer.main.get_command(app).commands.items()
}


@pytest.mark.parametrize("option", OTHER_NAMES)
def test_an_option_that_is_told_is_one_of_a_command_which_has_none_of_the_other_names(option):
    having = [names for names in COMMANDS.values() if option.split()[0] in names]
    assert having
    for names in having:
        for other in set(OTHER_NAMES[option]) - names:
            assert meant(other, names) == [option]


def test_a_name_that_is_nearly_right_is_told_and_one_that_is_unlike_all_is_not():
    known = COMMANDS["denoise"]
    assert meant("--recursiv", known) == ["--recursive"] and meant("--bitdepth", known) == ["--bit-depth"]
    assert meant("--noise-level", known) == []
