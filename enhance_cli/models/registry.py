"""Names of models: the tables of weights.toml, files on the Hub, and paths to .safetensors files of the user's own."""

import difflib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from enhance_cli.errors import ModelError
from enhance_cli.models import download

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib


@dataclass(frozen=True)
class Entry:
    """One known model. `sha256` is None for a user's own file, which has nothing to be compared with."""

    name: str
    task: str
    path: Path
    sha256: str | None
    summary: str = ""
    sample_rate: int = 0
    licence: str = ""
    default: bool = False


def entries() -> list[Entry]:
    """All models of weights.toml, in its order."""
    tables = tomllib.loads(_weights_toml())
    folder = Path(str(resources.files("enhance_cli"))) / "checkpoints"
    return [
        Entry(name=name, path=folder / table["file"], **{k: v for k, v in table.items() if k != "file"})
        for name, table in tables.items()
    ]


def find(name: str | None, task: str) -> Entry:
    """The model called `name`, the file at that path or on the Hub, or the task's default for None. Raises ModelError."""
    known = [e for e in entries() if e.task == task]
    if name is None:
        return next(e for e in known if e.default)
    for entry in known:
        if entry.name == name:
            return entry
    if name.startswith(download.PREFIX):
        return Entry(name=Path(name.partition("@")[0]).stem, task=task, path=download.fetch(name), sha256=None)
    path = Path(name)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ModelError(f"{name}: no such model file", "check the path")
        return Entry(name=path.stem, task=task, path=path, sha256=None)
    names = [e.name for e in known]
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}, or name a .safetensors file"
    raise ModelError(f"unknown model {name!r}", hint)


def _weights_toml() -> str:
    """From the installed package, or from the top of the source tree in an editable install."""
    package = Path(str(resources.files("enhance_cli")))
    for path in (package / "weights.toml", package.parent / "weights.toml"):
        if path.is_file():
            return path.read_text()
    raise ModelError("weights.toml is missing from the installation", "reinstall enhance-cli")
