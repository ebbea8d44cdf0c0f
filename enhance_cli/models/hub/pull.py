"""Pull published checkpoints: fetch a file, compare it with its known size and SHA-256, convert it once, pin it.

Where weights.toml has no revision or SHA-256, the first file that comes is trusted and pinned (folders.read_pin). From
then on only that very file is accepted. `remove` undoes a pull and keeps the pin unless told to forget it.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from enhance_cli.errors import ModelError
from enhance_cli.models import registry
from enhance_cli.models.hub import download, folders, https
from enhance_cli.models.spec import file_sha256

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Expected:
    """Describe the file to expect, from weights.toml or from the pin of an earlier pull."""

    revision: str | None
    sha256: str | None
    size: int | None
    since: str | None = None


def published(name: str) -> registry.Entry:
    """Return the published model called `name`. Raises ModelError."""
    for entry in registry.published():
        if entry.name == name:
            return entry
    if any(entry.name == name for entry in registry.entries()):
        raise ModelError(f"{name}: ships with this program", "there is nothing to pull or to remove")
    raise registry.unknown(name, [*registry.entries(), *registry.published()])


def _source(entry: registry.Entry) -> registry.Source:
    """Return the place where a published model comes from."""
    assert entry.source is not None  # as that of all in registry.published()
    return entry.source


def pull(
    name: str,
    tell: Tell = lambda line: None,
    progress: https.Progress = lambda done, total: None,
    delete_original: bool = False,
    half: bool = False,
) -> Path:
    """Return the path of the model, ready to use. An undamaged model that is here is not fetched again.

    Args:
        name: of the model in weights.toml.
        tell: takes lines for the user.
        progress: takes the bytes that have come, and the whole number if it is known.
        delete_original: delete the fetched files after the conversion.
        half: store half precision.

    Raises ModelError, leaving nothing half done.
    """
    entry = published(name)
    source, pin = _source(entry), folders.read_pin(name)
    if source.package:
        from enhance_cli.models.demucs import fetch

        _tell_terms(entry, tell)
        return fetch(entry)[-1]
    if pin.get("location") != source.location:
        pin = {}  # weights.toml has another file by that name now
    if entry.path.is_file() and file_sha256(entry.path) == pin.get("model_sha256"):
        tell(f"{name}: already here")
        return entry.path
    _tell_terms(entry, tell)
    expected = Expected(
        source.revision or pin.get("revision"),
        source.sha256 or pin.get("sha256"),
        source.size or pin.get("size"),
        None if source.sha256 else pin.get("date"),
    )
    original = _fetch(entry, expected, progress)
    digest = _compare(entry, original, expected)
    revision = expected.revision or download.hub_revision(original)
    beside = _fetch_beside(entry, revision, pin)
    tell(f"{name}: converting {original.name}")
    _convert(entry, original, revision, half=half)
    size = original.stat().st_size
    new: dict[str, Any] = {"location": source.location, "revision": revision, "sha256": digest, "size": size}
    new |= {"beside": {path.name: found for path, found in beside.items()}} if beside else {}
    new |= {"date": pin.get("date") or date.today().isoformat(), "model_sha256": file_sha256(entry.path)}
    where = folders.write_pin(name, new)
    if expected.sha256 is None:
        tell(
            f"{name}: no SHA-256 of it was known, so this first one is trusted from now on: {digest} (kept in {where})"
        )
    for path in [original, *beside] if delete_original else []:
        download.discard(path)
        tell(f"{name}: deleted the original {path}")
    return entry.path


def _fetch_beside(entry: registry.Entry, revision: str | None, pin: dict) -> dict[Path, str]:
    """Return the further files that the converter reads, each with its SHA-256. Raises ModelError as `_compare`."""
    source, known = _source(entry), pin.get("beside") or {}
    paths = [download.hub_file(source.repo or "", f, revision, entry.name, source.repo_type) for f in source.beside]
    expected = {path: Expected(revision, known.get(path.name), None, pin.get("date")) for path in paths}
    return {path: _compare(entry, path, expected[path]) for path in paths}


def _convert(entry: registry.Entry, original: Path, revision: str | None, *, half: bool) -> None:
    """Write the model file of `entry` from the fetched file. Raises ModelError if it cannot be converted."""
    from enhance_cli.models.convert.file import convert_file

    source = _source(entry)
    origin = {"origin": source.location, "revision": revision, "restriction": source.restriction}
    convert_file(
        original,
        entry.name,
        entry.path,
        converter=source.converter or "auto",
        licence=entry.licence,
        origin={key: value for key, value in origin.items() if value},
        half=half,
        extractor_id=entry.extractor_id,
    )


def _tell_terms(entry: registry.Entry, tell: Tell) -> None:
    """Tell the size and the license of a model, and forbidden uses, before it is fetched."""
    source = _source(entry)
    size = source.size or source.about
    about = "" if source.size else "about "
    tell(f"{entry.name}: {f'{about}{size / 1e6:,.1f} MB' if size else 'size not known'}, license {entry.licence}")
    if source.restriction:
        tell(f"{entry.name}: {source.restriction}")


def remove(name: str, forget: bool = False) -> list[Path]:
    """Delete the files that `pull` made of `name`, and its pin if `forget`. Returns the paths deleted.

    Files in the Hub's own cache stay, since other programs share it. Raises ModelError if there is nothing.
    """
    entry = published(name)
    folder = _folder(name)
    gone = [path for path in (entry.path, folder) if path.exists()]
    entry.path.unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    if forget and folders.forget_pin(name):
        gone.append(folders.home() / "pins" / f"{name}.json")
    if not gone:
        raise ModelError(f"{name}: not pulled", "there is nothing to remove")
    return gone


def _fetch(entry: registry.Entry, expected: Expected, progress: https.Progress) -> Path:
    source = _source(entry)
    if source.repo and source.file:
        return download.hub_file(source.repo, source.file, expected.revision, entry.name, source.repo_type)
    return download.url_to(source.location, _folder(entry.name) / download.url_file(source.location), progress)


def _compare(entry: registry.Entry, original: Path, expected: Expected) -> str:
    """Return the file's SHA-256. Deletes the file and raises ModelError if it is not the expected one."""
    size, digest = original.stat().st_size, file_sha256(original)
    if expected.size is not None and size != expected.size:
        wrong = f"{size} bytes instead of {expected.size}"
    elif expected.sha256 is not None and digest != expected.sha256:
        wrong = f"SHA-256 {digest} instead of {expected.sha256}"
    else:
        return digest
    download.discard(original)
    shutil.rmtree(_folder(entry.name), ignore_errors=True)
    if expected.since is None:
        raise ModelError(
            f"{_source(entry).location}: not the recorded file ({wrong}); deleted",
            "run again; if that fails, the file has been changed and must not be trusted",
        )
    raise ModelError(
        f"{_source(entry).location}: no longer the file that was pulled on {expected.since} ({wrong}); deleted",
        f"if its authors say why, run `enhance models remove --forget {entry.name}`, then pull",
    )


def _folder(name: str) -> Path:
    return folders.downloads() / name
