"""Read remembered settings from config.toml: defaults for each command, and named presets.

Precedence, highest first: flag, preset, settings file, built-in default. Keys are the long names of flags.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from enhance_cli.errors import UsageError

PRESETS, PRESET = "presets", "preset"
COMMAND_LINE = "command line"
Known = Mapping[str, Collection[str]]
"""The names of the settings that each command has."""


@dataclass(frozen=True)
class Setting:
    """Hold a value and where it comes from: "command line", "preset NAME" or "FILE, line N"."""

    value: Any
    origin: str

    def __str__(self) -> str:
        """Return the value as text, and its origin."""
        value = ",".join(map(str, self.value)) if isinstance(self.value, list | tuple) else self.value
        return f"{value}, from {self.origin}"


GIVEN: ContextVar[Mapping[str, Setting]] = ContextVar("GIVEN", default=MappingProxyType({}))
"""The settings of the running command by name, without those that have their built-in default."""


@dataclass(frozen=True)
class SettingsFile:
    """Hold a file of settings: `name` for messages, its text, and its tables (one a command, and `presets`)."""

    name: str
    text: str
    tables: Mapping[str, Any]

    def origin(self, *path: str) -> str:
        """Return "FILE, line N" for the statement that sets `path`."""
        from enhance_cli.toml_lines import line_of

        return f"{self.name}, line {line_of(self.text, path)}"

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        return self.tables.get(PRESETS, {})


def user_file() -> Path:
    """Return the path of the user's own file of settings, which need not exist."""
    from platformdirs import user_config_path

    return user_config_path("enhance", appauthor=False) / "config.toml"


def read_file(path: Path | None) -> SettingsFile:
    """Return the settings in the file at `path`, or in the user's own file if `path` is None.

    A missing user file has no settings. Raises UsageError for a file that cannot be read or is not TOML.
    """
    own = user_file() if path is None else path
    if path is None and not os.path.exists(own):  # False too where HOME is that of somebody else
        return SettingsFile(str(own), "", {})
    try:
        return _parsed(str(own), own.read_text(encoding="utf-8-sig"))  # editors of Windows begin with a mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{own}: these settings cannot be read ({reason})", "check the name of the file") from error


def shipped() -> SettingsFile:
    """Return the presets that come with the program."""
    path = Path(__file__).with_name("presets.toml")
    return _parsed("presets.toml", path.read_text(encoding="utf-8"))


def check(file: SettingsFile, known: Known) -> None:
    """Raise UsageError for a table or a key that no command has, with its line and the nearest name."""
    from enhance_cli.toml_lines import nearest

    for command, table in file.tables.items():
        if command not in (*known, PRESETS):
            if not isinstance(table, Mapping) and any(command in names for names in known.values()):
                hint = f"write [{next(name for name in known if command in known[name])}], or another command, above it"
                raise UsageError(f"{file.origin(command)}: {command} stands above all commands", hint)
            hint = nearest(command, [*known, PRESETS], "commands")
            raise UsageError(f"{file.origin(command)}: unknown command {command!r}", hint)
        _check_table(file, table, command)
        if command != PRESETS:
            _check_keys(file, table, {*known[command], PRESET}, command)
    for name, table in file.presets.items():
        _check_table(file, table, PRESETS, name)
        _check_keys(file, table, set().union(*known.values()), PRESETS, name)


def remembered(file: SettingsFile, command: str, presets: Sequence[str] | None, known: Known) -> dict[str, Setting]:
    """Return the settings of `command` from the file and the presets. Of several presets, the last one wins.

    `presets` is None if the command line names none. Then the presets that the file names for the command apply, and its
    other keys override them. Raises UsageError for a preset that is unknown or sets a flag that the command lacks.
    """
    table = file.tables.get(command, {})
    values: dict[str, Setting] = {}
    if presets is None:
        for name in _presets_of(file, command):
            values |= _fitting(file, command, name, known, f"{file.origin(command, PRESET)}: preset {name}")
    values |= {key: Setting(value, file.origin(command, key)) for key, value in table.items() if key != PRESET}
    for name in presets or ():
        values |= _fitting(file, command, name, known, f"--preset {name}")
    return values


def split_names(values: Sequence[str]) -> list[str]:
    """Return the names in texts such as "dataset, gentle"."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def preset(file: SettingsFile, name: str, said: str) -> dict[str, Setting]:
    """Return the settings of a preset. A preset of the user replaces a shipped one of the same name.

    Raises UsageError for an unknown name, with a message that begins with `said`.
    """
    from enhance_cli.toml_lines import nearest

    ours = shipped().presets
    if name in file.presets:
        table = file.presets[name]
        return {key: Setting(table[key], f"preset {name} ({file.origin(PRESETS, name, key)})") for key in table}
    if name not in ours:
        raise UsageError(f"{said}: there is no such preset", nearest(name, {*ours, *file.presets}, "presets"))
    return {key: Setting(value, f"preset {name}") for key, value in ours[name].items()}


def _fitting(file: SettingsFile, command: str, name: str, known: Known, said: str) -> dict[str, Setting]:
    """Return the settings of a preset. Raises UsageError if the command does not have one of them."""
    found = preset(file, name, said)
    for key in found:
        if key not in known[command]:
            fits = [other for other, keys in known.items() if set(found) <= set(keys)]
            hint = f"it is for {', '.join(fits)}" if fits else "take the setting out of the preset"
            raise UsageError(f"{said}: {command} has no setting {key!r}", hint)
    return found


def _presets_of(file: SettingsFile, command: str) -> list[str]:
    """Return the presets that the file names for a command. Raises UsageError if they are no texts."""
    value = file.tables.get(command, {}).get(PRESET, [])
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise UsageError(
            f"{file.origin(command, PRESET)}: {PRESET}: must be a text or a list of texts", "fix the value"
        )
    return split_names(values)


def _parsed(name: str, text: str) -> SettingsFile:
    from enhance_cli.toml_lines import tomllib

    try:
        return SettingsFile(name, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: not valid TOML ({error})", "fix the line") from error


def _check_table(file: SettingsFile, table: Any, *path: str) -> None:
    if not isinstance(table, Mapping):
        raise UsageError(
            f"{file.origin(*path)}: {path[-1]} must be a table", f"write [{'.'.join(path)}] above its keys"
        )


def _check_keys(file: SettingsFile, table: Mapping[str, Any], known: Collection[str], *path: str) -> None:
    from enhance_cli.toml_lines import nearest

    for key in table:
        if key not in known:
            raise UsageError(f"{file.origin(*path, key)}: unknown key {key!r}", nearest(key, known, "keys"))
