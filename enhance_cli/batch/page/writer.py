"""Write the page of a batch: draw each recording as soon as its record arrives, and write the page at the end."""

from __future__ import annotations

import contextlib
import json
import os
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from enhance_cli.atomic import replace_file
from enhance_cli.batch.inputs import PAGE_MARK
from enhance_cli.batch.page.assets import draw, undrawn
from enhance_cli.batch.page.document import GENERATOR, document, with_addresses
from enhance_cli.batch.page.entry import Recording, entry, recordings
from enhance_cli.batch.record import Record
from enhance_cli.batch.safety.temporary import temporary_folder
from enhance_cli.errors import AudioError, UsageError

MOST_EMBEDDED = 100  # recordings, since a browser keeps the whole page in memory


def folder_of(page: Path) -> Path:
    """Return the folder for pictures and sounds, named like those of pages that a browser saves."""
    return page.with_name(f"{page.stem}_files")


def check_page(page: Path, recordings: int, *, embed: bool, output: str | None = None) -> None:
    """Raise UsageError if the page cannot be written, would replace another file, or would hold too many recordings.

    `output`: folder of the results, which may not exist yet.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--page {page}: the name of a page must end in .html", f"use {page.stem or 'review'}.html")
    if page.is_dir():
        raise UsageError(f"--page {page}: this is a folder", f"use {page / 'review.html'}")
    parent = page.absolute().parent
    if output is not None and not parent.exists() and parent == Path(output).absolute():
        return  # the folder will be created for the results
    if not parent.is_dir():
        raise UsageError(f"--page {page}: there is no folder for this page", "make it, or choose another --page")
    folder = folder_of(page)
    written = [page if page.exists() else parent] + ([] if embed else [folder if folder.exists() else parent])
    for path in written:
        if not os.access(path, os.W_OK):
            raise UsageError(f"--page {page}: {path} may not be written", "choose another --page")
    if page.exists() and f'content="{GENERATOR} ' not in page.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise UsageError(f"--page {page}: this file is not a page of enhance", "choose another --page, or remove it")
    if not embed and folder.exists() and _is_foreign(folder):
        raise UsageError(f"--page {page}: {folder} holds other files", "choose another --page")
    if embed and recordings > MOST_EMBEDDED:
        message = f"--page-embed: {recordings:,} recordings are too many for one file (at most {MOST_EMBEDDED})"
        raise UsageError(message, "leave it out to have sounds and pictures beside the page")


def _is_foreign(folder: Path) -> bool:
    """Return whether this is no folder, or one with files that do not belong to a page."""
    return not folder.is_dir() or (any(folder.iterdir()) and not (folder / PAGE_MARK).exists())


class PageWriter:
    """Write a page for the records that are added. A context manager.

    `embed`: put sounds and pictures into the page instead of the folder beside it. `on_drawn(done, total)` is called at
    the end, while the remaining recordings are drawn. Raises AudioError if the page cannot be written.
    """

    def __init__(
        self, page: Path, *, embed: bool = False, on_drawn: Callable[[int, int], None] = lambda done, total: None
    ):
        self.page, self.embed, self._on_drawn = page, embed, on_drawn
        self._stack = contextlib.ExitStack()
        self._entries: list[tuple[dict[str, Any], list[Recording], Future]] = []

    def __enter__(self) -> PageWriter:
        self._pool = ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 1) // 2)), "page")
        try:
            self.page.absolute().parent.mkdir(parents=True, exist_ok=True)
            if self.embed:
                self._folder = self._stack.enter_context(temporary_folder())
            else:
                self._folder = folder_of(self.page)
                self._folder.mkdir(exist_ok=True)
                (self._folder / PAGE_MARK).touch()
        except OSError as error:
            raise self._failure(error) from error
        return self

    def add(self, record: Record | dict[str, Any]) -> None:
        """Add the record of a file, and start to draw its recordings in the background."""
        facts = json.loads(record.to_json()) if isinstance(record, Record) else record
        found = recordings(facts)
        drawing = self._pool.submit(draw, facts, found, self._folder, copy_wave=self.embed)
        self._entries.append((facts, found, drawing))

    def __exit__(self, *_: object) -> None:
        with self._stack:
            try:
                entries: list[dict[str, Any]] = []
                for added in self._entries:
                    if not added[-1].done():
                        self._on_drawn(len(entries), len(self._entries))
                    entries.append(self._finished(*added))
                with replace_file(self.page) as file:
                    file.write(document(entries).encode("utf-8", "backslashreplace"))
            except OSError as failure:
                raise self._failure(failure) from failure
            finally:
                self._pool.shutdown(cancel_futures=True)

    def _finished(self, facts: dict[str, Any], found: list[Recording], drawing: Future) -> dict[str, Any]:
        try:
            fields = drawing.result()
        except OSError:  # the folder of the page is full or missing, so the page cannot be completed
            raise
        except Exception as error:  # noqa: BLE001 - a page without these pictures is still useful
            said = "".join(traceback.format_exception_only(error)).strip()
            fields = undrawn(found) | {"problem": f"could not be drawn, {said}: please report this"}
        drawn = with_addresses(fields, found, self._folder, self.page, embed=self.embed)
        return entry(facts) | drawn | {"seconds": facts.get("seconds_audio") or drawn.get("duration")}

    def _failure(self, error: OSError) -> AudioError:
        return AudioError(f"{self.page}: the page cannot be written ({error.strerror})", "choose another --page")
