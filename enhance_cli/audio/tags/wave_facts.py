"""Correct the facts about the samples in Broadcast WAV chunks: time code, rate, depth and loudness.

Sources: EBU Tech 3285 (bext) and the iXML specification, version 3. Facts that are still correct are not changed.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_TIME_REFERENCE = 338  # offset in bext: samples since midnight, 64 bits
_LOUDNESS = 412  # offset in bext, from version 2 on: five 16-bit numbers of a hundredth of a unit
_NOT_SET = 0x7FFF


@dataclass(frozen=True)
class Change:
    """Describe how the samples of an output differ from those of its source.

    `start`: start of the output in the source, in seconds. `duration`: in seconds. `bits`: bit depth, if it has one. `gain`:
    in dB. `loudness`: integrated loudness in LUFS, if it is known. `channel`: number of the channel that was processed
    alone, or "mix".
    """

    start: float = 0.0
    duration: float | None = None
    bits: int | None = None
    gain: float = 0.0
    loudness: float | None = None
    channel: str | None = None


def true_bext(bext: bytes, order: str, rate_before: float, rate_after: float, change: Change) -> bytes:
    """Return a bext chunk with the time code of the start of the output, and with its loudness."""
    if len(bext) >= _TIME_REFERENCE + 10:
        reference, version = struct.unpack_from(order + "QH", bext, _TIME_REFERENCE)
        moved = _moved(reference, rate_before, rate_after, change.start)
        bext = bext[:_TIME_REFERENCE] + struct.pack(order + "Q", moved) + bext[_TIME_REFERENCE + 8 :]
        if change.gain and version >= 2 and len(bext) >= _LOUDNESS + 10:
            value = _NOT_SET if change.loudness is None else round(100 * change.loudness)
            fields = struct.pack(order + "h4h", value, *[_NOT_SET] * 4)
            bext = bext[:_LOUDNESS] + fields + bext[_LOUDNESS + 10 :]
    return bext


def true_ixml(ixml: bytes, order: str, rate_before: float, rate_after: float, change: Change) -> bytes:
    """Return an iXML chunk with time stamps, rates, depth and tracks of the output, without the old loudness."""
    stamped = _number(ixml, b"TIMESTAMP_SAMPLE_RATE") or rate_before
    follows = stamped == rate_before  # otherwise it was recorded at one rate, to be played at another
    for high, low in (
        (b"TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI", b"TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO"),
        (b"BWF_TIME_REFERENCE_HIGH", b"BWF_TIME_REFERENCE_LOW"),
    ):
        upper, lower = _number(ixml, high), _number(ixml, low)
        if lower is not None:
            old = (upper or 0) << 32 | lower
            new = _moved(old, stamped, rate_after if follows else stamped, change.start)
            if new != old:
                ixml = _put(_put(ixml, high, new >> 32), low, new & 0xFFFFFFFF)
    if rate_after != rate_before:
        for name in (b"FILE_SAMPLE_RATE", b"TIMESTAMP_SAMPLE_RATE"):
            if _number(ixml, name) == rate_before:
                ixml = _put(ixml, name, round(rate_after))
    if change.bits and _number(ixml, b"AUDIO_BIT_DEPTH") not in (None, change.bits):
        ixml = _put(ixml, b"AUDIO_BIT_DEPTH", change.bits)
    if change.start or rate_after != rate_before:
        ixml = _SYNC.sub(lambda point: _sync_point(point.group(), rate_before, rate_after, change), ixml)
        ixml = _put(ixml, b"SYNC_POINT_COUNT", len(_SYNC.findall(ixml)))
    if change.gain:
        ixml = _OLD_LOUDNESS.sub(b"", ixml)
    return _only_track(ixml, change.channel) if change.channel else ixml


_SYNC = re.compile(rb"<SYNC_POINT>.*?</SYNC_POINT>\s*", re.DOTALL)
_TRACK = re.compile(rb"<TRACK>.*?</TRACK>\s*", re.DOTALL)
_OLD_LOUDNESS = re.compile(
    rb"<LOUDNESS>.*?</LOUDNESS>\s*|<BWF_(LOUDNESS_\w+|MAX_\w+)>[^<]*</BWF_\1>\s*", re.DOTALL
)  # fmt: skip


def _sync_point(point: bytes, rate_before: float, rate_after: float, change: Change) -> bytes:
    """Return a sync point with its position in the output, or nothing if it lies before the output."""
    low, high = _number(point, b"SYNC_POINT_LOW"), _number(point, b"SYNC_POINT_HIGH") or 0
    if low is None:
        return point
    start = change.start if b"RELATIVE" in point else 0.0  # absolute ones count from midnight
    seconds = (high << 32 | low) / rate_before - start
    if seconds < 0:
        return b""
    sample = round(seconds * rate_after)
    point = _put(_put(point, b"SYNC_POINT_LOW", sample & 0xFFFFFFFF), b"SYNC_POINT_HIGH", sample >> 32)
    length = _number(point, b"SYNC_POINT_EVENT_DURATION")
    if length is not None:
        point = _put(point, b"SYNC_POINT_EVENT_DURATION", round(length * rate_after / rate_before))
    return point


def _only_track(ixml: bytes, channel: str) -> bytes:
    """Return an iXML chunk with only the track of one channel, or without tracks for a mix."""
    own = [track for track in _TRACK.findall(ixml) if str(_number(track, b"CHANNEL_INDEX")) == channel]
    kept = [_put(track, b"CHANNEL_INDEX", 1) for track in own]
    found = _TRACK.search(ixml)
    if found is None:
        return ixml
    begin = found.start()
    return _put(ixml[:begin], b"TRACK_COUNT", len(kept)) + b"".join(kept) + _TRACK.sub(b"", ixml[begin:])


def describes_level(name: str) -> bool:
    """Return whether a tag states how loud the samples are, which a gain makes wrong."""
    return any(part in name.lower() for part in ("replaygain", "r128_", "itunnorm", "rva2", "rgad"))


def _moved(reference: int, rate_before: float, rate_after: float, start: float) -> int:
    if not start and rate_before == rate_after:
        return reference
    return round((reference + start * rate_before) * rate_after / rate_before)


def _number(ixml: bytes, name: bytes) -> int | None:
    found = re.search(rb"<" + name + rb">\s*(\d{1,20})\s*</", ixml)
    return int(found.group(1)) if found else None


def _put(ixml: bytes, name: bytes, value: int) -> bytes:
    return re.sub(rb"(<" + name + rb">)\s*\d+\s*(</)", rb"\g<1>" + str(value).encode() + rb"\2", ixml)
