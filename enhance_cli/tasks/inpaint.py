"""Fill the gaps of a stream. All other samples pass through as they are, to the bit.

A gap is filled from the sound on either side of it, channel by channel, by linear prediction (audio.linear_prediction). Beyond
a tenth of a second nothing can be predicted: a longer gap fades out on either side, and is silent in its middle.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gap_meter import GapMeter, Spans
from enhance_cli.audio.gaps import Gap
from enhance_cli.audio.level import Meter
from enhance_cli.audio.linear_prediction import CONTEXT_SECONDS, interpolate
from enhance_cli.tasks.options import InpaintOptions
from enhance_cli.tasks.stream import measured

LINEAR = "linear-prediction"
LONGEST_SECONDS = 0.1  # of a gap that linear prediction fills from both sides
FADE_SECONDS = 0.05  # of a longer one that it fills on either side
SHOWN = 5  # gaps that a note names
SILENCE_SECONDS = 1.0  # pieces of silence in the middle, so that memory does not grow with the gap


@dataclass(frozen=True, order=True)
class Piece:
    """Hold the samples [start, end) of a gap that are filled at once, and whether what lies before and behind is known."""

    start: int
    end: int
    channel: int
    before: bool = True
    behind: bool = True


class Inpainter:
    """Fill the gaps of streams of audio. `process` has the form that batch.files.enhance_file asks for. One Inpainter serves
    many files, also at the same time.
    """

    def __init__(self, options: InpaintOptions = InpaintOptions()):
        self.options = options
        self.lanes = options.threads or os.cpu_count() or 1

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Fill the gaps of blocks (C, n) at `rate` that `level` has found. Yields as many samples, in other blocks.

        Raises UsageError for gaps that the recording cannot have.
        """
        if level.gaps is None:
            yield from blocks
            return
        gaps = level.gaps.found(level.active_levels)
        longest = int(LONGEST_SECONDS * rate)
        pieces = sorted(piece for gap in gaps for piece in split(gap, rate))
        level.gaps.filled = [(gap, LINEAR if gap.end - gap.start <= longest else f"{LINEAR}, faded") for gap in gaps]
        level.gaps.notes = notes(level.gaps, gaps, longest)
        limit = level.peak  # a filling that is louder than the recording would lower all of it
        yield from _filled(blocks, pieces, int(CONTEXT_SECONDS * rate), rate, limit)


def notes(meter: GapMeter, gaps: Sequence[Gap], longest: int) -> list[str]:
    """Return what a user should know: that there is nothing to fill, and which gaps are silent in their middle."""
    if not gaps:
        return [*meter.doubts, "left as it is: no gap was found"]
    told = [f"filled {meter.text(gaps[:SHOWN])}" + (f" and {len(gaps) - SHOWN} more" if len(gaps) > SHOWN else "")]
    for gap in (gap for gap in gaps if gap.end - gap.start > longest):
        told.append(
            f"{meter.text([gap])} s is longer than {1000 * LONGEST_SECONDS:.0f} ms, which cannot be predicted:"
            " it fades out and in, with silence between"
        )
    return told


def split(gap: Gap, rate: int) -> Iterator[Piece]:
    """Yield the pieces of a gap: itself, or a fade on either side and silence between them."""
    length, fade = gap.end - gap.start, int(FADE_SECONDS * rate)
    if length <= LONGEST_SECONDS * rate:
        yield Piece(gap.start, gap.end, gap.channel)
        return
    yield Piece(gap.start, gap.start + fade, gap.channel, behind=False)
    step = max(int(SILENCE_SECONDS * rate), 1)
    for start in range(gap.start + fade, gap.end - fade, step):
        yield Piece(start, min(start + step, gap.end - fade), gap.channel, before=False, behind=False)
    yield Piece(gap.end - fade, gap.end, gap.channel, before=False)


def _filled(
    blocks: Iterable[np.ndarray], pieces: Sequence[Piece], reach: int, rate: int, limit: float
) -> Iterator[np.ndarray]:
    """Yield the stream with its pieces filled. Memory holds a piece, a block and `reach` samples around them."""
    held: np.ndarray | None = None
    start = done = 0  # position of the held samples, number of pieces that are filled
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        while done < len(pieces) and pieces[done].end + reach <= start + held.shape[1]:
            held = _with_piece(held, start, pieces, done, reach, rate, limit)
            done += 1
        free = min(start + held.shape[1], pieces[done].start - reach if done < len(pieces) else start + held.shape[1])
        if free > start:
            yield held[:, : free - start]
            held, start = held[:, free - start :], free
    if held is None:
        return
    for number in range(done, len(pieces)):
        held = _with_piece(held, start, pieces, number, reach, rate, limit)
    if held.shape[1]:
        yield held


def _with_piece(
    held: np.ndarray, start: int, pieces: Sequence[Piece], number: int, reach: int, rate: int, limit: float
) -> np.ndarray:
    """Return the `held` samples, from position `start` on, with one of the pieces filled."""
    piece = pieces[number]
    begin, end = piece.start - start, piece.end - start
    held = held.copy()
    for channel in range(len(held)) if piece.channel < 0 else [piece.channel]:
        x = held[channel]
        known = _next_start(pieces, number, channel) - start
        before = x[max(begin - reach, 0) : begin] if piece.before else x[:0]
        behind = x[end : min(end + reach, known)] if piece.behind else x[:0]
        made = interpolate(before.astype(np.float64), behind.astype(np.float64), end - begin, rate)
        x[begin:end] = np.clip(made, -limit, limit)
    return held


def _next_start(pieces: Sequence[Piece], number: int, channel: int) -> int:
    """Return the position of the next piece of this channel, before which samples are known."""
    for piece in pieces[number + 1 :]:
        if piece.channel in (-1, channel):
            return piece.start
    return np.iinfo(np.int64).max


def run(audio: np.ndarray, rate: int, gaps: Spans, inpainter: "Inpainter | None" = None) -> np.ndarray:
    """Fill `gaps`, in seconds (none: they are found), of (C, N) at `rate`. Returns (C, N), the same as the command gives.

    Raises UsageError for gaps that the recording cannot have.
    """
    level = measured(audio, rate)
    level.gaps = GapMeter(rate, gaps)
    level.gaps.push(audio)
    inpainter = inpainter or Inpainter()
    return np.concatenate(list(inpainter.process(iter([audio]), rate, audio.shape[0], level)), axis=1)
