"""Errors a user can act on. Each is one line (what happened, to which file, what to do) and knows its exit code."""


class EnhanceError(Exception):
    """Something went wrong that the user can understand: `message`, and in `hint` what to do about it."""

    exit_code = 1

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

    exit_code = 2


class ModelError(EnhanceError):
    """A model that is missing, refused or cannot do what was asked."""

    exit_code = 3
