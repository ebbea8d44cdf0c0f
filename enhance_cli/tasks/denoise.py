"""Denoising a stream: out = x + wet * (change of the model's band + (g - 1) * content above that band).

The signal is brought to the model's rate and cleaned in windows; what the model changed (clean estimate minus its own
input, both through the same synthesis) is brought back to the file's rate and added to the untouched input. A model that
changes nothing therefore returns the input sample for sample, at any rate and length. What lies above the model's band
follows with the gain g that the model gave the upper half of its own band, moment by moment.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from enhance_cli.audio.level import Meter
from enhance_cli.audio.resample import Resampler
from enhance_cli.errors import EnhanceError
from enhance_cli.models.load import Model
from enhance_cli.samplers import SAMPLERS
from enhance_cli.tasks.noise import FrameNoise
from enhance_cli.tasks.windows import Window, cut, group

WINDOW_SECONDS = 10.0


@dataclass(frozen=True)
class DenoiseOptions:
    """What a user may choose; None is the model's own default.

    `strength` 0..1 mixes between input and result, `max_attenuation` (dB) leaves that much of the input under the result,
    `full_band` False cuts what lies above the model's band, `batch_size` is in windows times channels.
    """

    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    strength: float = 1.0
    max_attenuation: float | None = None
    full_band: bool = True
    batch_size: int = 1

    @property
    def wet(self) -> float:
        floor = 0.0 if self.max_attenuation is None else 10 ** (-self.max_attenuation / 20)
        return self.strength * (1 - floor)


class Denoiser:
    """`process` is what batch.files.enhance_file wants; one Denoiser serves many files.

    Raises UsageError if the model does not allow the steps or the sampler.
    """

    def __init__(self, model: Model, options: DenoiseOptions = DenoiseOptions()):
        self.model, self.options = model, options
        self.steps, self.sampler = model.spec.choose(options.steps, options.sampler)
        self.sample: Callable = SAMPLERS[self.sampler]
        hop = model.frontend.hop
        self.core = int(WINDOW_SECONDS * model.spec.sample_rate) // hop * hop
        self.margin = (model.network.context * self.steps + 2) * hop

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Blocks (C, n) at `rate` in, as many samples out, in blocks of other sizes. `level` measured the whole file."""
        wet = self.options.wet
        if wet == 0 or not level.active_levels.any():
            yield from blocks
            return
        waiting = _Waiting()
        # Each channel is brought to the level the model knows by itself, so that a source keeps its place between them.
        scale = self.model.spec.level / np.where(level.active_levels > 0, level.active_levels, self.model.spec.level)
        for change in self._changes(waiting.pass_through(blocks), rate, channels, scale):
            count = min(change.shape[1], waiting.samples)
            if not count:
                continue
            x = waiting.take(count)
            in_band, low, rise = np.split(change[:, :count], 3)
            above = rise if self.options.full_band else -1
            yield (x + wet * (in_band + above * (x - low))).astype(x.dtype)
        if waiting.samples:  # resampling there and back may end a sample or two early
            yield waiting.take(waiting.samples)

    def _changes(
        self, blocks: Iterable[np.ndarray], rate: int, channels: int, scale: np.ndarray
    ) -> Iterator[np.ndarray]:
        """(3C, m) at the file's rate: the change in the model's band, that band itself, and the gain above it less one.

        Less one, because a resampler returns zeros exactly but not ones, least of all at the ends of the file.
        """
        own_rate = self.model.spec.sample_rate
        down, up = Resampler(rate, own_rate, channels), Resampler(own_rate, rate, 3 * channels)
        windows = cut(_resampled(blocks, down, channels), self.core, self.margin)
        for batch in group(windows, max(1, self.options.batch_size // channels)):
            for change in self._run(batch, scale):
                yield up.push(change)
        yield up.push(np.zeros((3 * channels, 0), np.float32), last=True)

    def _run(self, batch: list[Window], scale: np.ndarray) -> list[np.ndarray]:
        """The (3C, length) of every window's core, `scale` (C,) times louder for the model.

        Halves the batch when a GPU has no room for it.
        """
        try:
            return self._run_at_once(batch, scale)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(batch) == 1:
                raise EnhanceError("not enough GPU memory for one window", "use --device cpu") from None
            middle = len(batch) // 2
            return self._run(batch[:middle], scale) + self._run(batch[middle:], scale)

    @torch.inference_mode()
    def _run_at_once(self, batch: list[Window], scale: np.ndarray) -> list[np.ndarray]:
        frontend, hop = self.model.frontend, self.model.frontend.hop
        channels, samples = batch[0].audio.shape
        audio = torch.from_numpy(np.stack([w.audio for w in batch]).astype(np.float32)).flatten(0, 1)
        factor = torch.from_numpy(scale.astype(np.float32)).repeat(len(batch))[:, None]
        padded = torch.nn.functional.pad(audio * factor, (0, -samples % hop))
        y = frontend.analyse(padded.to(self.model.device))
        starts = [w.start // hop for w in batch for _ in range(channels)]
        estimate = self.sample(
            self.model.estimate, self.model.process, y, self.steps, FrameNoise(self.options.seed, starts, y)
        )
        change = frontend.synthesise(estimate, samples) - frontend.synthesise(y, samples)
        rise = self._upper_gain(estimate, y, samples) - 1
        result = torch.stack([change.cpu() / factor, audio, rise.cpu()]).unflatten(1, (len(batch), channels))
        cores = (result[:, i, :, w.skip : w.skip + w.length] for i, w in enumerate(batch))
        return [core.flatten(0, 1).numpy() for core in cores]

    def _upper_gain(self, estimate: torch.Tensor, y: torch.Tensor, samples: int) -> torch.Tensor:
        """(B, samples) gain the model gave the upper half of its band, from frame energies, linear in between."""
        half = y.shape[3] // 2
        # Laid out alike, both are summed in the same order, and what was not changed has a gain of exactly one.
        bands = (self.model.frontend.expand(c[..., half:].contiguous()) for c in (y, estimate))
        before, after = (band.square().sum(dim=(1, 3)) for band in bands)
        gain = ((after + 1e-12) / (before + 1e-12)).sqrt().clamp(max=1.0)
        smooth = torch.nn.functional.interpolate(gain[:, None], scale_factor=self.model.frontend.hop, mode="linear")
        offset = self.model.frontend.hop // 2  # frames are centred on multiples of the hop
        return smooth[:, 0, offset : offset + samples]


def run(audio: np.ndarray, rate: int, model: Model, options: DenoiseOptions = DenoiseOptions()) -> np.ndarray:
    """(C, N) at `rate` -> (C, N), the same as the command gives for a file with these samples."""
    level = Meter(rate, audio.shape[0], loudness=False)
    level.push(audio)
    denoiser = Denoiser(model, options)
    return np.concatenate(list(denoiser.process(iter([audio]), rate, audio.shape[0], level)), axis=1)


def _resampled(blocks: Iterable[np.ndarray], resampler: Resampler, channels: int) -> Iterator[np.ndarray]:
    for block in blocks:
        yield resampler.push(block.astype(np.float32, copy=False))
    yield resampler.push(np.zeros((channels, 0), np.float32), last=True)


class _Waiting:
    """The input that has been read but whose result is not there yet."""

    def __init__(self):
        self.held: deque[np.ndarray] = deque()
        self.samples = 0

    def pass_through(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.held.append(block)
            self.samples += block.shape[1]
            yield block

    def take(self, count: int) -> np.ndarray:
        """The next `count` samples (C, count), of which there must be as many."""
        parts, missing = [], count
        self.samples -= count
        while missing:
            block = self.held.popleft()
            if block.shape[1] > missing:
                self.held.appendleft(block[:, missing:])
                block = block[:, :missing]
            parts.append(block)
            missing -= block.shape[1]
        return np.concatenate(parts, axis=1)
