"""Find models by name: tables of weights.toml, files on the Hub or behind an address, and local .safetensors or .onnx files.

A table with a `file` alone is a model that ships in the package. One with a `repo` or a `url` was published by others
and is available once it has been pulled.
"""

import difflib
import re
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from enhance_cli.errors import ModelError
from enhance_cli.models.hub import download, folders
from enhance_cli.models.spec import read_spec
from enhance_cli.toml_lines import tomllib

PACKAGE = Path(__file__).parents[1]
CHECKPOINTS = (".ckpt", ".pth", ".pt", ".th", ".bin")
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")  # on the Hub
SUBSTITUTES = {"inpaint": "denoise"}  # a model for the second task may be named for the first


@dataclass(frozen=True)
class Source:
    """Locate a published checkpoint. Unknown fields are None, and are pinned on first use.

    Args:
        repo, file, repo_type: of a file on the Hub. The type is "model" or "dataset".
        beside: further files of the repository that the converter reads, pinned too.
        url: address of a file elsewhere.
        size: exact number of bytes, which is checked.
        about: approximate number of bytes of all files, which is only shown.
        converter: None for models that the package `package` runs.
        process: that of the model, by which its usual steps are shown before it is pulled.
        restriction: uses that its license forbids, for the user.
    """

    repo: str | None = None
    file: str | None = None
    repo_type: str = "model"
    beside: tuple[str, ...] = ()
    url: str | None = None
    revision: str | None = None
    sha256: str | None = None
    size: int | None = None
    about: int | None = None
    converter: str | None = None
    package: str | None = None
    process: str | None = None
    restriction: str = ""

    @property
    def not_known(self) -> list[str]:
        """Return the names of the unknown fields, which the first pull trusts and pins.

        Only files on the Hub have a revision.
        """
        names = ("revision", "sha256") if self.repo else ("sha256",)
        return [name for name in names if getattr(self, name) is None]

    @property
    def location(self) -> str:
        """Return the address of the file without its revision."""
        datasets = "datasets/" if self.repo_type == "dataset" else ""
        return self.url or f"{download.PREFIX}{datasets}{self.repo}/{self.file}"


@dataclass(frozen=True)
class Entry:
    """Describe one known model.

    `sha256`: of the file at `path`, None for a user's own file. `source`: None unless it was published by others.
    `extractor_id`: that of the embeddings that it makes or repairs. `use_for`: the task that it suits best, in a line.
    `scores`: published ones, with their source. `cpu`: class of its speed on one core, as weights.toml explains.
    """

    name: str
    task: str
    path: Path
    sha256: str | None
    summary: str = ""
    sample_rate: int = 0
    licence: str = ""
    default: bool = False
    extractor_id: str | None = None
    use_for: str = ""
    scores: str = ""
    cpu: str = ""
    source: Source | None = None


def entries() -> list[Entry]:
    """Return the models that ship in the package, in the order of weights.toml."""
    folder = PACKAGE / "checkpoints"
    return [
        _entry(name, table, path=folder / table.get("file", ""), without={"file"})
        for name, table in _tables().items()
        if not _published(table)
    ]


def published() -> list[Entry]:
    """Return the models that others published, pulled or not. `path` is their path once pulled."""
    of_source = {field.name for field in fields(Source)}
    found = []
    for name, table in _tables().items():
        if _published(table):
            source = Source(**{k: v for k, v in table.items() if k in of_source})
            more = {"path": folders.model_path(name), "sha256": None, "source": source}
            found.append(_entry(name, table, without=of_source, **more))
    return found


def find(name: str | None, task: str | None) -> Entry:
    """Return the model called `name`, in the file, at the address or on the Hub, or the task's default for None.

    `task` None stands for any task. Raises ModelError for a model that is unknown, not pulled yet, or for another task.
    """
    known = [e for e in [*entries(), *published()] if _suits(e.task, task)]
    if name is None:
        default = next((e for e in known if e.default and task in (None, e.task)), None)
        if default is None:
            raise ModelError(f"no model ships for {task}", "name one with --model; see `enhance models list`")
        return default
    for entry in known:
        if entry.name == name:
            return entry if entry.source is None else pulled(entry)
    if download.is_reference(name):
        return _own(_stem(name), download.fetch(name), task)
    path = Path(name)
    if path.suffix in (".safetensors", ".onnx"):
        if not path.is_file():
            raise ModelError(f"{name}: no such model file", "check the path")
        return _own(path.stem, path, task)
    if path.is_file():
        hint = f"`enhance models convert {name} -o {path.stem}.safetensors` makes one of it"
        raise ModelError(f"{name}: not a .safetensors file", hint)
    if name and path.is_dir():
        raise ModelError(f"{name}: a folder", "name the .safetensors file in it")
    if path.suffix in CHECKPOINTS:
        raise ModelError(f"{name}: no such file", "check the path; `enhance models convert` makes a model of it")
    other = next((e for e in [*entries(), *published()] if e.name == name), None)
    if other is not None:
        raise ModelError(
            f"{name}: a model for {other.task}, not for {task}", f"see `enhance models list --task {task}`"
        )
    raise unknown(name, known)


def pulled(entry: Entry) -> Entry:
    """Return a published model with the expected digest of its file. Raises ModelError if it is not here."""
    if entry.source is not None and entry.source.package:
        return entry
    if not entry.path.is_file():
        raise ModelError(f"{entry.name}: not here yet", f"run `enhance models pull {entry.name}`")
    return replace(entry, sha256=folders.read_pin(entry.name).get("model_sha256"))


def unknown(name: str, known: list[Entry]) -> ModelError:
    """Return the error for a name that is none of `known`, with the nearest one."""
    if REPOSITORY.fullmatch(name):
        held = ", ".join(e.name for e in known if e.source is not None and e.source.repo == name)
        hint = (
            f"of that repository there are {held}"
            if held
            else f"for a file of the Hub write {download.PREFIX}{name}/FILE.safetensors"
        )
        return ModelError(f"{name}: neither a model nor a file here", hint)
    names = [e.name for e in known]
    close = difflib.get_close_matches(name, names, 1)
    shipped = ", ".join(e.name for e in known if e.source is None)
    hint = f"did you mean {close[0]}?" if close else f"choose from {shipped}, or name a .safetensors file"
    return ModelError(f"unknown model {name!r}", f"{hint}; `enhance models list` has all")


def _suits(made_for: str, task: str | None) -> bool:
    return task in (None, made_for) or SUBSTITUTES.get(str(task)) == made_for


def _own(name: str, path: Path, task: str | None) -> Entry:
    """Return the entry of a file that no table names. Raises ModelError if it is damaged or made for another task."""
    made_for = read_spec(path).task
    if not _suits(made_for, task):
        raise ModelError(f"{path}: a model for {made_for}, not for {task}", "see `enhance models list`")
    return Entry(name=name, task=made_for, path=path, sha256=None)


def _stem(reference: str) -> str:
    if reference.startswith(download.URLS):
        return Path(download.url_file(reference)).stem
    return Path(reference.partition("@")[0]).stem


def _entry(name: str, table: dict, without: set[str], **more: Any) -> Entry:
    """Return the entry of a table: its keys `without` some, and `more`. "extractor" there is an id. Raises ModelError."""
    keys = {"extractor_id" if key == "extractor" else key: value for key, value in table.items() if key not in without}
    try:
        return Entry(name=name, **keys, **more)
    except TypeError as error:
        reason = str(error).partition("() ")[2]
        raise ModelError(f"weights.toml: [{name}] {reason}", "mend the table, or reinstall enhance-cli") from error


def _published(table: dict) -> bool:
    return "repo" in table or "url" in table


def _tables() -> dict[str, dict]:
    return _parsed(_weights_toml())


@lru_cache(maxsize=2)
def _parsed(text: str) -> dict[str, dict]:
    """Return the tables of weights.toml. Parsing takes longer than opening a model, and `find` asks several times."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"weights.toml: not valid TOML ({error})", "mend it, or reinstall enhance-cli") from error


def _weights_toml() -> str:
    """Return weights.toml from the installed package, or from the top of the source tree in an editable install."""
    for path in (PACKAGE / "weights.toml", PACKAGE.parent / "weights.toml"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise ModelError("weights.toml is missing from the installation", "reinstall enhance-cli")
