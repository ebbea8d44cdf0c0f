"""Draw the pictures of an entry and make its sounds playable, in the folder beside the page.

A JSON file there describes the pictures, so that they can be reused as long as their recordings have not changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enhance_cli import __version__
from enhance_cli.atomic import replace_file
from enhance_cli.audio.drawing.browser_copy import browsers_play, copy_suffix, write_browser_copy
from enhance_cli.audio.drawing.overview import Overview, overview, spectral_change
from enhance_cli.audio.drawing.overview_pictures import COLORS, draw_spectrogram, draw_waveform
from enhance_cli.audio.one_channel import only_channels
from enhance_cli.audio.read import AudioFile, open_audio
from enhance_cli.batch.page.entry import LEVELS, Recording
from enhance_cli.errors import EnhanceError


def draw(record: dict[str, Any], found: Sequence[Recording], folder: Path, *, copy_wave: bool) -> dict[str, Any]:
    """Return the fields of an entry that are made from its recordings: takes, levels, change, duration, problem.

    Pictures and copies are written to `folder`. `copy_wave`: also copy WAV files, to smaller files. Missing and unreadable
    files are left out and named in `problem`.
    """
    key = _key(record, found)
    state = {"version": __version__, "copy_wave": copy_wave, "of": [_state(recording.path) for recording in found]}
    noted = folder / f"{key}.json"
    if (fields := _noted(noted, state, folder)) is not None:
        return fields
    fields = _draw(record, found, folder, key, copy_wave=copy_wave)
    with replace_file(noted) as file:
        file.write(json.dumps({"state": state, "fields": fields}).encode())
    return fields


def undrawn(found: Sequence[Recording]) -> dict[str, Any]:
    """Return the levels of an entry that has no pictures."""
    return {"levels": [{"label": recording.label, **recording.levels} for recording in found]}


def _noted(path: Path, state: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    try:
        noted = json.loads(path.read_bytes())
        fields = noted["fields"]
        files = [take[kind] for take in fields["takes"] for kind in ("wave", "spectrogram", "copy") if take[kind]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return fields if noted["state"] == state and all((folder / name).exists() for name in files) else None


def _draw(
    record: dict[str, Any], found: Sequence[Recording], folder: Path, key: str, *, copy_wave: bool
) -> dict[str, Any]:
    surveys: list[Overview | None] = []
    problems, takes, levels = [], [], []
    for index, recording in enumerate(found):
        survey, known = None, dict(recording.levels)
        if recording.path is None:
            problems.append(f"{recording.label}: not a file on this machine, so it has no picture and no sound here")
        else:
            try:
                survey, take = _take(record, recording, index, folder, key, copy_wave=copy_wave)
                takes.append(take)
                measured = {name: getattr(survey, name) for name in LEVELS if known[name] is None}
                known |= {name: round(value, 2) for name, value in measured.items() if value is not None}
            except (EnhanceError, OSError) as error:
                problems.append(str(error))
        surveys.append(survey)
        levels.append({"label": recording.label, **known})
    _draw_pictures(takes, [survey for survey in surveys if survey is not None], folder)
    change = None
    if len(surveys) == 2 and surveys[0] and surveys[1]:
        change = spectral_change(surveys[0], surveys[1], record.get("gain") or 0.0)
    seconds = [survey.seconds for survey in surveys if survey is not None]
    return {
        "takes": takes,
        "levels": levels,
        "change": None if change is None else round(change, 2),
        "duration": round(max(seconds), 3) if seconds else None,
        "problem": "; ".join(problems),
    }


def _draw_pictures(takes: list[dict[str, Any]], surveys: list[Overview], folder: Path) -> None:
    """Draw all takes on one scale."""
    power = max((float(survey.spectrum.max()) for survey in surveys), default=0.0)
    sample = max((float(abs(survey.extremes).max()) for survey in surveys), default=0.0)
    for take, survey in zip(takes, surveys, strict=True):
        draw_spectrogram(survey, power, folder / take["spectrogram"])
        draw_waveform(survey, sample, COLORS[min(take["index"], 1)], folder / take["wave"])


def _take(
    record: dict[str, Any], recording: Recording, index: int, folder: Path, key: str, *, copy_wave: bool
) -> tuple[Overview, dict[str, Any]]:
    """Return the survey of a recording, and the take of it: the names of its files, and facts for the player.

    A sound that browsers cannot play, or of which they would play more than was processed, is copied to `folder`.
    """
    assert recording.path is not None
    start, duration = _section(record) if index == 0 else (0.0, None)
    copy, gain = None, 0.0
    with _opened(record, recording.path, index == 0) as audio:
        survey = overview(audio, start=start, duration=duration)
        whole = index or not (record.get("track") or record.get("channel"))
        embedded = copy_wave and audio.info.container in ("WAV", "WAVEX")
        if embedded or not (whole and browsers_play(audio.info)):
            copy = f"{key}-{index}{copy_suffix(audio.info)}"
            peak = max(1.0, float(abs(survey.extremes).max()))
            gain = write_browser_copy(audio, folder / copy, peak=peak, start=start, duration=duration)
    loudness = recording.levels["loudness"] if recording.levels["loudness"] is not None else survey.loudness
    return survey, {
        "label": recording.label,
        "index": index,
        "wave": f"{key}-{index}-wave.png",
        "spectrogram": f"{key}-{index}.webp",
        "copy": copy,
        "offset": 0.0 if copy else start,
        "rate": survey.rate,
        "loudness": None if loudness is None else round(loudness + gain, 2),
    }


def _opened(record: dict[str, Any], path: Path, is_input: bool) -> AudioFile:
    """Open the track and the channel of an input that were taken, or an output."""
    new = record.get("new_track")
    audio = open_audio(path, record.get("track") if is_input else str(new) if new else None)
    channel = record.get("channel")
    return only_channels(audio, channel) if is_input and channel else audio


def _section(record: dict[str, Any]) -> tuple[float, float | None]:
    """Return the start and the duration of the processed part of the input, in seconds."""
    start = record.get("start") or 0.0
    return start, record.get("seconds_audio")


def _key(record: dict[str, Any], found: Sequence[Recording]) -> str:
    """Return a unique name for the files of an entry, which needs no quoting in addresses."""
    places = [os.path.abspath(recording.path) if recording.path else recording.label for recording in found]
    told = "\0".join(
        [*places, record["input"], str(record.get("track")), str(record.get("start")), str(record.get("channel"))]
    )
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(record["input"]).stem)[:40]
    return f"{stem}-{hashlib.blake2b(told.encode('utf-8', 'surrogateescape'), digest_size=5).hexdigest()}"


def _state(path: Path | None) -> list[int] | None:
    try:
        status = os.stat(path) if path is not None else None
    except OSError:
        return None
    return None if status is None else [status.st_size, status.st_mtime_ns]
