"""Run `enhance config`: show the remembered settings and their location."""

from typing import TYPE_CHECKING, Any

import typer

from enhance_cli.configured import known_settings
from enhance_cli.console import result
from enhance_cli.flags.running import Config

if TYPE_CHECKING:
    from enhance_cli.settings import Setting

config = typer.Typer(help="Show remembered settings: defaults for each command, and presets.", no_args_is_help=True)


@config.command()
def show(ctx: typer.Context, config: Config = None) -> None:
    """Print the remembered settings and all presets as TOML, each with its origin.

    A preset can be copied from this output into the settings file, and changed there.
    """
    from enhance_cli import settings

    file = settings.read_file(config)
    settings.check(file, known_settings(ctx))
    result(f"# {file.name}" if file.text else f"# {file.name}: not there, or empty")
    for command in file.tables:
        if command != settings.PRESETS:
            _print_table(command, settings.remembered(file, command, None, known_settings(ctx)))
    for name in {**settings.shipped().presets, **file.presets}:
        _print_table(f"{settings.PRESETS}.{_key(name)}", settings.preset(file, name, name))


@config.command()
def path() -> None:
    """Print the path of your settings file, which need not exist."""
    from enhance_cli.settings import user_file

    result(str(user_file()))


def _print_table(name: str, values: dict[str, "Setting"]) -> None:
    result(f"\n[{name}]")
    for key, setting in values.items():
        result(f"{key} = {_toml(setting.value)}  # {setting.origin}")


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else _toml(name)


def _toml(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)  # JSON and TOML write such values in the same way
