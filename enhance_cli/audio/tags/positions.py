"""Adjust the positions in chunks of a WAV, which are counted in samples, to the output.

These are cue points and their labels (Multimedia Programming Interface 1.0), and the timers of the cart chunk (AES46). If no
position changes, a chunk is copied byte by byte.
"""

from __future__ import annotations

import struct

from enhance_cli.audio.tags.wave_facts import Change

_TIMERS = 684  # offset of the eight timers in cart, 4 letters and a position each


def moved(position: int, rate_before: float, rate_after: float, change: Change) -> int | None:
    """Return a position in the output, None if it is outside."""
    seconds = position / rate_before - change.start
    if seconds < 0 or change.duration is not None and seconds > change.duration:
        return None
    return round(seconds * rate_after)


def true_cue(cue: bytes, order: str, rate_before: float, rate_after: float, change: Change) -> bytes:
    """Return the cue points within the output, or an empty chunk if there are none."""
    if rate_before == rate_after and not change.start:
        return cue
    points = b""
    for at in range(4, len(cue) - 23, 24):
        name, _, chunk, start, block, sample = struct.unpack_from(order + "II4sIII", cue, at)
        position = moved(sample, rate_before, rate_after, change)
        if position is not None:
            points += struct.pack(order + "II4sIII", name, position, chunk, start, block, position)
    return struct.pack(order + "I", len(points) // 24) + points if points else b""


def true_labels(adtl: bytes, order: str, rate_before: float, rate_after: float, change: Change) -> bytes:
    """Return the labels and notes of cue points, with lengths of regions in samples of the output."""
    if rate_before == rate_after:
        return adtl
    result, rest = adtl[:4], adtl[4:]
    while len(rest) >= 8:
        name, size = struct.unpack_from(order + "4sI", rest)
        piece, rest = rest[: 8 + size + size % 2], rest[8 + size + size % 2 :]
        if name == b"ltxt" and size >= 8:
            length = struct.unpack_from(order + "I", piece, 12)[0]
            piece = piece[:12] + struct.pack(order + "I", round(length * rate_after / rate_before)) + piece[16:]
        result += piece
    return result


def true_cart(cart: bytes, order: str, rate_before: float, rate_after: float, change: Change) -> bytes:
    """Return a cart chunk with timers in samples of the output. Timers outside of the output are removed."""
    if len(cart) < _TIMERS + 64 or rate_before == rate_after and not change.start:
        return cart
    timers = b""
    for at in range(_TIMERS, _TIMERS + 64, 8):
        name, sample = struct.unpack_from(order + "4sI", cart, at)
        position = moved(sample, rate_before, rate_after, change)
        used = name.strip(b"\0") and position is not None
        timers += struct.pack(order + "4sI", name, position) if used else bytes(8)
    return cart[:_TIMERS] + timers + cart[_TIMERS + 64 :]
