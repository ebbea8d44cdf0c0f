"""Fill in flags that are not on the command line from presets and the settings file.

This happens while the command line is parsed. Commands and their flags know nothing of it.
"""

import inspect
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from enhance_cli.errors import EnhanceError, UsageError
from enhance_cli.flags.running import Config, Preset

if TYPE_CHECKING:
    from enhance_cli.settings import Setting

NOT_REMEMBERED = {"help", "config", "preset", "dry-run", "retry-failed", "watch"}  # they make sense for one run only


def with_settings(command: Callable) -> Callable:
    """Return `command` with the additional flags --config and --preset, which are not passed on to it."""
    signature, hints = inspect.signature(command), {"config": Config, "preset": Preset}
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in hints.items()
    ]

    @wraps(command)
    def configured(config: Path | None = None, preset: list[str] | None = None, **values: Any) -> None:
        command(**values)

    vars(configured)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), *more])
    configured.__annotations__ = command.__annotations__ | hints
    return configured


def is_verbose() -> bool:
    """Return whether the user wants tracebacks, by --verbose or by the settings of the command that was parsed."""
    from enhance_cli.settings import GIVEN

    setting = GIVEN.get().get("verbose")
    return bool(setting.value) if setting else not {"-v", "--verbose"}.isdisjoint(sys.argv)


def known_settings(ctx: typer.Context) -> dict[str, list[str]]:
    """Return the names of the settings that each command can remember, by command.

    If only the flags of one command have been built (cli.py), `ctx.obj` is the table of all commands.
    """
    root = get_command(ctx.obj) if ctx.obj else ctx.find_root().command
    commands = root.commands  # type: ignore[attr-defined]
    return {
        name: list(command.settings) for name, command in commands.items() if isinstance(command, ConfiguredCommand)
    }


class ConfiguredCommand(TyperCommand):
    """Parse a command line as Typer does, with remembered settings in place of the built-in defaults.

    Contexts have the type Any, since Typer's parser is click or its own, depending on the version.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Return the parameters that can be remembered, by the long names of their flags without dashes.

        A switch can be remembered only if the command line can turn it off again (--no-NAME).
        """
        named: dict[str, Any] = {}
        for parameter in self.params:
            for flag in parameter.opts:
                if flag.startswith("--"):
                    named.setdefault(flag[2:], parameter)
                    break
        usable = {name: p for name, p in named.items() if not p.is_flag or p.secondary_opts}
        return {name: parameter for name, parameter in usable.items() if name not in NOT_REMEMBERED}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line. Raises UsageError for settings that are wrong."""
        from enhance_cli.settings import GIVEN

        if ctx.resilient_parsing:  # completion
            return super().parse_args(ctx, args)
        given, *_ = self.make_parser(ctx).parse_args(list(args))
        if given.get("help"):  # help must be available even if the settings file is broken
            return super().parse_args(ctx, args)
        found = self._remembered(ctx, given)
        GIVEN.set(found)  # needed if parsing fails
        ctx.default_map = {
            self.settings[name].name: _as_words(self.settings[name], name, found[name]) for name in found
        }
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            for name, setting in found.items():
                if error.param is not None and error.param.name == self.settings[name].name not in given:
                    error.message = f"{error.message.rstrip('.')} (from {setting.origin})"
            raise
        GIVEN.set(self._given(ctx, found))
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Errors about a remembered setting name its origin."""
        from enhance_cli.settings import COMMAND_LINE, GIVEN

        try:
            return super().invoke(ctx)
        except EnhanceError as error:
            for name, setting in GIVEN.get().items():
                if setting.origin != COMMAND_LINE and _is_about(error.message, name, setting.value):
                    error.message += f" (from {setting.origin})"
            raise

    def _remembered(self, ctx: Any, given: dict[str, Any]) -> dict[str, "Setting"]:
        from enhance_cli import settings

        path, presets = (
            next(p for p in self.params if p.name == name).consume_value(ctx, given)[0] for name in ("config", "preset")
        )
        file = settings.read_file(Path(path) if path else None)
        if not file.tables and not presets:
            return {}
        known = known_settings(ctx)
        settings.check(file, known)
        names = settings.split_names(presets) if presets else None
        return settings.remembered(file, ctx.info_name, names, known)

    def _given(self, ctx: Any, found: dict[str, "Setting"]) -> dict[str, "Setting"]:
        """Return the settings that differ from the built-in defaults by choice, with the values that the command gets."""
        from enhance_cli.settings import COMMAND_LINE, Setting

        origins = {"COMMANDLINE": lambda name: COMMAND_LINE, "DEFAULT_MAP": lambda name: found[name].origin}
        given = {}
        for name, parameter in self.settings.items():
            source = ctx.get_parameter_source(parameter.name).name
            if source in origins:
                value = ctx.params[parameter.name]
                given[name] = Setting(getattr(value, "value", value), origins[source](name))
        return given


def _as_words(parameter: Any, name: str, setting: "Setting") -> Any:
    """Return a setting in the form that the command line would have: text, list of texts or bool. Raises UsageError."""
    value, multiple = setting.value, parameter.multiple
    if parameter.is_flag != isinstance(value, bool):
        wanted = "true or false" if parameter.is_flag else "a number or a text"
        raise UsageError(f"{setting.origin}: {name}: must be {wanted}", "fix the value")
    if parameter.is_flag:
        return value
    values = value if multiple and isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in values):
        wanted = "a text or a list of texts" if multiple else "a number or a text"
        raise UsageError(f"{setting.origin}: {name}: must be {wanted}", "fix the value")
    words = [str(Path(item).expanduser()) if str(item).startswith("~/") else str(item) for item in values]
    return words if multiple else words[0]


def _is_about(message: str, name: str, value: Any) -> bool:
    named = re.search(rf"--{re.escape(name)}(?![\w-])", message)
    return bool(named) or (isinstance(value, str) and len(value) > 2 and value in message)
