"""Parse flags whose text has a format of its own, such as I/N of --shard. All functions raise UsageError."""

import re

from enhance_cli.errors import UsageError

WINDOWS_ON_GPU = 16  # --batch-size auto


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Return (I, N) of "I/N", or None for None."""
    if text is None:
        return None
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise UsageError(f"--shard {text}: must be I/N with 1 <= I <= N", "use for example --shard 2/8")
    return int(index), int(count)


def parse_list(values: list[str]) -> tuple[str, ...]:
    """Return the names in lowercase and without duplicates. Each value may hold several, separated by commas."""
    names = [name.strip().lower() for value in values for name in value.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def parse_cutoff(text: str) -> float | None:
    """Return Hz, or None for "auto"."""
    if text == "auto":
        return None
    if not 1000 <= (value := _number(text)) <= 384000:
        hint = "use for example --input-cutoff 4000"
        raise UsageError(f"--input-cutoff {text}: must be auto, or 1000 Hz or more", hint)
    return value


def parse_gaps(text: str) -> list[tuple[float, float]] | None:
    """Return (begin, end) of each gap in seconds, or None for "auto"."""
    if text.strip() == "auto":
        return None
    gaps = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*-\s*(\d+\.?\d*|\.\d+)\s*", part)
        if not found:
            raise UsageError(
                f"--gaps {text}: must be auto, or beginnings and ends in seconds",
                "write it like 12.30-12.42,57.1-57.15",
            )
        gaps.append((float(found[1]), float(found[2])))
    return gaps


def parse_loudness(text: str) -> float | None:
    """Return LUFS, or None for "keep"."""
    if text == "keep":
        return None
    if not -70 <= (value := _number(text)) <= 0:
        raise UsageError(f"--loudness {text}: must be keep, or LUFS from -70 to 0", "use for example --loudness -16")
    return value


def _number(text: str) -> float:
    """Return the number in a text, or NaN."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def parse_batch_size(text: str) -> int:
    """Return the number of windows."""
    if text == "auto":
        return WINDOWS_ON_GPU
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--batch-size {text}: must be auto, or 1 or more", "use for example --batch-size 8")
    return int(text)


def parse_channel(channel: str | None) -> str | None:
    """Return --channel as it is, if it is a number from 1 or mix."""
    if channel is not None and channel != "mix" and not (channel.isdigit() and int(channel) > 0):
        raise UsageError(f"--channel {channel}: must be a number from 1, or mix", "as in --channel 1")
    return channel
