"""Define the table of commands, and turn errors into a line on stderr and an exit code."""

import atexit
import contextvars
import copy
import errno
import inspect
import io
import itertools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from enhance_cli import __version__
from enhance_cli.commands.config import config
from enhance_cli.commands.denoise import denoise
from enhance_cli.commands.distill import distill
from enhance_cli.commands.enhance_embedding import enhance_embedding
from enhance_cli.commands.evaluate.command import evaluate
from enhance_cli.commands.evaluate_embedding import evaluate_embedding
from enhance_cli.commands.extend_bandwidth import extend_bandwidth
from enhance_cli.commands.extract_stem import extract_stem
from enhance_cli.commands.info import info
from enhance_cli.commands.inpaint import inpaint
from enhance_cli.commands.models import models
from enhance_cli.commands.report import report
from enhance_cli.commands.train import train
from enhance_cli.commands.verify.command import verify
from enhance_cli.configured import ConfiguredCommand, is_verbose, with_settings
from enhance_cli.errors import EnhanceError, ExitCode, UsageError, reader_has_gone
from enhance_cli.plain_values import PlainGroup

# The error that the parser raises for a wrong command line. Typer does not export it, and older versions use the one of click
WrongCall: Any = typer.BadParameter.__base__


class CommandTable(PlainGroup):
    """Refuse a command that does not exist, and tell which one was meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from enhance_cli.meant_names import OTHER_COMMANDS, meant

            found = meant(args[0], self.list_commands(ctx), OTHER_COMMANDS)
            raise UsageError(
                f"no such command {args[0]!r}", _hint(found, f"{ctx.command_path} --help lists all commands")
            )
        return super().resolve_command(ctx, args)


def _hint(meant: list[str], other: str) -> str:
    return f"did you mean {' or '.join(meant)}? {other}" if meant else other


app = typer.Typer(
    name="enhance",
    cls=CommandTable,
    help="Clean recordings with few-step diffusion models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _unwrapped(command: Callable) -> str:
    """Return the docstring with one line for each paragraph, which Typer wraps to the width of the terminal."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (inspect.getdoc(command) or "").split("\n\n"))


for command in (
    *(denoise, extend_bandwidth, inpaint, extract_stem, enhance_embedding, verify),
    *(train, distill, evaluate, evaluate_embedding),
):
    app.command(cls=ConfiguredCommand, help=_unwrapped(command))(with_settings(command))
app.add_typer(models, name="models", cls=CommandTable)
app.add_typer(config, name="config", cls=CommandTable)
for command in (report, info):
    app.command(help=_unwrapped(command))(command)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"enhance {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _table_for(words: list[str]) -> typer.Typer:
    """Return a table with only the command that the first word names, since building the flags of all takes 0.01 s."""
    commands = [info for info in app.registered_commands if _command_name(info.name, info.callback) in words[:1]]
    groups = [info for info in app.registered_groups if info.name in words[:1]]
    if not commands and not groups:
        return app
    table = copy.copy(app)
    table.registered_commands, table.registered_groups = commands, groups
    table.info = copy.copy(app.info)
    # The settings file is checked against the flags of all commands, which are found through "obj"
    table.info.context_settings = {**(app.info.context_settings or {}), "obj": app}
    return table


def _command_name(name: str | None, callback: Callable | None) -> str:
    return name or getattr(callback, "__name__", "").replace("_", "-")


def main() -> None:
    """Run the command line and exit with an ExitCode."""
    contextvars.copy_context().run(_main)  # in a copy, so that a second call does not see the settings of the first


def _main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):  # consoles without Unicode, such as old ones of Windows, get escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _refuse_files_like_flags(sys.argv[1:])
        code = _table_for(sys.argv[1:])(prog_name="enhance", standalone_mode=False)
        sys.stdout.flush()
    except EnhanceError as error:
        _fail(error)
    except WrongCall as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed already
            sys.exit(error.exit_code)
        _fail(_as_usage_error(error))
    except KeyboardInterrupt:
        _leave_at_once(ExitCode.INTERRUPTED)
    except OSError as error:  # from printing help or tables to standard output
        from enhance_cli.console import discard_stdout, unwritable_stdout

        if reader_has_gone(error):
            discard_stdout()
            sys.exit(ExitCode.SOME_FAILED)
        if error.errno != errno.ENOSPC or error.filename:
            raise
        _fail(unwritable_stdout(error))
    if code == ExitCode.INTERRUPTED:
        _leave_at_once(ExitCode.INTERRUPTED)
    sys.exit(code)


def _refuse_files_like_flags(words: list[str]) -> None:
    """Raise UsageError for the name of a file that would be taken for short flags, as `-dash.wav` for --device ash.wav."""
    for word in itertools.takewhile(lambda word: word != "--", words):
        if word.startswith("-") and not word.startswith("--") and len(word) > 2 and os.path.lexists(word):
            raise UsageError(f"{word}: a file whose name begins with a dash is taken for a flag", f"write ./{word}")


def _leave_at_once(code: int) -> None:
    """Exit without waiting for threads that still process a window, whose result is no longer needed."""
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)


def _as_usage_error(error: Any) -> UsageError:
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message.replace("Value error, ", "")  # Typer puts this before the allowed choices
    for found in getattr(error.__cause__, "errors", list)()[:1]:  # of its validators, which do not name the value
        message = message.partition(", unable to parse")[0].replace("Input should", f"{found['input']!r} must")
    command = error.ctx.command_path if error.ctx else "enhance"
    hint = f"{command} --help lists all options"
    if name := getattr(error, "option_name", None):  # the parser's own guesses are less alike, and one line is enough
        from enhance_cli.meant_names import OTHER_OPTIONS, meant

        message = f"no such option: {name}"
        parameters = error.ctx.command.get_params(error.ctx) if error.ctx else []
        known = [word for parameter in parameters for word in (*parameter.opts, *parameter.secondary_opts)]
        hint = _hint(meant(name, known, OTHER_OPTIONS), hint)
    usage = UsageError(message[:1].lower() + message[1:], hint)
    usage.__cause__ = error
    return usage


def _fail(error: EnhanceError) -> None:
    from enhance_cli.console import say

    if is_verbose():
        traceback.print_exception(error)
    say(f"error: {error}")
    sys.exit(error.exit_code)
