"""Read reports: keep the last record of every file, and sum them up.

The records may come from killed runs, from several runs of the same command, or from shards with a report each.
"""

import json
import math
import os
import re
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from enhance_cli.batch.inputs import STDIN
from enhance_cli.batch.storage import StoredFile, is_url, locate
from enhance_cli.errors import UsageError

STATUSES = ("done", "skipped", "failed")
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")  # how `printable` writes a byte that is not UTF-8


@dataclass
class ReadReports:
    """Hold `records`, one per file, in the order in which the inputs appeared.

    `broken`: the lines that are no records, as "FILE line N".
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def read(paths: Iterable[Path]) -> ReadReports:
    """Return the last record of every input, except that a skip never replaces an earlier "done".

    The path "-" is standard input. Lines that a crash has cut short are left out and named. Raises UsageError for a file
    that cannot be read or is not a report, and if there is no record in any file. One of several reports may be empty, as
    that of a shard without files.
    """
    found, path = ReadReports(), None
    by_source: dict[str, dict[frozenset[str], dict[str, Any]]] = {}
    for path in paths:
        usable = other = 0
        try:
            file = 0 if path == STDIN else path  # sys.stdin is None if it was closed
            with open(file, encoding="utf-8", errors="replace", newline="\n", closefd=path != STDIN) as lines:
                for number, line in enumerate(lines, 1):
                    record = _record(line)
                    if record is not None:
                        usable += 1
                        source, outputs = _ends(record)
                        _keep(by_source.setdefault(source, {}), outputs, record)
                    elif line.strip():
                        other += 1
                        found.broken.append(f"{path} line {number}")
        except OSError as error:
            raise UsageError(f"{path}: this report cannot be read ({error.strerror})", "check its name") from error
        if other and not usable:
            raise _no_records(path)
    found.records = [record for records in by_source.values() for record in records.values()]
    if path is not None and not found.records:
        raise _no_records(path)
    return found


def _no_records(path: Path) -> UsageError:
    return UsageError(f"{path}: there are no records in this file", "name one that --report has written")


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line, object_pairs_hook=_shared)
    except ValueError:
        return None
    known = isinstance(record, dict) and isinstance(record.get("input"), str) and record.get("status") in STATUSES
    return record if known else None


def _shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dictionary with interned texts, so that all records share the names of fields, models and reasons."""
    intern = sys.intern
    return {intern(name): intern(value) if type(value) is str else value for name, value in pairs}


def _keep(found: dict[frozenset[str], dict[str, Any]], outputs: frozenset[str], record: dict[str, Any]) -> None:
    """Replace the earlier records of the same outputs in `found` (all of one input) by `record`.

    Records belong together if they share an output: if a run was killed between two stems, the record of the next run names
    only the remaining stems. A failed record is kept until a later one covers all of its outputs.
    """
    same = [
        other
        for other, earlier in found.items()
        if other <= outputs or (other & outputs and earlier["status"] != "failed")
    ]
    if record["status"] == "skipped" and any(found[other]["status"] == "done" for other in same):
        return
    if record.get("ended") and any((found[other].get("ended") or "") > record["ended"] for other in same):
        return  # reports are not always named in the order of their runs
    for other in same:
        del found[other]
    found[outputs] = record


def _ends(record: dict[str, Any]) -> tuple[str, frozenset[str]]:
    """Return the input with its track, and the outputs, as absolute paths.

    Records of early versions do not state their folder. They are identified by the input as it is written.
    """
    folder = record.get("folder")
    if not folder:
        return record["input"], frozenset([""])

    def absolute(path: str) -> str:
        return path if is_url(path) or path == "-" else os.path.normpath(os.path.join(folder, path))

    outputs = (record.get("outputs") or {}).values() or [record.get("output") or "-"]
    source = "\0".join([absolute(record["input"]), record.get("track") or ""])
    return source, frozenset(map(absolute, outputs))


def summary(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return counts, reasons, hours, real-time factor and loudness (LUFS: 10 %, 50 % and 90 % quantile).

    `hours_work` is summed over files, even if they were processed at the same time. `hours_passed` is the time during
    which at least one file was in progress, in any shard. The real-time factor is this time (else the work) divided by
    the length of the audio. `loudness_after` has one entry, "", or one for each part. Unknown values are None. `unusable`
    has the ids, by input, of embeddings that could not be repaired.
    """
    records = list(records)
    by_status = {status: [r for r in records if r["status"] == status] for status in STATUSES}
    done = by_status["done"]
    timed = [r for r in done if r.get("seconds_audio") and r.get("seconds_work")]
    audio, work = (sum(r[name] for r in timed) for name in ("seconds_audio", "seconds_work"))
    passed = _passed(timed)
    after: dict[str, list] = {}
    for record in done:
        for name, level in (record.get("parts") or {"": {"loudness": record.get("loudness_after")}}).items():
            after.setdefault(name, []).append(level.get("loudness"))
    return {
        "files": len(records),
        **{status: len(found) for status, found in by_status.items()},
        "failed_because": _reasons(by_status["failed"]),
        "skipped_because": _reasons(by_status["skipped"]),
        "unusable": {r["input"]: r["unusable"] for r in done if r.get("unusable")},
        "hours_audio": round(sum(r.get("seconds_audio") or 0 for r in done) / 3600, 6),
        "hours_work": round(sum(r.get("seconds_work") or 0 for r in done) / 3600, 6),
        "hours_passed": None if passed is None else round(passed / 3600, 6),
        "real_time_factor": round((work if passed is None else passed) / audio, 4) if audio else None,
        "loudness_before": _spread([r.get("loudness_before") for r in done]),
        "loudness_after": {name: _spread(levels) for name, levels in after.items()},
    }


def _passed(records: list[dict[str, Any]]) -> float | None:
    """Return the seconds during which at least one of these files was in progress, or None if a record lacks its times."""
    if not records or not all(r.get("ended") for r in records):
        return None
    ends = [datetime.fromisoformat(r["ended"]).timestamp() for r in records]
    total, reached = 0.0, -math.inf
    for start, end in sorted((end - r["seconds_work"], end) for end, r in zip(ends, records)):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _reasons(records: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the inputs by reason, the most frequent reason first. Names and numbers in reasons are replaced."""
    found: dict[str, list[str]] = {}
    for record in records:
        found.setdefault(_kind(record), []).append(record["input"])
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _kind(record: dict[str, Any]) -> str:
    reason = record.get("reason") or "for no known reason"
    names = [record["input"], record.get("output"), *(record.get("outputs") or {}).values()]
    for name in sorted({name for name in names if name and name != "-"}, key=len, reverse=True):
        reason = reason.replace(name, "FILE")
    return re.sub(r"(?<![\w-])-?\d[\d.e+]*\b", "N", reason.removeprefix("FILE: "))


def _spread(levels: list[float | None]) -> list[float] | None:
    known = sorted(level for level in levels if level is not None)
    if not known:
        return None
    tenths = statistics.quantiles(known, n=10, method="inclusive") if len(known) > 1 else known * 9
    return [round(tenths[index], 2) for index in (0, 4, 8)]


def real_path(name: str, folder: str | None) -> Path | StoredFile:
    """Return the path for its text in a record, in which invalid UTF-8 is escaped.

    A relative path starts at `folder`, unless that is the current working folder.
    """
    if is_url(name):
        return locate(name)
    if folder is None or name == "-" or os.path.realpath(folder) == os.path.realpath(os.getcwd()):
        folder = ""
    if not os.path.lexists(os.path.join(folder, name)):
        name = _ESCAPED.sub(lambda found: chr(0xDC00 + int(found.group(1), 16)), name)
    return Path(folder, name)
