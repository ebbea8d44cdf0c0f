"""Write docs/cli.md and the manual page docs/enhance.1 from the help texts of the commands. `make docs` runs it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from enhance_cli import __version__
from enhance_cli.cli import app
from enhance_cli.errors import ExitCode

DOCS = Path(__file__).parents[1] / "docs"
EXIT_CODES = {
    ExitCode.DONE: "all done (skipped counts as done)",
    ExitCode.SOME_FAILED: "some file failed",
    ExitCode.WRONG_USE: "wrong use",
    ExitCode.MODEL_REFUSED: "model missing or refused",
    ExitCode.INTERRUPTED: "interrupted",
}
Panels = dict[str, list[tuple[str, str]]]
BREAK = r"|\:"  # a line may end behind it: some flags have more choices than fit into one


def commands() -> Iterator[tuple[str, str, list[str], Panels]]:
    """Yield (name, usage, paragraphs, options by panel) of all commands and their subcommands."""
    yield from _walk(typer.main.get_command(app), "enhance", None)


def _walk(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str, list[str], Panels]]:
    context = command.context_class(command, info_name=name.split()[-1], parent=parent)
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield name, usage, (command.help or "").strip().split("\n\n"), _panels(command, context)
    for child in getattr(command, "commands", {}).values():
        yield from _walk(child, f"{name} {child.name}", context)


def _panels(command: Any, context: Any) -> Panels:
    panels: Panels = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in parameter.opts:
            usual = "Arguments" if not parameter.opts[0].startswith("-") else "Options"
            name, text = (" ".join(part.split()) for part in record)
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append((name, text))
    return panels


def markdown() -> str:
    """Return docs/cli.md."""
    lines = ["# Commands", "", "Made from `--help` by `make docs`.", ""]
    for name, usage, paragraphs, panels in commands():
        lines += [f"## {name}", "", "```", usage, "```", ""]
        for paragraph in paragraphs:
            lines += [paragraph, ""]
        for panel, options in panels.items():
            lines += [f"**{panel}**", "", "| | |", "|---|---|"]
            lines += [f"| `{_cell(option)}` | {_cell(text)} |" for option, text in options]
            lines.append("")
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code.value} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


def manual() -> str:
    """Return the manual page in roff."""
    lines = [f'.TH ENHANCE 1 "" "enhance {__version__}" "User Commands"', ".ad l", ".SH NAME"]
    lines += [r"enhance \- clean recordings, extract stems, repair speaker embeddings"]
    for name, usage, paragraphs, panels in commands():
        if name == "enhance":
            lines += [".SH SYNOPSIS", f".B {_roff(usage)}", ".SH DESCRIPTION"]
        else:
            lines += [f".SH {_roff(name.upper())}", f".B {_roff(usage)}"]
        for paragraph in paragraphs:
            lines += [".PP", _roff(paragraph)]
        for panel, options in panels.items():
            lines.append(f".SS {_roff(panel)}")
            for option, text in options:
                lines += [".TP", f".B {_roff(option).replace('|', BREAK)}", _roff(text)]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {code.value}", meaning]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _roff(text: str) -> str:
    text = re.sub(r"([\\-])", lambda match: {"\\": r"\e", "-": r"\-"}[match[1]], " ".join(text.split()))
    return rf"\&{text}" if text.startswith((".", "'")) else text


PAGES = {DOCS / "cli.md": markdown, DOCS / "enhance.1": manual}

if __name__ == "__main__":
    for page, make in PAGES.items():
        page.write_text(make(), encoding="utf-8")
        print(page, file=sys.stderr)
