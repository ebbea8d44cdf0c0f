"""Define the errors that a user can act on.

Each is one line (the file, the reason, the remedy) and has an exit code.
"""

import errno
import sys
from enum import IntEnum


class ExitCode(IntEnum):
    """List the ways in which a command ends, for scripts."""

    DONE = 0  # files that were skipped count as done
    SOME_FAILED = 1
    WRONG_USE = 2
    MODEL_REFUSED = 3  # missing, damaged, or unable to do it
    INTERRUPTED = 130  # by Ctrl-C or SIGTERM


class EnhanceError(Exception):
    """Report an error that the user can act on. `hint` says how to fix it."""

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class AudioError(EnhanceError):
    """Report a file that cannot be read or written. The rest of the batch continues."""


class OutputError(AudioError):
    """Report an output that cannot be written, through no fault of its input (a full disk, for example)."""


class NothingToDo(EnhanceError):
    """Report an input that is skipped because of its content."""


class VectorError(EnhanceError):
    """Report stored embeddings that cannot be read, used or written. The rest of the batch continues."""


class UsageError(EnhanceError):
    """Report wrong use of a command. Nothing has been done yet."""

    exit_code = ExitCode.WRONG_USE


class ModelError(EnhanceError):
    """Report a model that is missing, refused or cannot do the task."""

    exit_code = ExitCode.MODEL_REFUSED


NO_ROOM = (
    "if its disk is full, free some space, else choose another place with -o"  # hint of outputs that a disk refused
)


def one_line(error: BaseException) -> str:
    """Return the message of any error on one line."""
    return " ".join(str(error).split())


def reader_has_gone(error: BaseException) -> bool:
    """Return whether a write failed because the reader of the pipe is gone. On Windows this has no errno of its own."""
    if sys.platform == "win32" and isinstance(error, OSError) and error.errno == errno.EINVAL:
        return not error.filename
    return isinstance(error, BrokenPipeError)
