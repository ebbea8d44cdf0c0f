"""Assemble the page from the HTML, style and script files in this folder and the data."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import os
import re
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from enhance_cli import __version__
from enhance_cli.audio.drawing.overview_pictures import RANGE
from enhance_cli.batch.page.entry import Recording
from enhance_cli.batch.record import printable

GENERATOR = "enhance"
SCRIPTS = ("player.js", "list.js", "recording.js", "page.js")  # joined in this order
_TYPES = {".flac": "audio/flac", ".opus": "audio/ogg", ".ogg": "audio/ogg", ".webp": "image/webp", ".png": "image/png"}


def document(entries: Sequence[dict[str, Any]]) -> str:
    """Return the page for `entries`. Its security policy allows only its own script, and nothing from other sites."""
    source = files(__package__)
    style = source.joinpath("page.css").read_text(encoding="utf-8")
    script = "".join(source.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    own = "'self' file: data:"
    policy = (
        f"default-src 'none'; img-src {own}; media-src {own}; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    title = f"Review of {len(entries):,} recording{'' if len(entries) == 1 else 's'}"
    data = {"title": title, "summary": _summary(entries), "entries": entries}
    values = {
        "policy": f"{policy}; base-uri 'none'; form-action 'none'",
        "generator": f"{GENERATOR} {__version__}",
        "title": title,
        "range": f"{RANGE:g}",
        "style": style,
        "script": script,
        "data": json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
    }
    page = source.joinpath("page.html").read_text(encoding="utf-8")
    # In one pass, since the data may contain {{...}}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], page)


def address(path: Path, page: Path) -> str:
    """Return the address of a file as seen from the page: relative, or absolute if it is on another drive."""
    try:
        relative = os.path.relpath(path, page.absolute().parent)
    except ValueError:  # another drive of Windows
        return path.absolute().as_uri()
    quoted = quote(os.fsencode(relative.replace(os.sep, "/")))
    return f"./{quoted}"  # without ./, a name with a colon would look like a URL scheme


def embedded(path: Path) -> str:
    """Return the content of a file as a data: address."""
    kind = _TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def with_addresses(
    fields: dict[str, Any], found: Sequence[Recording], folder: Path, page: Path, *, embed: bool
) -> dict[str, Any]:
    """Return the fields of an entry for the page, in which every take has the addresses or contents of its files."""
    reach = embedded if embed else lambda path: address(path, page)
    takes = []
    for take in fields.get("takes", []):
        path = found[take["index"]].path
        assert path is not None
        takes.append(
            {
                "label": take["label"], "rate": take["rate"], "offset": take["offset"], "loudness": take["loudness"],
                "file": printable(path.name), "link": address(path, page),
                "href": reach(folder / take["copy"] if take["copy"] else path),
                "wave": reach(folder / take["wave"]), "spectrogram": reach(folder / take["spectrogram"]),
            }
        )  # fmt: skip
    return {**fields, "takes": takes}


def _summary(entries: Sequence[dict[str, Any]]) -> str:
    counts = [
        f"{count:,} {status}"
        for status in ("done", "skipped", "failed")
        if (count := sum(entry["status"] == status for entry in entries))
    ]
    minutes = sum(entry["seconds"] or 0 for entry in entries) / 60
    audio = f"{minutes / 60:.1f} h of audio" if minutes >= 90 else f"{minutes:.1f} min of audio"
    return " \u00b7 ".join([*counts, audio, f"enhance {__version__}", datetime.now().strftime("%Y-%m-%d %H:%M")])


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
