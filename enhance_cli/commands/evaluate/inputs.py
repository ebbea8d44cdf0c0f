"""Read the files that are scored, and the flags of `enhance evaluate` that hold several numbers."""

from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeVar

from enhance_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Number = TypeVar("Number", int, float)


def audio_files(folder: Path, recursive: bool) -> dict[PurePath, Path]:
    """Return the audio and videos in `folder` by relative path without extension, or with it where several differ in it alone.

    Raises UsageError for none.
    """
    from enhance_cli.batch.inputs import SOUND_SUFFIXES, expand

    found = expand([str(folder)], recursive=recursive, searched=SOUND_SUFFIXES)
    files = {item.relative: Path(item.path) for item in found}
    short = {name: name.with_suffix("") for name in files}
    count = Counter([*short.values(), *files])
    return {short[name] if count[short[name]] == 1 else name: path for name, path in files.items()}


def read_whole(path: Path) -> "tuple[np.ndarray, int]":
    """Return a file as (C, N) float32, and its rate. Raises AudioError."""
    import numpy as np

    from enhance_cli.audio.read import open_audio

    with open_audio(path) as file:
        return np.concatenate(list(file.blocks()), axis=1).astype(np.float32), file.info.rate


def step_counts(texts: list[str]) -> list[int]:
    """Return the numbers of steps in the flags `texts`: ["1,2", "5"] gives [1, 2, 5]. Raises UsageError."""
    try:
        return list(dict.fromkeys(int(number) for text in texts for number in text.split(",")))
    except ValueError as error:
        raise UsageError(f"--steps {','.join(texts)} is not a list of whole numbers", "write it like 1,2,5") from error


def numbers(text: str, flag: str, kind: type[Number], lowest: float, highest: float, example: str) -> list[Number]:
    """Return the numbers of "5,20", which are the value of a `flag`, as int or float. Raises UsageError."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(lowest <= number <= highest for number in found):
        raise UsageError(f"{flag} {text}: must be numbers from {lowest} to {highest}", f"write it like {example}")
    return found
