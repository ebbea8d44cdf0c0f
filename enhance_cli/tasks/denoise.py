"""Denoising a stream: out = x + wet * (change of the model's band + (g - 1) * content above that band).

The signal is brought to the model's rate and cleaned in windows; what the model changed (clean estimate minus its own
input, both through the same synthesis) is brought back to the file's rate and added to the untouched input. A model that
changes nothing therefore returns the input sample for sample, at any rate and length. What lies above the model's band
follows with the gain g that the model gave the upper half of its own band, moment by moment.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from enhance_cli.audio.level import Meter
from enhance_cli.audio.resample import Resampler
from enhance_cli.models.device import send
from enhance_cli.models.guide import load_guide
from enhance_cli.models.load import Model
from enhance_cli.samplers import SAMPLERS
from enhance_cli.tasks.engine import Order, engine_for
from enhance_cli.tasks.noise import FrameNoise
from enhance_cli.tasks.stream import Waiting, measured, resampled, sampler_settings
from enhance_cli.tasks.windows import cut, join

WINDOW_SECONDS = 5.0  # longer ones are a little faster and take more memory, above all when several run at a time
ENDLESS_WINDOW_SECONDS = 10.0  # for networks whose context has no end
FADE_SECONDS = 0.5  # on either side of a border, for networks whose context has no end


@dataclass(frozen=True)
class DenoiseOptions:
    """What a user may choose; None is the model's own default.

    `strength` 0..1 mixes between input and result, `max_attenuation` (dB) leaves that much of the input under the result,
    `full_band` False cuts what lies above the model's band, `batch_size` is in windows times channels, on a GPU.
    `sampler_args` are the sampler's own settings, such as snr or start. `guide` is "none" or one that the model was trained
    with. `threads` are of the CPU.
    """

    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    strength: float = 1.0
    max_attenuation: float | None = None
    full_band: bool = True
    batch_size: int = 1
    sampler_args: dict = field(default_factory=dict)
    guide: str | None = None
    threads: int | None = None

    @property
    def wet(self) -> float:
        floor = 0.0 if self.max_attenuation is None else 10 ** (-self.max_attenuation / 20)
        return self.strength * (1 - floor)


class Denoiser:
    """`process` is what batch.files.enhance_file wants; one Denoiser serves many files, also at the same time.

    Raises UsageError if the model does not allow the steps, the sampler, its settings or the guide.
    """

    def __init__(self, model: Model, options: DenoiseOptions = DenoiseOptions()):
        self.model, self.options = model, options
        spec, hop = model.spec, model.frontend.hop
        self.steps, self.sampler = spec.choose(options.steps, options.sampler)
        settings = sampler_settings(spec, self.sampler, options.sampler_args)
        if "start" in settings:
            model.process.levels(self.steps, settings["start"])  # refuses a time where sampling cannot start
        self.sample: Callable = partial(SAMPLERS[self.sampler], **settings)
        self.guide = load_guide(spec.choose_guide(options.guide), spec.sample_rate, hop, model.device)
        grid, around = (self.guide.grid, self.guide.context) if self.guide else (hop, 0)
        context = model.network.context
        usual = ENDLESS_WINDOW_SECONDS if context is None else WINDOW_SECONDS
        self.core = max(1, int((spec.window_seconds or usual) * spec.sample_rate) // grid) * grid
        self.fade = 0 if context is not None else int(FADE_SECONDS * spec.sample_rate) // hop * hop
        margin = self.fade if context is None else (context * self.steps + 2) * hop
        self.margin = -(-(margin + around) // grid) * grid
        self.engine = engine_for(model, self._run, options.batch_size, self.core + 2 * self.margin, options.threads)

    @property
    def lanes(self) -> int:
        """How many files at a time keep the device busy."""
        return self.engine.lanes

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Blocks (C, n) at `rate` in, as many samples out, in blocks of other sizes. `level` measured the whole file."""
        wet = self.options.wet
        if wet == 0 or not level.active_levels.any():
            yield from blocks
            return
        waiting = Waiting()
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
        windows = cut(resampled(blocks, down, channels), self.core, self.margin)
        for change in join(self.engine.map(Order(window, scale) for window in windows), self.fade):
            yield up.push(change)
        yield up.push(np.zeros((3 * channels, 0), np.float32), last=True)

    @torch.inference_mode()
    def _run(self, orders: list[Order]) -> list[np.ndarray]:
        """The (3C, n) of every window, which is as many times louder for the model as the order gives for its file (C,)."""
        frontend, hop = self.model.frontend, self.model.frontend.hop
        batch = [order.window for order in orders]
        channels, samples = batch[0].audio.shape
        audio = torch.from_numpy(np.stack([w.audio for w in batch]).astype(np.float32)).flatten(0, 1)
        factor = torch.from_numpy(np.concatenate([order.given for order in orders]).astype(np.float32))[:, None]
        padded = torch.nn.functional.pad(audio * factor, (0, -samples % hop))
        padded = send(padded, self.model.device)
        y, guide = frontend.analyse(padded), self.guide and self.guide(padded)
        starts = [w.start // hop for w in batch for _ in range(channels)]
        estimate = self._sample(y, starts, guide)
        change = frontend.synthesise(estimate, samples) - frontend.synthesise(y, samples)
        rise = self._upper_gain(estimate[:, :, : y.shape[2]], y, samples) - 1
        result = torch.stack([change.cpu() / factor, audio, rise.cpu()]).unflatten(1, (len(batch), channels))
        return [result[:, i].flatten(0, 1).numpy() for i in range(len(batch))]

    def _sample(self, y: torch.Tensor, starts: list[int], guide: torch.Tensor | None = None) -> torch.Tensor:
        """(B, 2, T, F) noisy -> clean, with the frames that fill up `frames_multiple`.

        `starts` (B) are the positions of the first frames in the file.
        """
        padded, guide = self.model.filled(y, guide)
        noise = FrameNoise(self.options.seed, starts, padded, self.model.process.noise_scale)
        conditions = {} if guide is None else {"guide": guide}
        return self.model.sample(self.sample, padded, self.steps, noise, **conditions)

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
    level = measured(audio, rate)
    denoiser = Denoiser(model, options)
    return np.concatenate(list(denoiser.process(iter([audio]), rate, audio.shape[0], level)), axis=1)
