"""Place decoded frames by the time stamps of their container: silence where sound is missing, and a beginning."""

from collections.abc import Iterator, Sequence
from typing import Any

from av.stream import Disposition

MAX_GAP = 3600  # seconds: a longer gap between time stamps is a fault of theirs, not silence
MAX_OVERLAP = 1  # second: stamps that go back further are those of another recording behind the first
SLIP = 0.015  # seconds by which sound may lie behind its picture, as it does where stamps are not even
MAX_START = 60  # seconds: where all streams begin after that, the file was cut out of a longer one
TIMED = ("mov", "matroska", "mpegts", "mpeg", "asf", "flv", "mxf", "nut")  # containers whose time stamps mean something
PRIMING = 0.03  # seconds: sound alone that begins so late was only shifted by the delay of its encoder
PRIMING_OF_WMA = 0.3  # seconds
SAMPLE_ACCURATE = ("mov", "mxf", "nut")


def origin(container: Any) -> float | None:
    """Return the time in seconds, as the container counts, at which the recording begins, or None without usable times.

    In MP4 and Matroska that is zero, also if the sound begins later, but not in a piece of a longer recording that kept
    its times, such as the fifth hour of a broadcast.
    """
    name = container.format.name.split(",")[0]
    if name not in TIMED and not (name == "ogg" and len(container.streams) > 1):  # alone, it was cut out of a stream
        return None
    start = (container.start_time or 0) / 1_000_000
    return 0.0 if name in ("mov", "matroska") and start < MAX_START else start


class Clock:
    """Place frames by their time stamps: silence before each, and samples before the beginning."""

    def __init__(self, container: Any, stream: Any, rate: int, *, empty: Sequence[tuple[int, int]] = ()):
        """Begin at the first sample. `empty`: runs of empty chunks of an AVI (avi_index), of which no time stamp tells."""
        self.position = 0  # samples since the beginning
        self._rate, self._time_base = rate, stream.time_base
        self._origin = origin(container)
        exact = container.format.name.split(",")[0] in SAMPLE_ACCURATE
        self._tolerance = (0.005 if exact else 0.03) + 2 * float(stream.time_base or 0)
        self._rounding = 0 if exact else 1.5 * float(stream.time_base or 0)  # seconds: Matroska counts milliseconds
        alone = len(container.streams) == 1 and not container.format.name.startswith("mov")
        priming = PRIMING_OF_WMA if container.format.name.startswith("asf") else PRIMING
        self._begins_late = priming if alone else 0.0  # seconds after which a beginning is late
        self._holes, self._filled, self._back = 0, 0, 0.0
        self._overlaps, self._cut, self._cut_at = 0, 0, -1
        picture = Disposition.attached_pic
        self._has_pictures = any(not other.disposition & picture for other in container.streams.video)
        chunk = float(stream.time_base or 0) * rate  # samples
        self._of_chunks = 0  # samples of silence for empty ones
        self._empty = [(round(before * chunk), round(count * chunk)) for before, count in empty]
        self._shift = 0  # samples by which later frames lie behind their time stamps

    def place(self, frame: Any) -> tuple[int, int]:
        """Return the samples of silence before a frame, and how many of its own lie before the beginning."""
        silence, skip = self._of_empty(frame.samples), 0
        if self._origin is not None and frame.pts is not None:
            seconds = frame.pts * (frame.time_base or self._time_base) - self._origin
            due = round(seconds * self._rate) + self._shift
            gap = due - self.position
            if self.position == 0 and abs(due) <= self._rounding * self._rate:
                pass
            elif self.position == 0 and due < 0:
                skip = min(-due, frame.samples)
                if skip == frame.samples:  # all of it: the next frame is the first
                    return 0, skip
            elif gap > (self._tolerance if self.position else self._begins_late) * self._rate:
                if gap > MAX_GAP * self._rate:
                    self._shift -= gap
                else:
                    silence = gap
                    if self.position:
                        self._holes, self._filled = self._holes + 1, self._filled + gap
            elif self.position == 0 and gap > self._tolerance * self._rate:
                self._shift -= gap  # the delay of an encoder is no hole in later frames either
            elif gap < -self._tolerance * self._rate:
                if self._has_pictures and -gap <= MAX_OVERLAP * self._rate:
                    skip = self._overlap(-gap, frame.samples)
                else:
                    self._back = self._back or self.position / self._rate
                    self._shift -= gap
        self.position += silence + frame.samples - skip
        return silence, skip

    def _overlap(self, samples: int, length: int) -> int:
        """Return how many of the `length` samples of a frame are cut, which begins `samples` before the end of the last."""
        if samples <= SLIP * self._rate:
            return 0
        if self._cut_at != self.position:  # else more of the same
            self._overlaps, self._cut_at = self._overlaps + 1, self.position
        skip = min(samples, length)
        self._cut += skip
        return skip

    def _of_empty(self, samples: int) -> int:
        """Return the samples of empty chunks in front of a frame of so many samples."""
        silence = 0
        while self._empty and self.position - self._of_chunks + samples // 2 >= self._empty[0][0]:
            silence += self._empty.pop(0)[1]
        self._of_chunks += silence
        if silence and self.position:
            self._holes, self._filled = self._holes + 1, self._filled + silence
        return silence

    def notes(self) -> Iterator[str]:
        """Yield notes on corrections of time stamps."""
        if self._holes:
            yield f"{self._holes} gaps in the time stamps, {self._filled / self._rate:.3f} s in all, were filled with silence"
        if self._overlaps:
            yield (
                f"{self._overlaps} overlaps in the time stamps, {self._cut / self._rate:.3f} s in all, were cut, to stay in"
                " step with the picture"
            )
        if self._back:
            yield f"the time stamps go back at {self._back:.2f} s: all sound is kept, one piece after the other"
