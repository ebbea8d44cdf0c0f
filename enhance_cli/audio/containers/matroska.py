"""Walk the elements of a Matroska file (RFC 8794, RFC 9559), to see whether it is cut off, and to find its attachments.

Live recordings state neither the length of the segment, which contains everything, nor the lengths of its clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enhance_cli.audio.containers.bounded import BoundedFile, Readable

HEADER, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_ATTACHMENTS, _ATTACHED_FILE = 0x1941A469, 0x61A7
_DESCRIPTION, _NAME, _TYPE, _DATA = 0x467E, 0x466E, 0x4660, 0x465C
_OF_SEGMENT = (  # elements that end a cluster of unknown length
    HEADER, CLUSTER, _ATTACHMENTS, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1043A770, 0x1254C367
)  # fmt: skip
_LONGEST_HEAD = 12  # bytes
_LARGEST_PICTURE = 1 << 26  # bytes


@dataclass(frozen=True)
class Element:
    """Locate an element: its name, the position of its content, and the content's length (None if it is not stated)."""

    name: int
    begin: int
    length: int | None


@dataclass(frozen=True)
class Attachment:
    """Hold a file that is attached to a recording."""

    name: str
    mime: str
    description: str
    data: bytes


def element_at(file: Readable, at: int) -> Element | None:
    """Return the element that begins at byte `at`, None if none does."""
    file.seek(at)
    head = file.read(_LONGEST_HEAD)
    if not head or head[0] < 0x10:
        return None
    width = 9 - head[0].bit_length()
    if len(head) <= width or not head[width]:
        return None
    of_length = 9 - head[width].bit_length()
    if len(head) < width + of_length:
        return None
    length = int.from_bytes(head[width : width + of_length], "big") - (1 << 7 * of_length)
    known = length != (1 << 7 * of_length) - 1
    return Element(int.from_bytes(head[:width], "big"), at + width + of_length, length if known else None)


def segment_of(file: Readable, start: int) -> Element | None:
    """Return the segment of the file that begins at byte `start`, which holds everything but its header, None without."""
    header = element_at(file, start)
    if header is None or header.name != HEADER or header.length is None:
        return None
    segment = element_at(file, header.begin + header.length)
    return segment if segment is not None and segment.name == SEGMENT else None


def breaks_off(file: Readable, start: int, end: int) -> bool:
    """Return whether the last element of a live recording in bytes `start` to `end` is incomplete.

    This does not look into recordings that state the length of their segment.
    """
    segment = segment_of(file, start)
    if segment is None or segment.length is not None:
        return False
    at, in_cluster = segment.begin, False
    while at < end:
        element = element_at(file, at)
        if element is None:
            return end - at < _LONGEST_HEAD
        child = element.name in _OF_SEGMENT
        if element.length is None:
            if element.name != CLUSTER:
                return False
            at, in_cluster = element.begin, True
        else:
            at, in_cluster = element.begin + element.length, in_cluster and not child
    return at > end


def attachments(file: Readable, start: int, end: int) -> Iterator[Attachment]:
    """Yield the files that are attached to the recording in bytes `start` to `end`."""
    segment = segment_of(file, start)
    if segment is None:
        return
    for element in _children(file, segment.begin, min(end, segment.begin + (segment.length or end))):
        if element.name == _ATTACHMENTS:
            for attached in _children(file, element.begin, min(end, element.begin + (element.length or 0))):
                if attached.name == _ATTACHED_FILE:
                    yield _attachment(file, attached)


def _attachment(file: Readable, attached: Element) -> Attachment:
    bounded = BoundedFile(file)
    parts = {}
    for part in _children(file, attached.begin, attached.begin + (attached.length or 0)):
        bounded.seek(part.begin)
        parts[part.name] = bounded.read(min(part.length or 0, _LARGEST_PICTURE))
    name, mime, description = (
        parts.get(key, b"").rstrip(b"\0").decode("utf-8", "replace") for key in (_NAME, _TYPE, _DESCRIPTION)
    )
    return Attachment(name, mime, description, parts.get(_DATA, b""))


def _children(file: Readable, at: int, end: int) -> Iterator[Element]:
    """Yield the elements in bytes `at` to `end`, including those within clusters of unknown length."""
    while at < end and (element := element_at(file, at)) is not None:
        yield element
        if element.length is None and element.name != CLUSTER:
            return
        at = element.begin + (element.length or 0)
