"""docs/cli.md and the manual page are those that `make docs` would write, and hold every command and flag."""

import re
import runpy
import subprocess
from pathlib import Path

import pytest
import typer

from enhance_cli.cli import app

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "cli_docs.py"))


@pytest.mark.parametrize("page", TOOL["PAGES"], ids=lambda page: page.name)
def test_the_page_is_up_to_date(page):
    assert page.read_text(encoding="utf-8") == TOOL["PAGES"][page](), "run `make docs`"


def test_every_command_and_flag_is_there():
    pages = [page.read_text(encoding="utf-8").replace(r"\-", "-") for page in TOOL["PAGES"]]
    for name, command in typer.main.get_command(app).commands.items():
        flags = [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]
        for text in pages:
            assert f"enhance {name}" in text and not [flag for flag in flags if flag not in text]


def test_the_manual_page_is_sound(tmp_path):
    page = next(page for page in TOOL["PAGES"] if page.suffix == ".1")
    try:
        done = subprocess.run(["groff", "-man", "-Tascii", "-ww", str(page)], capture_output=True, text=True)
    except FileNotFoundError:  # no groff here: at least every macro is one that we mean
        known = (".TH", ".ad", ".SH", ".SS", ".PP", ".TP", ".B ")
        assert all(line.startswith(known) for line in page.read_text().splitlines() if line.startswith("."))
    else:
        assert done.returncode == 0 and not done.stderr
        assert "enhance denoise [OPTIONS]" in re.sub(r".\x08", "", done.stdout)  # bold is a letter struck twice
