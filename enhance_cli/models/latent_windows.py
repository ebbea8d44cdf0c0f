"""Extend bandwidth over windows by diffusion of latents (networks.latent_extender): the torch half of tasks.extend_bandwidth.

All windows have the same length, since normalization and attention see a whole window. The noise is a function of the position
in the file and the same for all channels, so that overlapping windows agree and the stereo image stays.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from enhance_cli.audio.spectra import crossover
from enhance_cli.contracts import Draw, Estimate
from enhance_cli.models.device import autocast, send
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.guidance import guided
from enhance_cli.models.operations import count
from enhance_cli.models.sampling import Sampling, prepare, sampler_settings
from enhance_cli.models.spec import Spec

SILENCE = 1e-4  # share of the level of the recording. A channel with a lower peak is left as it is
MATCHED = (0.8, 0.95)  # of the edge, where the level of the made wave is matched
MOST_MATCHED = 1.2  # factor, as in AudioSR


class LatentModel(Protocol):
    """State the members of models.load.Model that are needed here."""

    spec: Spec
    device: torch.device
    precision: str
    network: torch.nn.Module
    process: Any

    def bind(self, noisy: Tensor) -> tuple[Tensor, Estimate]: ...


class LatentWindows:
    """Make the missing band of windows at 48 kHz. One serves many files, also at the same time.

    `window`: samples of a window. `grid`: windows must begin at multiples of so many samples. `reach`: receptive field of the
    vocoder on either side, in samples.
    """

    rate = crossover.RATE

    def __init__(
        self,
        model: LatentModel,
        *,
        seed: int,
        steps: int | None = None,
        guidance: float | None = None,
        spacing: str | None = None,
        window_seconds: float | None = None,
    ):
        """Raise UsageError for numbers of steps and settings that the model does not have."""
        spec = model.spec
        self.model, self.seed = model, seed
        network: Any = model.network
        self.network = network
        given = {"spacing": spacing} if spacing else {}
        self.steps, self.sampler = prepare(spec, model.process, Sampling(steps, settings=given))
        self.guidance = spec.choose_guidance(guidance)
        self.settings = sampler_settings(spec, spec.samplers[0], given) | {"guidance": self.guidance}
        # Raises UsageError for other numbers of steps
        model.process.levels(self.steps, spacing=self.settings["spacing"])
        multiple: int = network.multiple
        seconds = window_seconds or spec.window_seconds or 0.0
        self.window = multiple * max(1, round(seconds * self.rate / multiple))
        self.grid: int = network.grid
        self.reach: int = network.vocoder.reach * network.vocoder.hop

    @property
    def calls(self) -> int:
        """Return how often the U-Net is called for a channel of a window."""
        return self.steps * (1 if self.guidance in (None, 1) else 2)

    def check(self, edge: float) -> None:
        """Accept any band."""

    @torch.inference_mode()
    def wide(
        self, windows: Sequence[np.ndarray], starts: Sequence[int], edges: Sequence[float], levels: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return windows (C, n) with a band above the edge, at their own level. The band below it is not to be used.

        Args:
            windows: (C, n) each, as they are in the file.
            starts: position of each in the file, in samples, a multiple of `grid`.
            edges: frequency in Hz that the band of each ends at.
            levels: (n,) or (1,) each, level of the sound of the recording around, linear, which silence is measured by.
        """
        made = []
        for audio, start, edge, level in zip(windows, starts, edges, levels):
            x = torch.from_numpy(audio.astype(np.float32))
            x = x - x.mean(dim=1, keepdim=True)
            peaks = x.abs().amax(dim=1)
            heard = (peaks > SILENCE * level.min()).nonzero()[:, 0]
            result = audio.astype(np.float32)
            if len(heard):
                # Channels that differ only in gain get results that differ only in that gain, so the stereo image stays.
                gains = self.model.spec.level / peaks[heard, None]
                x = pad(x[heard] * gains, (0, self.window - x.shape[1]))
                wide = self._channels(send(x, self.model.device), start, edge).cpu() / gains
                result[heard.numpy()] = wide[:, : audio.shape[1]].numpy()
            made.append(result)
        return made

    def _channels(self, audio: Tensor, start: int, edge: float) -> Tensor:
        """Return the wide channels (C, n) of `audio` (C, n), at the model's level. A CPU takes one at a time to save memory."""
        low, network = self.network.narrow(audio, edge), self.network
        bands = network.known_bands(edge) if network.keeps_bands else 0
        shape = (1, network.autoencoder.embed_dim, self.window // self.grid, network.filters.shape[1] // network.factor)
        made = []
        for rows in low.split(1 if low.device.type == "cpu" else len(low)):
            noise = FrameNoise(self.seed, [start // self.grid], rows.new_empty(shape))
            made.append(self.extend(rows, bands, lambda: noise().expand(len(rows), -1, -1, -1)))  # noqa: B023 - called here
        wide = torch.cat(made)
        if network.keeps_bands:
            wide = wide * _matching(low, wide, edge)
        return wide

    def extend(self, low: Tensor, bands: int, noise: Draw) -> Tensor:
        """Return wide waves (B, N) of narrow ones.

        Args:
            low: waves (B, N) at the level that the model was trained with.
            bands: number of bands of the spectrum that go to the vocoder as they are in `low`.
            noise: gives a draw of standard normal noise like the latents: one for the condition, the others for the sampler.
        """
        mel = self.network.analyze(low)
        condition = self._call(self.network.condition, mel, noise())
        z = self.sample(condition, noise)
        found = self._call(self.network.decode, z)
        found[..., :bands] = mel[..., :bands]
        return self._call(self.network.vocode, found, low)

    def sample(self, condition: Tensor, noise: Draw) -> Tensor:
        """Return the latents of the wide spectrum under the latents (B, Z, T, F) of the narrow one."""
        estimate = self.model.bind(condition)[1]
        if self.guidance is not None:
            freely = self.model.bind(self.network.no_condition(condition))[1]
            estimate = guided(estimate, freely, self.guidance)
        start = torch.zeros_like(condition)
        return self.sampler(estimate, self.model.process, start, self.steps, noise)

    def operations(self) -> int:
        """Return the floating-point operations for a channel of a window. Works with a network on the device "meta"."""
        network, columns = self.network, self.window // self.grid
        mel = torch.empty(1, 1, columns * network.factor, network.filters.shape[1], device="meta")
        z = torch.empty(1, network.autoencoder.embed_dim, columns, mel.shape[3] // network.factor, device="meta")
        wave, t = torch.empty(1, self.window, device="meta"), torch.empty(1, device="meta")
        once = count(network.autoencoder.encode, mel) + count(network.autoencoder.decode, z)
        return self.calls * count(network, z, z, t) + once + count(network.vocode, mel, wave)

    def _call(self, part: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        with autocast(self.model.device, self.model.precision):
            return part(*inputs).float()


def _matching(low: Tensor, wide: Tensor, edge: float) -> Tensor:
    """Return factors (C, 1) that bring the waves `wide` (C, N) to the levels of `low` just below `edge` Hz, within limits."""
    levels = []
    for wave in (low, wide):
        spectrum = torch.fft.rfft(wave)
        first, last = (round(2 * share * edge / crossover.RATE * spectrum.shape[1]) for share in MATCHED)
        levels.append(spectrum[:, first:last].abs().square().sum(dim=1, keepdim=True).sqrt())
    return (levels[0] / levels[1].clamp_min(1e-20)).clamp(1 / MOST_MATCHED, MOST_MATCHED)
