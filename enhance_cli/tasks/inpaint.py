"""Fill the gaps of a stream. All other samples pass through bit for bit.

A gap is filled from the sound on either side of it, channel by channel, by linear prediction (audio.gaps.linear_prediction).
Beyond a tenth of a second nothing can be predicted: a longer gap fades out on either side, and is silent in its middle, unless
there is a model that fills it (tasks.gap_model).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from enhance_cli.audio.gaps.gap import Gap
from enhance_cli.audio.gaps.linear_prediction import CONTEXT_SECONDS, interpolate
from enhance_cli.audio.gaps.meter import GapMeter, Spans
from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.levels.level_track import LevelTrack
from enhance_cli.tasks import gap_model
from enhance_cli.tasks.gap_model import GapModel
from enhance_cli.tasks.options import InpaintOptions
from enhance_cli.tasks.stream import measured

LINEAR = "linear-prediction"
LONGEST_MADE_SECONDS = 0.5  # length of the longest gap that a model fills
FADE_SECONDS = 0.05  # at either end of a longer gap, which is filled
MODEL_HINT = " (of speech --model inpaint-s fills it)"
MAX_GAPS_IN_NOTE = 5
SILENCE_SECONDS = 1.0  # length of the pieces of silence in the middle, so that memory does not grow with the gap


@dataclass(frozen=True, order=True)
class Piece:
    """Hold the samples [start, end) of a gap that are filled at once, in a `channel` or in all of them (-1).

    `before`, `behind`: whether the sound on that side is used. `made`: whether a model fills the piece.
    """

    start: int
    end: int
    channel: int
    before: bool = True
    behind: bool = True
    made: bool = False


class Inpainter:
    """Fill the gaps of streams of audio.

    `process` is a transform for batch.files.enhance_file. One Inpainter serves many files, also at the same
    time.
    """

    def __init__(self, options: InpaintOptions = InpaintOptions(), model: GapModel | None = None):
        self.options, self.model = options, model
        self.lanes = 1 if model else options.threads or os.cpu_count() or 1

    def run(self, audio: np.ndarray, rate: int, gaps: Spans | None) -> np.ndarray:
        """Fill `gaps`, in seconds (None: they are found), of a whole recording (C, N) at `rate`. Returns (C, N).

        This is the result of the command. Raises UsageError for gaps that the recording cannot have.
        """
        level = measured(audio, rate)
        level.extra = GapMeter(rate, gaps)
        level.extra.push(audio)
        return np.concatenate([audio[:, :0], *self.process(iter([audio]), rate, audio.shape[0], level)], axis=1)

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Fill the gaps of blocks (C, n) at `rate` that `level` has found. Yields as many samples, in other blocks.

        Raises UsageError for gaps that the recording cannot have.
        """
        meter = level.extra
        if not isinstance(meter, GapMeter):
            yield from blocks
            return
        gaps = meter.found(level.track)
        model = self.model if level.active_levels.any() else None
        predicted = self.options.predicted
        longest = max(predicted, LONGEST_MADE_SECONDS) if model else predicted
        pieces = sorted(piece for gap in gaps for piece in split(gap, rate, predicted, bool(model)))
        meter.filled = [(gap, method(gap, rate, predicted, model.name if model else "")) for gap in gaps]
        meter.notes = notes(meter, gaps, longest, rate)
        reach = int((gap_model.CONTEXT_SECONDS if any(piece.made for piece in pieces) else CONTEXT_SECONDS) * rate)
        # a filling that is louder than the recording would make the writer lower the whole file
        filling = _Filling(pieces, reach, rate, level.peak, model, level.common_track)
        yield from filling.filled(blocks)


def method(gap: Gap, rate: int, predicted: float, model: str) -> str:
    """Return the method for a gap, where the model of this name (none: "") fills those longer than `predicted` seconds."""
    seconds = (gap.end - gap.start) / rate
    if seconds <= predicted:
        return LINEAR
    return model if model and seconds <= LONGEST_MADE_SECONDS else f"{LINEAR}, faded"


def notes(meter: GapMeter, gaps: Sequence[Gap], longest: float, rate: int) -> list[str]:
    """Return the notes for a user: which gaps were filled, and which are silent in their middle.

    The latter are longer than `longest` seconds.
    """
    if not gaps:
        return [*meter.doubts, "left as it is: no gap was found"]
    more = len(gaps) - MAX_GAPS_IN_NOTE
    told = [f"filled {meter.text(gaps[:MAX_GAPS_IN_NOTE])}" + (f" and {more} more" if more > 0 else "")]
    for gap in (gap for gap in gaps if (gap.end - gap.start) / rate > longest):
        could_be_made = (gap.end - gap.start) / rate <= LONGEST_MADE_SECONDS
        told.append(
            f"{meter.text([gap])} s is longer than {1000 * longest:.0f} ms, which cannot be predicted:"
            f" it fades out and in, with silence between{MODEL_HINT if could_be_made else ''}"
        )
    return [*meter.doubts, *told]


def split(gap: Gap, rate: int, predicted: float, makes: bool) -> Iterator[Piece]:
    """Yield the pieces of a gap: itself, or a fade on either side and silence between them.

    `makes`: whether there is a model for gaps longer than `predicted` seconds.
    """
    length = gap.end - gap.start
    fade = min(int(FADE_SECONDS * rate), length // 2)
    if length <= predicted * rate:
        yield Piece(gap.start, gap.end, gap.channel)
        return
    if makes and length <= LONGEST_MADE_SECONDS * rate:
        yield Piece(gap.start, gap.end, gap.channel, made=True)
        return
    yield Piece(gap.start, gap.start + fade, gap.channel, behind=False)
    step = max(int(SILENCE_SECONDS * rate), 1)
    for start in range(gap.start + fade, gap.end - fade, step):
        yield Piece(start, min(start + step, gap.end - fade), gap.channel, before=False, behind=False)
    yield Piece(gap.end - fade, gap.end, gap.channel, before=False)


@dataclass(frozen=True)
class _Filling:
    """Fill the pieces of a stream.

    Args:
        pieces: in the order of their positions.
        reach: number of known samples on either side from which a piece is filled.
        rate: in Hz.
        limit: largest magnitude of a filling.
        model: fills the pieces with `made`. None if there is none.
        level: level of the recording at each position, by which it is scaled for the model.
    """

    pieces: Sequence[Piece]
    reach: int
    rate: int
    limit: float
    model: GapModel | None
    level: LevelTrack

    def filled(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the stream with its pieces filled. Memory holds a piece, a block and `reach` samples around them."""
        held: np.ndarray | None = None
        pieces, reach = self.pieces, self.reach
        start = done = 0  # position of the held samples, number of pieces that are filled
        for block in blocks:
            held = block if held is None else np.concatenate([held, block], axis=1)
            end = start + held.shape[1]
            while done < len(pieces) and pieces[done].end + reach <= end:
                held = self.with_piece(held, start, done)
                done += 1
            free = min(end, pieces[done].start - reach if done < len(pieces) else end)
            if free > start:
                yield held[:, : free - start]
                held, start = held[:, free - start :], free
        if held is None:
            return
        for number in range(done, len(pieces)):
            held = self.with_piece(held, start, number)
        if held.shape[1]:
            yield held

    def with_piece(self, held: np.ndarray, start: int, number: int) -> np.ndarray:
        """Return the `held` samples, from position `start` on, with one of the pieces filled."""
        piece = self.pieces[number]
        begin, end = piece.start - start, piece.end - start
        held = held.copy()
        for channel in range(len(held)) if piece.channel < 0 else [piece.channel]:
            x = held[channel]
            known = self._next_start(number, channel) - start
            first = max(begin - self.reach, 0)
            before = x[first:begin] if piece.before else x[:0]
            behind = x[end : min(end + self.reach, known)] if piece.behind else x[:0]
            made = self._made(piece, before.astype(np.float64), behind.astype(np.float64), start + first)
            x[begin:end] = np.clip(made, -self.limit, self.limit)
        return held

    def _made(self, piece: Piece, before: np.ndarray, behind: np.ndarray, start: int) -> np.ndarray:
        """Return the samples (n,) of a piece, from the known ones on either side. Those before it begin at position `start`."""
        count = piece.end - piece.start
        if self.model is None or not piece.made:
            return interpolate(before, behind, count, self.rate)
        fade = int(FADE_SECONDS * self.rate)
        first = interpolate(before, behind, count, self.rate) if count < 2 * fade else np.zeros(count)
        if count >= 2 * fade:
            first[:fade] = interpolate(before, behind[:0], fade, self.rate)
            first[count - fade :] = interpolate(before[:0], behind, fade, self.rate)
        rows = (x[None] for x in (before, first, behind))
        scale = self.model.scale(self.level.of(0, piece.start, self.rate), self.limit)
        return self.model.fill(*rows, rate=self.rate, start=start, scale=scale)[0]

    def _next_start(self, number: int, channel: int) -> int:
        """Return the position of the next piece of this channel. The samples up to there are known."""
        for piece in self.pieces[number + 1 :]:
            if piece.channel in (-1, channel):
                return piece.start
        return np.iinfo(np.int64).max
