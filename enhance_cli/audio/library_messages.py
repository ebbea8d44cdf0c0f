"""Catch the lines that libmpg123 prints on stderr while a file is read, so that they can be reported with its name.

Lines of others in the meantime, such as those of another thread, are passed on.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Lines that begin with "error: " or "warning: " belong to this program. Lines of libmpg123 begin with their place in its code
_OWN = re.compile(r"(Warning|Note|ID3v2|main): |\[.*libmpg123|(Tag|Frame|Trying to resync|Found)\b")
_lock = threading.Lock()


@contextmanager
def caught_messages(lines: list[str]) -> Iterator[None]:
    """Append the lines that libmpg123 prints within the context to `lines`, each once."""
    with _lock, tempfile.TemporaryFile() as file:
        try:
            before = os.dup(2)
        except OSError:  # standard error is closed, so nothing will appear there
            yield
            return
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            for raw in file:
                line = raw.decode("utf-8", "replace").strip()
                if not _OWN.match(line):
                    os.write(2, raw)
                elif line not in lines:
                    lines.append(line)
