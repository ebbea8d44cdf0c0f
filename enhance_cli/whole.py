"""Files that are replaced whole: written under a hidden name beside their place, and renamed when they are complete.

A run that is killed leaves what was there before, and two runs that write the same file do not mix: the last one wins. Outputs
of a batch are written by batch.atomic instead, where the second run has to be told.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Yields a file to write bytes to; it becomes `target` when the block ends well and vanishes when it does not.

    Missing folders are made. Raises OSError as the file system gives it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{secrets.token_hex(8)}.part")  # not of tempfile, which hides it from other users
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:  # Ctrl-C too
        part.unlink(missing_ok=True)
        raise
