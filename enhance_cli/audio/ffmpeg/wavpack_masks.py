"""Clear the channel mask of WavPack blocks that name fewer loudspeakers than there are channels, since FFmpeg refuses these.

The format allows this: the other channels belong to no loudspeaker. The structure of blocks is that of the format
description of WavPack 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_HEADER, _CHANNELS = 32, 0x0D
_IS_ODD, _IS_LARGE = 0x40, 0x80  # flags of the id of a part of a block


def fitted(packet: Any) -> Any:
    """Return a packet of WavPack, whose channel mask is cleared if it does not fit the number of channels."""
    data = bytearray(packet)
    for channels, mask in _masks(data):
        if any(data[mask]) and int.from_bytes(data[mask], "little").bit_count() != channels:
            data[mask] = bytes(mask.stop - mask.start)
    if data != bytes(packet):
        packet.update(bytes(data))
    return packet


def is_unnamed(packet: Any) -> bool:
    """Return whether a packet of WavPack with several channels says of none to which loudspeaker it belongs."""
    data = bytearray(packet)
    return any(not any(data[mask]) for _, mask in _masks(data))


def _masks(data: bytearray) -> Iterator[tuple[int, slice]]:
    """Yield the number of channels that a block states, and where its channel mask is."""
    at = 0
    while data[at : at + 4] == b"wvpk" and at + _HEADER <= len(data):
        end = min(at + 8 + struct.unpack_from("<I", data, at + 4)[0], len(data))
        part = at + _HEADER
        while part + 4 <= end:
            large = 2 * bool(data[part] & _IS_LARGE)
            size = 2 * int.from_bytes(data[part + 1 : part + 2 + large], "little")
            begin, stop = part + 2 + large, part + 2 + large + size - bool(data[part] & _IS_ODD)
            if data[part] & 0x3F == _CHANNELS and begin < stop <= end:
                if stop - begin < 6:
                    yield data[begin], slice(begin + 1, stop)
                else:  # in 12 bits, with the number of streams between
                    yield (data[begin] | (data[begin + 2] & 15) << 8) + 1, slice(begin + 3, stop)
            part = begin + size
        at = end
