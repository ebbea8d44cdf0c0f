"""Denoising a stream: out = x + wet * (change of the model's band + (g - 1) * content above that band).

The signal is brought to the model's rate and cleaned in windows; what the model changed (clean estimate minus its own
input, both through the same synthesis) is brought back to the file's rate and added to the untouched input. A model that
changes nothing therefore returns the input sample for sample, at any rate and length. What lies above the model's band
follows with the gain g that the model gave the upper half of its own band, moment by moment.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from inspect import signature

import numpy as np
import torch

from enhance_cli.audio.level import Meter
from enhance_cli.audio.resample import Resampler
from enhance_cli.errors import EnhanceError, UsageError
from enhance_cli.models.load import Model
from enhance_cli.samplers import PAIRINGS, SAMPLERS
from enhance_cli.tasks.noise import FrameNoise
from enhance_cli.tasks.windows import Window, cut, group, join

WINDOW_SECONDS = 10.0
FADE_SECONDS = 0.5  # on either side of a border, for networks whose context has no end


@dataclass(frozen=True)
class DenoiseOptions:
    """What a user may choose; None is the model's own default.

    `strength` 0..1 mixes between input and result, `max_attenuation` (dB) leaves that much of the input under the result,
    `full_band` False cuts what lies above the model's band, `batch_size` is in windows times channels. `sampler_args` are
    the sampler's own settings, such as snr or start.
    """

    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    strength: float = 1.0
    max_attenuation: float | None = None
    full_band: bool = True
    batch_size: int = 1
    sampler_args: dict = field(default_factory=dict)

    @property
    def wet(self) -> float:
        floor = 0.0 if self.max_attenuation is None else 10 ** (-self.max_attenuation / 20)
        return self.strength * (1 - floor)


class Denoiser:
    """`process` is what batch.files.enhance_file wants; one Denoiser serves many files.

    Raises UsageError if the model does not allow the steps, the sampler or its settings.
    """

    def __init__(self, model: Model, options: DenoiseOptions = DenoiseOptions()):
        self.model, self.options = model, options
        spec, hop = model.spec, model.frontend.hop
        self.steps, self.sampler = spec.choose(options.steps, options.sampler)
        self.sample: Callable = partial(SAMPLERS[self.sampler], **self._sampler_args())
        self.core = int((spec.window_seconds or WINDOW_SECONDS) * spec.sample_rate) // hop * hop
        context = model.network.context
        self.fade = 0 if context is not None else int(FADE_SECONDS * spec.sample_rate) // hop * hop
        self.margin = self.fade if context is None else (context * self.steps + 2) * hop

    def _sampler_args(self) -> dict:
        """The model's settings of the sampler under the user's."""
        process = self.model.spec.process
        if process not in PAIRINGS[self.sampler]:
            fitting = [name for name, processes in PAIRINGS.items() if process in processes]
            raise UsageError(
                f"--sampler {self.sampler}: its formulas do not hold for the process {process}",
                f"choose from {', '.join(fitting)}",
            )
        known = list(signature(SAMPLERS[self.sampler]).parameters)[5:]  # after estimate, process, y, steps, noise
        for name in self.options.sampler_args:
            if name not in known:
                flag = "--sampler-start" if name == "start" else "--" + name.replace("_", "-")
                raise UsageError(f"{flag}: the sampler {self.sampler} has no such setting", "leave it away")
        settings = self.model.spec.sampler_args.get(self.sampler, {}) | self.options.sampler_args
        if "start" in settings:
            self.model.process.levels(self.steps, settings["start"])  # refuses a time where sampling cannot start
        return settings

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Blocks (C, n) at `rate` in, as many samples out, in blocks of other sizes. `level` measured the whole file."""
        wet = self.options.wet
        if wet == 0 or not level.active_levels.any():
            yield from blocks
            return
        waiting = _Waiting()
        for change in self._changes(waiting.pass_through(blocks), rate, channels, self._scale(level)):
            count = min(change.shape[1], waiting.samples)
            if not count:
                continue
            x = waiting.take(count)
            in_band, low, rise = np.split(change[:, :count], 3)
            above = rise if self.options.full_band else -1
            yield (x + wet * (in_band + above * (x - low))).astype(x.dtype)
        if waiting.samples:  # resampling there and back may end a sample or two early
            yield waiting.take(waiting.samples)

    def _scale(self, level: Meter) -> np.ndarray:
        """(C,): how much louder the model hears the file. By active level each channel is brought to the level the model
        knows by itself, so that a source keeps its place between them; by peak the whole file has one factor."""
        spec, active = self.model.spec, level.active_levels
        if spec.normalise == "peak":
            return np.full(active.size, 1 / max(level.peak, 1e-8))
        return spec.level / np.where(active > 0, active, spec.level)

    def _changes(
        self, blocks: Iterable[np.ndarray], rate: int, channels: int, scale: np.ndarray
    ) -> Iterator[np.ndarray]:
        """(3C, m) at the file's rate: the change in the model's band, that band itself, and the gain above it less one.

        Less one, because a resampler returns zeros exactly but not ones, least of all at the ends of the file.
        """
        own_rate = self.model.spec.sample_rate
        down, up = Resampler(rate, own_rate, channels), Resampler(own_rate, rate, 3 * channels)
        windows = cut(_resampled(blocks, down, channels), self.core, self.margin)
        batches = group(windows, max(1, self.options.batch_size // channels))
        done = (pair for batch in batches for pair in zip(batch, self._run(batch, scale)))
        for change in join(done, self.fade):
            yield up.push(change)
        yield up.push(np.zeros((3 * channels, 0), np.float32), last=True)

    def _run(self, batch: list[Window], scale: np.ndarray) -> list[np.ndarray]:
        """The (3C, n) of every window, `scale` (C,) times louder for the model.

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
        estimate = self._sample(y, starts)
        change = frontend.synthesise(estimate, samples) - frontend.synthesise(y, samples)
        rise = self._upper_gain(estimate[:, :, : y.shape[2]], y, samples) - 1
        result = torch.stack([change.cpu() / factor, audio, rise.cpu()]).unflatten(1, (len(batch), channels))
        return [result[:, i].flatten(0, 1).numpy() for i in range(len(batch))]

    def _sample(self, y: torch.Tensor, starts: list[int]) -> torch.Tensor:
        """(B, 2, T, F) noisy -> clean, with the frames that fill up `frames_multiple`, as published models are run.

        `starts` (B) are the positions of the first frames in the file.
        """
        spec, process = self.model.spec, self.model.process
        missing = -y.shape[2] % spec.frames_multiple
        reflect = spec.frame_padding == "reflect" and missing < y.shape[2]
        padded = torch.nn.functional.pad(y, (0, 0, 0, missing), mode="reflect" if reflect else "constant")
        noise = FrameNoise(self.options.seed, starts, padded, process.noise_scale)
        return self.model.sample(self.sample, padded, self.steps, noise)

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
