"""Errors a user can act on. Each is one line (the file, the reason, the remedy) and knows its exit code."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends, for scripts."""

    DONE = 0  # files that were skipped count as done
    SOME_FAILED = 1
    WRONG_USE = 2
    MODEL_REFUSED = 3  # missing, damaged, or unable to do it
    INTERRUPTED = 130  # by Ctrl-C or SIGTERM


class EnhanceError(Exception):
    """Something went wrong that the user can understand: `message` tells the reason, `hint` the remedy."""

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class AudioError(EnhanceError):
    """A file that cannot be read or written; the rest of the batch goes on."""


class NothingToDo(EnhanceError):
    """An input that is left out for a reason that only its content tells. It counts as skipped."""


class VectorError(EnhanceError):
    """Stored embeddings that cannot be read, used or written; the rest of the batch goes on."""


class UsageError(EnhanceError):
    """The command asks for something senseless; nothing has been done yet."""

    exit_code = ExitCode.WRONG_USE


class ModelError(EnhanceError):
    """A model that is missing, refused or cannot do what was asked."""

    exit_code = ExitCode.MODEL_REFUSED
