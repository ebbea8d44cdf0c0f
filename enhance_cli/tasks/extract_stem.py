"""Extract stems from a stream: each stem's rows (K C, n) for blocks (C, n) of the mix, of the same length in all.

The mix is brought to the model's rate and separated in windows. The estimates are brought back to the file's rate. The
content above the model's band is distributed by the energies that the stems have in the upper half of it. Where all
stems of a model that knows the whole mix are asked for, the rest is distributed too (audio.mixture_consistency), and
they sum to the mix, unless the residual, the mix less the stems, is wanted for itself.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from enhance_cli.audio.level import Meter
from enhance_cli.audio.mixture_consistency import HOP, N_FFT, share_out, spectra
from enhance_cli.audio.resample import Resampler
from enhance_cli.models.device import send
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.sampling import sampler_settings
from enhance_cli.models.stems import StemModel
from enhance_cli.samplers import SAMPLERS
from enhance_cli.tasks.engine import Order, engine_for
from enhance_cli.tasks.options import StemOptions
from enhance_cli.tasks.stream import Waiting, measured, resampled
from enhance_cli.tasks.windows import cut, join

RESIDUAL = "residual"
WINDOW_SECONDS = 10.0
MARGIN_SECONDS = 1.0  # on either side of a window, for networks whose context has no end
NOISE_BLOCK = 1 << 16  # samples per generator


class StemExtractor:
    """Extract stems from many files, also at the same time. `process` returns as many results as `parts`.

    Raises UsageError if the model does not have the stems, the steps, the sampler or the noise level.
    """

    def __init__(self, model: StemModel, options: StemOptions = StemOptions()):
        self.model, self.options, spec = model, options, model.spec
        self.stems = spec.choose_stems(options.stems)
        self.parts = (*self.stems, RESIDUAL) if options.residual else self.stems
        self.sums_to_mix = spec.complete and len(self.stems) == len(spec.stems) and not options.residual
        self.steps, self.sampler = spec.choose(options.steps, options.sampler)
        chosen = spec.sigma_for(self.steps) if options.sigma is None else options.sigma
        self.sigma = chosen if self.steps else None
        self.sample: Callable | None = self._sampler() if self.steps else None
        multiple = spec.frames_multiple
        window = round((spec.window_seconds or WINDOW_SECONDS) * spec.sample_rate) // multiple * multiple
        reach = model.reach(self.steps)
        if reach is None:
            self.margin = min(round(MARGIN_SECONDS * spec.sample_rate), window // 4)
            self.core, self.fade = window - 2 * self.margin, self.margin // 2
        else:
            self.margin, self.core, self.fade = -(-(reach + N_FFT) // multiple) * multiple, window, 0
        whole = self.core + 2 * self.margin
        self.engine = engine_for(model, self._run, options.batch_size * spec.channels, whole, options.threads)

    def _sampler(self) -> Callable:
        spec = self.model.spec
        given = {} if self.sigma is None else {"start": self.sigma}
        settings = sampler_settings(spec, self.sampler, given, {"start": "--sigma"})
        self.model.process.levels(self.steps, settings.get("start"))  # refuses a level where sampling cannot start
        return partial(SAMPLERS[self.sampler], **settings)

    @property
    def lanes(self) -> int:
        """How many files at a time keep the device busy."""
        return self.engine.lanes

    def process(self, blocks: Iterable[np.ndarray], rate: int, channels: int, level: Meter) -> Iterator[np.ndarray]:
        """Yield (parts C, m) for blocks (C, n) at `rate`, each part's channels together, as many samples in all.

        `level` measured the whole file.
        """
        count = len(self.stems)
        if not level.peak:
            for block in blocks:
                yield np.concatenate([np.zeros_like(block)] * count + [block] * (len(self.parts) - count))
            return
        waiting = Waiting()
        last = None
        for rows in self._estimates(waiting.pass_through(blocks), rate, channels, self._scale(level)):
            length = min(rows.shape[1], waiting.samples)
            if length:
                last = rows[:, :length]
                yield self._assemble(waiting.take(length), last)
        if waiting.samples:  # resampling there and back may end a sample or two early
            x = waiting.take(waiting.samples)
            tail = np.zeros(((2 * count + 1) * channels, x.shape[1]), np.float32)
            if last is not None:
                tail[count * channels : 2 * count * channels] = last[count * channels : 2 * count * channels, -1:]
            yield self._assemble(x, tail)

    def _assemble(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the parts from the mix x (C, n) and the rows of `_estimates` for it."""
        count, channels = len(self.stems), x.shape[0]
        stems, gains, low = np.split(rows, [count * channels, 2 * count * channels])
        stems, gains = (v.reshape(count, channels, -1) for v in (stems, gains))
        if self.options.full_band:
            gains = gains.clip(0, 1)
            if self.sums_to_mix:
                gains = (gains + 1e-6) / (gains + 1e-6).sum(axis=0)
            stems = stems + gains * (x - low)
        stems = stems.astype(x.dtype)
        if self.options.residual:  # in double precision, so that the parts sum to the mix whatever the file's format
            stems = np.concatenate([stems, (x - stems.sum(axis=0, dtype=np.float64))[None]])
        return stems.reshape(-1, x.shape[1])

    def _scale(self, level: Meter) -> float:
        """Return the factor on the file for the model, one for all channels, so that sources keep their places."""
        spec, active = self.model.spec, level.active_levels
        if spec.normalise == "level" and active.any():
            return spec.level / float(np.sqrt(np.mean(np.square(active[active > 0]))))
        return 1 / max(level.peak, 1.0)

    def _estimates(self, blocks: Iterable[np.ndarray], rate: int, channels: int, scale: float) -> Iterator[np.ndarray]:
        """Yield (K C stems, K C shares of the content above the band, C mix in the band, each m samples) at the file's
        rate.
        """
        own_rate = self.model.spec.sample_rate
        down, up = (
            Resampler(rate, own_rate, channels),
            Resampler(own_rate, rate, (2 * len(self.stems) + 1) * channels),
        )
        windows = cut(resampled(blocks, down, channels), self.core, self.margin)
        for rows in join(self.engine.map(Order(window, scale) for window in windows), self.fade):
            yield up.push(rows)
        yield up.push(np.zeros((up.channels, 0), np.float32), last=True)

    @torch.inference_mode()
    def _run(self, orders: list[Order]) -> list[np.ndarray]:
        """Return the rows of every window, whose order gives the factor on its file."""
        spec, device = self.model.spec, self.model.device
        batch = [order.window for order in orders]
        mix = send(torch.from_numpy(np.stack([w.audio for w in batch]).astype(np.float32)), device)  # (W, C, n)
        scale = mix.new_tensor([order.given for order in orders])[:, None, None]
        padded = torch.nn.functional.pad(mix * scale, (0, -mix.shape[2] % spec.frames_multiple))
        whole = spec.channels == mix.shape[1]
        taken = padded if whole else padded.flatten(0, 1)[:, None].expand(-1, spec.channels, -1)
        starts = [w.start for w in batch for _ in range(taken.shape[0] // len(batch))]
        noise = lambda: FrameNoise(self.options.seed, starts, taken, self.model.process.noise_scale, NOISE_BLOCK)
        found = self.model.separate(taken, self.stems, self.sample, self.steps, noise)
        found = found if whole else found.mean(dim=2).unflatten(1, mix.shape[:2])
        found = found[..., : mix.shape[2]] / scale  # (K, W, C, n)
        if self.sums_to_mix:
            found = found + share_out(found, mix - found.sum(dim=0))
        gains = _upper_shares(found, mix, self.sums_to_mix)
        rows = torch.cat([found, gains, mix[None]]).transpose(0, 1).flatten(1, 2).cpu().numpy()
        return list(rows)


def run(audio: np.ndarray, rate: int, model: StemModel, options: StemOptions = StemOptions()) -> dict[str, np.ndarray]:
    """(C, N) at `rate` -> each part's (C, N) by name, the same as the command gives for a file with these samples."""
    level = measured(audio, rate)
    extractor = StemExtractor(model, options)
    rows = np.concatenate(list(extractor.process(iter([audio]), rate, audio.shape[0], level)), axis=1)
    rows = rows.astype(np.result_type(audio.dtype, np.float32), copy=False)
    return dict(zip(extractor.parts, rows.reshape(len(extractor.parts), *audio.shape)))


def _upper_shares(stems: Tensor, mix: Tensor, sums_to_mix: bool) -> Tensor:
    """Stems (K, ..., n), mix (..., n) -> the share (K, ..., n) of each in the energy of the upper half of the band."""
    energies, whole = (spectra(x)[..., N_FFT // 4 :, :].abs().square().sum(dim=-2) + 1e-12 for x in (stems, mix))
    shares = energies / (energies.sum(dim=0) if sums_to_mix else torch.maximum(energies, whole))
    smooth = torch.nn.functional.interpolate(
        shares.flatten(0, -2)[:, None], size=(shares.shape[-1] - 1) * HOP + 1, mode="linear", align_corners=True
    )
    n = stems.shape[-1]
    smooth = torch.nn.functional.pad(smooth[:, 0], (0, max(0, n - smooth.shape[-1])), mode="replicate")[:, :n]
    return smooth.unflatten(0, stems.shape[:-1])
