"""Place flags in the panels of `--help`, which stand in the order in which users need them."""

from typing import Any

import typer

FILES, OUTPUT, MODEL, RUNNING, EXPERT = "Files", "Output", "Model", "Running", "Expert"


def option(panel: str, *names: str, **settings: Any) -> Any:
    """Return a flag of this panel. Arguments are those of typer.Option. The default of an on/off switch is not shown."""
    if any("/" in name for name in names):
        settings = {"show_default": False, **settings}
    return typer.Option(*names, rich_help_panel=panel, **settings)
