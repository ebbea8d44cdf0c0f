"""Place decoded frames according to the time stamps of their container, with silence where sound is missing."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from av.stream import Disposition

from enhance_cli.audio.ffmpeg.wma_priming import frames_before_sound

MAX_GAP = 3600  # seconds: a longer gap is an error in the time stamps, not silence
MAX_OVERLAP = 1  # second: if the stamps go back further, another recording follows
SLIP = 0.015  # seconds by which sound may be late against the picture, as happens with uneven time stamps
MAX_START = 60  # seconds: if all streams begin later than this, the file was cut out of a longer one
TIMED = ("mov", "matroska", "mpegts", "mpeg", "asf", "flv", "mxf", "nut")  # containers with meaningful time stamps
PRIMING = 0.03  # seconds: in a file without pictures, a later beginning than this is not just the delay of an encoder
PRIMING_OF_WMA = 0.3  # seconds, the same for WMA
SAMPLE_ACCURATE = ("mov", "mxf", "nut")

Placed = tuple[int, Any, int, int]
"""Samples of silence before a frame, the frame, and the first and the end of its samples to take."""


def note_on_gaps(gaps: int, seconds: float) -> str:
    """Return a note on silence in the place of missing sound."""
    return f"{gaps} gaps in the time stamps, {seconds:.3f} s in all, were filled with silence"


def origin(container: Any) -> float | None:
    """Return the time stamp in seconds at which the recording begins, or None if the time stamps are not usable.

    In MP4 and Matroska this is zero, even if the sound begins later, unless the file is a piece of a longer recording that
    kept its time stamps, such as the fifth hour of a broadcast.
    """
    name = container.format.name.split(",")[0]
    with_pictures = len(container.streams) > 1
    if name not in TIMED and not (name == "ogg" and with_pictures):  # Ogg with sound alone may be cut out of a stream
        return None
    start = (container.start_time or 0) / 1_000_000
    return 0.0 if name in ("mov", "matroska") and start < MAX_START else start


class Clock:
    """Place frames by their time stamps: find the silence before each, and samples that must be left out."""

    def __init__(
        self,
        container: Any,
        stream: Any,
        rate: int,
        *,
        empty: Sequence[tuple[int, int]] = (),
        from_first: bool = False,
    ):
        """Start before the first frame.

        `empty`: runs of empty chunks in an AVI (avi_index), which have no time stamps. `from_first`: the recording begins
        with the first frame if the container does not tell when.
        """
        self.position = 0  # samples since the beginning
        self._rate, self._time_base = rate, stream.time_base
        self._origin = origin(container)
        self._from_first = self._origin is None and from_first
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
        self.left_out, self._jumped_at = 0, 0  # samples by which the stamps jump, and where they do so first
        self._shift = 0  # samples by which later frames are placed after their time stamps
        # In WMA with several tracks, all are stamped later by the frames before their sound
        self._frames_before = 0 if alone or container.streams.video else frames_before_sound(container, stream)

    def placed(self, first: Any, more: Iterator[Any]) -> Iterator[Placed]:
        """Yield the frames `first` and `more`."""
        for frame in itertools.chain([first], more):
            silence, skip = self.place(frame)
            yield silence, frame, skip, frame.samples

    def place(self, frame: Any) -> tuple[int, int]:
        """Return the samples of silence before a frame, and the number of samples at its start to leave out."""
        silence, skip = self._of_empty(frame.samples), 0
        self._shift -= self._frames_before * frame.samples
        self._frames_before = 0
        if self._from_first and frame.pts is not None:
            self._origin, self._from_first = float(frame.pts * (frame.time_base or self._time_base)), False
        if self._origin is not None and frame.pts is not None:
            seconds = frame.pts * (frame.time_base or self._time_base) - self._origin
            due = round(seconds * self._rate) + self._shift
            gap = due - self.position
            if self.position == 0 and abs(due) <= self._rounding * self._rate:
                pass
            elif self.position == 0 and due < 0:
                skip = min(-due, frame.samples)
                if skip == frame.samples:  # the whole frame lies before the beginning
                    return 0, skip
            elif gap > (self._tolerance if self.position else self._begins_late) * self._rate:
                if gap > MAX_GAP * self._rate:
                    self._shift -= gap
                    self._jumped_at = self._jumped_at if self.left_out else self.position
                    self.left_out += gap
                else:
                    silence = gap
                    if self.position:
                        self._holes, self._filled = self._holes + 1, self._filled + gap
            elif self.position == 0 and gap > self._tolerance * self._rate:
                self._shift -= gap  # the delay of an encoder, by which all later frames are shifted as well
            elif gap < -self._tolerance * self._rate:
                if self._has_pictures and -gap <= MAX_OVERLAP * self._rate:
                    skip = self._overlap(-gap, frame.samples)
                else:
                    self._back = self._back or self.position / self._rate
                    self._shift -= gap
        self.position += silence + frame.samples - skip
        return silence, skip

    def _overlap(self, samples: int, length: int) -> int:
        """Return how many samples to cut from a frame of `length` samples that overlaps the last one by `samples`."""
        if samples <= SLIP * self._rate:
            return 0
        if self._cut_at != self.position:  # otherwise this continues the last overlap
            self._overlaps, self._cut_at = self._overlaps + 1, self.position
        skip = min(samples, length)
        self._cut += skip
        return skip

    def _of_empty(self, samples: int) -> int:
        """Return the samples of the empty chunks before a frame of `samples` samples."""
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
            yield note_on_gaps(self._holes, self._filled / self._rate)
        if self._overlaps:
            yield (
                f"{self._overlaps} overlaps in the time stamps, {self._cut / self._rate:.3f} s in all, were cut, to stay in"
                " step with the picture"
            )
        if self.left_out:
            jump, at = self.left_out / self._rate, self._jumped_at / self._rate
            yield f"the time stamps jump by {jump:.0f} s at {at:.2f} s: no silence was put there"
        if self._back:
            yield f"the time stamps go back at {self._back:.2f} s: all sound is kept, one piece after the other"
