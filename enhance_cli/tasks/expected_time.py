"""Estimate how long a model that is made for a GPU will take on a CPU."""

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
    """Return the expected time in words, for a message before a run. The list is empty for quick models and for GPUs.

    Args:
        spec, options: the model and its settings.
        sources: the inputs. If all are files that can be opened, the text states the time for all of them.
        facts: fields of all records, with the device.
        duration: largest number of seconds of each input that are processed, None for all.
        channels: number of channels of each input that are processed, None for all.
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
    """Return about how many seconds this CPU needs for one channel of a window, and how many seconds a window advances."""
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
    """Return the number of windows of all channels of a file, or None if the file would have to be read to know it.

    `window`: seconds by which a window advances.
    """
    from enhance_cli.audio.read import open_audio

    if not isinstance(source, Path) or not source.is_file():  # a pipe can be read only once
        return None
    try:
        with open_audio(source) as audio:
            info = audio.info
    except (EnhanceError, OSError):
        return 0  # the run itself will report the error
    if info.frames is None:
        return None
    seconds = info.frames / info.rate
    seconds = seconds if duration is None else min(seconds, duration)
    return ceil(seconds / window) * (channels or info.channels)
