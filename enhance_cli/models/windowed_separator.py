"""Run a stem model over windows of waveforms given as NumPy arrays: the torch half of tasks.extract_stem."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from enhance_cli.audio.spectra.mixture_consistency import HOP, N_FFT, share_out, spectra
from enhance_cli.models.device import send
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.frame_noise_numpy import SAMPLE_BLOCK
from enhance_cli.models.sampling import sampler_settings
from enhance_cli.models.spec import Spec
from enhance_cli.samplers import SAMPLERS


class SeparationModel(Protocol):
    """State the members of models.stems.StemModel and models.demucs_model.DemucsModel that are needed here."""

    spec: Spec
    device: torch.device
    process: Any

    def separate(
        self, mix: Tensor, stems: Sequence[str], sampler: Callable | None, steps: int, noise: Callable[[], Callable]
    ) -> Tensor: ...
    def receptive_field(self, steps: int) -> int | None: ...


class WindowedSeparator:
    """Extract stems from windows. One serves many files, also at the same time.

    `rate` in Hz. `grid`: windows are padded to a multiple of so many samples. `reach`: receptive field on either side in
    samples, None if it is not finite. `sigma`: noise level at which the refinement starts, None without one.
    """

    def __init__(
        self,
        model: SeparationModel,
        stems: Sequence[str],
        *,
        steps: int | None,
        sampler: str | None,
        sigma: float | None,
        seed: int,
        sums_to_mix: bool,
    ):
        """Prepare the sampler. `sums_to_mix`: distribute the rest of the mix over the stems.

        Raises UsageError if the model does not allow the steps, the sampler or the noise level.
        """
        spec = model.spec
        self.model, self.stems, self.seed, self.sums_to_mix = model, stems, seed, sums_to_mix
        self.rate, self.grid = spec.sample_rate, spec.frames_multiple
        self.steps, self.sampler = spec.choose(steps, sampler)
        self.sigma = (spec.sigma_for(self.steps) if sigma is None else sigma) if self.steps else None
        self.sample: Callable | None = self._settings() if self.steps else None
        reach = model.receptive_field(self.steps)
        self.reach = None if reach is None else reach + N_FFT

    def _settings(self) -> Callable:
        given = {} if self.sigma is None else {"start": self.sigma}
        settings = sampler_settings(self.model.spec, self.sampler, given, {"start": "--sigma"})
        self.model.process.levels(self.steps, settings.get("start"))  # refuses a level where sampling cannot start
        return partial(SAMPLERS[self.sampler], **settings)

    @torch.inference_mode()
    def separate(
        self, windows: Sequence[np.ndarray], starts: Sequence[int], scales: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Extract the stems of windows of one shape.

        Args:
            windows: (C, n) each, as they are in the file.
            starts: position of each in the file, in samples.
            scales: factor of each for the model, (1,) or (n,).

        Returns:
            for each window ((2K + 1) C, n): K stems, their K shares of the content above the band, and the window itself.
        """
        spec, device = self.model.spec, self.model.device
        mix = send(torch.from_numpy(np.stack(windows).astype(np.float32)), device)  # (W, C, n)
        length = max(len(scale) for scale in scales)
        factors = np.stack([np.broadcast_to(scale, length) for scale in scales])
        scale = mix.new_tensor(factors)[:, None]  # (W, 1, 1 or n)
        padded = torch.nn.functional.pad(mix * scale, (0, -mix.shape[2] % self.grid))
        whole = spec.channels == mix.shape[1]
        taken = padded if whole else padded.flatten(0, 1)[:, None].expand(-1, spec.channels, -1)
        positions = [start for start in starts for _ in range(taken.shape[0] // len(windows))]
        noise = lambda: FrameNoise(self.seed, positions, taken, self.model.process.noise_scale, SAMPLE_BLOCK)
        found = self.model.separate(taken, self.stems, self.sample, self.steps, noise)
        found = found if whole else found.mean(dim=2).unflatten(1, mix.shape[:2])
        found = found[..., : mix.shape[2]] / scale  # (K, W, C, n)
        if self.sums_to_mix:
            found = found + share_out(found, mix - found.sum(dim=0))
        shares = upper_shares(found, mix, sum_to_one=self.sums_to_mix)
        return list(torch.cat([found, shares, mix[None]]).transpose(0, 1).flatten(1, 2).cpu().numpy())


def upper_shares(stems: Tensor, mix: Tensor, *, sum_to_one: bool) -> Tensor:
    """Return the share (K, ..., n) of each stem in the energy of the upper half of the band of the mix.

    `stems`: (K, ..., n). `mix`: (..., n).
    """
    energies, whole = (spectra(x)[..., N_FFT // 4 :, :].abs().square().sum(dim=-2) + 1e-12 for x in (stems, mix))
    shares = energies / (energies.sum(dim=0) if sum_to_one else torch.maximum(energies, whole))
    smooth = torch.nn.functional.interpolate(
        shares.flatten(0, -2)[:, None], size=(shares.shape[-1] - 1) * HOP + 1, mode="linear", align_corners=True
    )
    n = stems.shape[-1]
    smooth = torch.nn.functional.pad(smooth[:, 0], (0, max(0, n - smooth.shape[-1])), mode="replicate")[:, :n]
    return smooth.unflatten(0, stems.shape[:-1])
