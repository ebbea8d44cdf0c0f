"""Make the entry of the page for a record: its texts and levels, and the files that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enhance_cli.batch import measurements
from enhance_cli.batch.reports import real_path

LEVELS = ("loudness", "peak", "noise_floor")
MOST_GAPS = 500  # that the page lists for a recording. Records have all of them
_SETTINGS = (
    "model", "revision", "sampler", "steps", "guide", "seed", "device", "precision", "gain", "start", "channel", "version"
)  # fmt: skip
_UNITS = {"gain": " dB", "start": " s"}


@dataclass(frozen=True)
class Recording:
    """Hold a file of a record and its known levels. `path` is None if there is no file that can be read."""

    label: str
    path: Path | None
    levels: dict[str, float | None]


def recordings(record: dict[str, Any]) -> list[Recording]:
    """Return the input and the outputs of a record, the input first.

    A failed record has no outputs, and a record of speaker embeddings has no recordings to compare.
    """
    if record.get("vectors") is not None:
        return []
    parts = record.get("parts") or {}
    level = lambda when: {name: record.get(f"{name}_{when}") for name in (*LEVELS, *_measured(record))}
    found = [Recording("mix" if parts else "before", _local(record, record["input"]), level("before"))]
    if record["status"] == "failed":
        return found
    for name, path in (record.get("outputs") or {"": record.get("output")}).items():
        levels = {key: parts[name].get(key) for key in LEVELS} if name in parts else level("after")
        found.append(Recording(name or "after", _local(record, path), levels))
    return found


def entry(record: dict[str, Any]) -> dict[str, Any]:
    """Return the texts of a record, without its pictures and sounds."""
    settings = {name: record.get(name) for name in _SETTINGS} | (record.get("sampler_args") or {})
    if settings["revision"]:
        settings["revision"] = settings["revision"][:12]
    known = [f"{name}: {value}{_UNITS.get(name, '')}" for name, value in settings.items() if value not in (None, "")]
    known += [
        f"--{name} {given['value']}, from {given['from']}" for name, given in (record.get("settings") or {}).items()
    ]
    lost = [f"not carried over: {tag}" for tag in record.get("tags_lost") or []]
    return {
        "name": record.get("relative") or record["input"],
        "status": record["status"],
        "reason": record.get("reason") or "",
        "problem": "",
        "seconds": record.get("seconds_audio"),
        "duration": None,
        "change": None,
        "facts": _facts(record),
        "notes": [*(record.get("notes") or []), *lost],
        "settings": known,
        **_gaps(record),
        "levels": [],
        "measured": [[title, name, unit] for name, (title, unit) in _measured(record).items()],
        "takes": [],
    }


def _gaps(record: dict[str, Any]) -> dict[str, Any]:
    """Return the filled gaps in seconds of the processed part, with a description of each, and their total number."""
    begin, found = record.get("start") or 0.0, record.get("gaps") or []
    listed = [
        {
            "from": round(gap["start"] - begin, 4),
            "to": round(gap["end"] - begin, 4),
            "said": ", ".join([gap["kind"], *([f"channel {gap['channel']}"] if gap["channel"] else []), gap["by"]]),
        }
        for gap in found[:MOST_GAPS]
    ]
    return {"gaps": listed, "gaps_in_all": len(found)} if found else {}


def _measured(record: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return title and unit, by name, of the quantities in this record that a task has measured."""
    return {name: told for name, told in measurements.LEVELS.items() if record.get(f"{name}_before")}


def _facts(record: dict[str, Any]) -> list[str]:
    facts = [record["status"]]
    if record.get("rate"):
        channels = record.get("channels")
        facts += [f"{record['rate']:,} Hz", f"{channels} channel{'' if channels == 1 else 's'}"]
    if record.get("track"):
        facts.append(f"track {record['track']}")
    if record.get("seconds_audio") and record.get("seconds_work"):
        facts.append(f"{record['seconds_audio'] / record['seconds_work']:.3g} times as fast as it plays")
    return facts


def _local(record: dict[str, Any], path: str | None) -> Path | None:
    if not path or path == "-":
        return None
    found = real_path(path, record.get("folder"))
    return found if isinstance(found, Path) else None
