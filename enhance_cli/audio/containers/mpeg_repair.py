"""Put silence into the damaged parts of an MP3, so that the sound after them keeps its time.

Overwritten bytes destroy the headers of frames. Silent frames take the place of the missing ones. The frame before them,
which is damaged at its end, is silenced too, and so are the frames after them that need bits of the missing ones (ISO
11172-3, main_data_begin).
"""

from collections.abc import Iterator

from enhance_cli.audio.containers import mpeg
from enhance_cli.audio.containers.bounded import Readable
from enhance_cli.audio.containers.section import Patch

MOST = 0.1  # of all frames: where more are missing, the recording is not merely damaged

Hole = tuple[int, int, int]  # begin of the frame before it, begin and end of the damaged bytes


def find_patches(file: Readable) -> tuple[Patch, ...]:
    """Return the patches of a recording that states how many frames it has. None where it is not damaged, or too much."""
    end = file.seek(0, 2)
    first = next(mpeg.frames(file), b"")
    begin, stated = file.tell() - len(first), mpeg.stated_frames(first)
    if not stated:
        return ()
    holes: list[Hole] = []
    at, last, count = begin, begin, -1  # the first frame is the one that counts
    while True:
        for head, size in mpeg.headers(file, at):
            if at > begin and mpeg.shape(head) != mpeg.shape(first) or at + size > end:
                break
            at, last, count = at + size, at, count + 1
        again = mpeg.next_frames(file, at, end)
        if again == end:
            break
        if again == at:  # frames of another kind
            return ()
        holes.append((last, at, again))
        at = again
    missing, damaged = stated - count, sum(stop - start for _, start, stop in holes)
    if not holes or holes[0][0] == begin or not 0 <= missing <= MOST * stated:
        return ()
    patches, bytes_done, frames_done = [], 0, 0
    for number, (before, start, stop) in enumerate(holes):
        bytes_done += stop - start
        frames = round(missing * bytes_done / damaged) - frames_done
        frames_done += frames
        limit = holes[number + 1][0] if number + 1 < len(holes) else end
        patches.append(_patch(file, before, start, stop, limit, frames))
    return tuple(patches)


def _patch(file: Readable, before: int, start: int, stop: int, limit: int, frames: int) -> Patch:
    """Return the patch for the bytes `start` to `stop` behind the frame at `before`, for which `frames` silent ones stand."""
    file.seek(before)
    whole = file.read(start - before)
    silent = _silenced(whole, keep=False)
    silenced = b"".join(_silenced(frame, keep=True) for frame in _in_need(file, stop, limit))
    return Patch(before, stop + len(silenced), silent * (frames + 1) + silenced)


def _in_need(file: Readable, at: int, limit: int) -> Iterator[bytes]:
    """Yield the frames from byte `at` on that need more bits of earlier frames than those behind `at` hold."""
    held = 0
    for head, size in mpeg.headers(file, at):
        body = _body(head)
        side = head[body : body + 2]
        needed = side[0] << 1 | side[1] >> 7 if head[1] >> 3 & 1 else side[0]  # 9 bits in MPEG 1, else 8
        if at + size > limit or mpeg.layer(head) != 3 or needed <= held:
            return
        file.seek(at)
        yield file.read(size)
        at, held = at + size, held + size - body - _side_bytes(head)


def _silenced(frame: bytes, *, keep: bool) -> bytes:
    """Return a frame that is silent, and of the same size. It may `keep` its bits, which later frames may need.

    It then keeps main_data_begin too: by it mpg123 decides how many bits of earlier frames it hands on.
    """
    head = bytes([frame[0], frame[1] | 1, *frame[2:4]])  # without a checksum
    if not keep or mpeg.layer(frame) != 3:
        return head + bytes(len(frame) - 4)
    side, old = _side_bytes(frame), _body(frame)
    need = bytes([frame[old], frame[old + 1] & 0x80 if frame[1] >> 3 & 1 else 0])
    return head + need + bytes(side - 2) + frame[4 + side :]


def _body(head: bytes) -> int:
    """Return where the side information begins: behind the header and its checksum."""
    return 4 if head[1] & 1 else 6


def _side_bytes(head: bytes) -> int:
    mono = head[3] >> 6 == 3
    if head[1] >> 3 & 1:
        return 17 if mono else 32
    return 9 if mono else 17
