"""Tell how long models will take that are made for a GPU, where they run on a CPU."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from enhance_cli.errors import EnhanceError
from enhance_cli.models.spec import Spec
from enhance_cli.tasks.options import ExtendOptions


def on_cpu(
    spec: Spec,
    options: ExtendOptions,
    sources: Sequence[Any],
    facts: Mapping[str, Any],
    *,
    duration: float | None = None,
    channels: int | None = None,
) -> list[str]:
    """Return the expected time in words, for the line before a run, or nothing for quick models and GPUs.

    Args:
        spec, options: the model and its settings.
        sources: the inputs. For files that can be opened the whole time is told.
        facts: fields of all records, with the device.
        duration: most seconds that are taken of each.
        channels: number of channels that are taken of each, None for all.
    """
    from enhance_cli.tasks.extend_bandwidth import LATENT_NETWORK

    if spec.network != LATENT_NETWORK or facts.get("device") != "cpu":
        return []
    needed, window = seconds_of_window(spec, options)
    told = f"about {in_words(60 / window * needed)} for a minute of one channel on this CPU"
    counts = [_windows(source, window, duration, channels) for source in sources]
    if not counts or None in counts:
        return [told]
    return [f"about {in_words(needed * sum(filter(None, counts)))} in all ({told})"]


def seconds_of_window(spec: Spec, options: ExtendOptions) -> tuple[float, float]:
    """Return how many seconds this CPU needs for a channel of a window, about, and the seconds that a window is worth."""
    from enhance_cli.models.load import without_weights
    from enhance_cli.models.operations import speed
    from enhance_cli.tasks.extend_bandwidth import windows_of

    windowed, plan = windows_of(without_weights(spec), options)
    return windowed.operations() / speed(options.threads), plan.core / windowed.rate


def in_words(seconds: float) -> str:
    """Return a duration in two digits at most."""
    for unit, length in (("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= 1.95 * length or unit == "second":
            number = max(1, round(seconds / length))
            return f"{number} {unit}{'' if number == 1 else 's'}"
    raise AssertionError("unreachable")


def _windows(source: Any, window: float, duration: float | None, channels: int | None) -> int | None:
    """Return the number of windows of all channels of a file, or None where only reading it can tell.

    `window`: seconds that a window is worth.
    """
    from enhance_cli.audio.read import open_audio

    if not isinstance(source, Path) or not source.is_file():  # a pipe can be read only once
        return None
    try:
        with open_audio(source) as audio:
            info = audio.info
    except (EnhanceError, OSError):
        return 0  # which says so in its turn
    if info.frames is None:
        return None
    seconds = info.frames / info.rate
    seconds = seconds if duration is None else min(seconds, duration)
    return ceil(seconds / window) * (channels or info.channels)
