"""Count the empty sound chunks in the index of an AVI. They stand for time without sound, and FFmpeg ignores them."""

from __future__ import annotations

import re

from enhance_cli.audio.containers.bounded import Readable

_LARGEST_INDEX = 1 << 26  # bytes
_SOUND = re.compile(rb"(\d\d)wb")


Runs = list[tuple[int, int]]  # of each run of empty chunks: number of chunks with sound before it, and its length


def empty_chunks(file: Readable) -> dict[int, Runs]:
    """Return the runs of empty chunks in each sound track, by the index of its stream. Other files than AVI have none.

    Only the first part of a file above 1 GB has an index of this kind.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"AVI ":
        return {}
    at = 12
    while True:
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            return {}
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"idx1":
            break
        at += 8 + size + size % 2
    index = file.read(min(size, _LARGEST_INDEX))
    found: dict[int, Runs] = {}
    with_sound: dict[int, int] = {}
    for entry in range(0, len(index) - 15, 16):
        if number := _SOUND.fullmatch(index[entry : entry + 4]):
            track = int(number.group(1))
            runs, before = found.setdefault(track, []), with_sound.setdefault(track, 0)
            if index[entry + 12 : entry + 16] != bytes(4):
                with_sound[track] += 1
            elif runs and runs[-1][0] == before:
                runs[-1] = before, runs[-1][1] + 1
            else:
                runs.append((before, 1))
    return found
