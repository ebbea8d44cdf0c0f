"""Run a denoising model over windows of waveforms given as NumPy arrays: the torch half of tasks.denoise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from enhance_cli.models.device import send
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.guide import load_guide
from enhance_cli.models.sampling import Sampling, prepare
from enhance_cli.models.spectral_model import SpectralModel


class WindowedDenoiser:
    """Compute the change that a model makes to windows. One serves many files, also at the same time.

    `rate` in Hz. `grid`: windows must begin at multiples of so many samples. `reach`: receptive field on either side in
    samples, None if it is not finite. `guide_reach`: samples that a guide adds to it. `fills_up`: whether windows may be
    padded with silence. Published models whose transform mirrors the signal at its end do not allow that.
    """

    def __init__(self, model: SpectralModel, sampling: Sampling, *, guide: str | None = None):
        """Prepare the sampler, and load the `guide` (None: the model's own).

        Raises UsageError for steps, a sampler, settings or a guide that the model does not allow.
        """
        spec, hop = model.spec, model.frontend.hop
        self.model, self.seed, self.rate, self.hop = model, sampling.seed, spec.sample_rate, hop
        self.steps, self.sample = prepare(spec, model.process, sampling)
        self.guide = load_guide(spec.choose_guide(guide), spec.sample_rate, hop, model.device)
        self.grid: int = self.guide.grid if self.guide else hop
        self.guide_reach = self.guide.margin if self.guide else 0
        receptive_field: Any = model.network.receptive_field
        self.reach = None if receptive_field is None else (receptive_field * self.steps + 2) * hop
        self.fills_up = model.frontend.pad_mode == "constant"  # published programs do not

    @torch.inference_mode()
    def changes(self, windows: Sequence[np.ndarray], starts: Sequence[int], scales: Sequence) -> list[np.ndarray]:
        """Denoise windows of one shape.

        Args:
            windows: (C, n) each, as they are in the file.
            starts: position of each in the file, in samples.
            scales: factors on the samples of each for the model, (C, n) or (C, 1), where C may be 1.

        Returns:
            for each window (2C, n): the change, and the window itself.
        """
        channels, samples = windows[0].shape
        audio = torch.from_numpy(np.stack(windows).astype(np.float32)).flatten(0, 1)
        rows = [np.broadcast_to(scale, (channels, scale.shape[1])) for scale in scales]
        factor = torch.from_numpy(np.concatenate(rows).astype(np.float32))
        missing = -samples % self.hop if self.fills_up else 0
        padded = send(torch.nn.functional.pad(audio * factor, (0, missing)), self.model.device)
        frontend = self.model.frontend
        y = frontend.analyze(padded)
        conditions = {"guide": self.guide(padded)} if self.guide else {}
        estimate = self._estimate(y, self._frames(starts, channels), **conditions)
        change = frontend.synthesize(estimate, samples) - frontend.synthesize(y, samples)
        result = torch.stack([change.cpu() / factor, audio]).unflatten(1, (len(windows), channels))
        return [result[:, i].flatten(0, 1).numpy() for i in range(len(windows))]

    @torch.inference_mode()
    def refinements(self, windows: Sequence[np.ndarray], starts: Sequence[int]) -> list[np.ndarray]:
        """Refine the estimates of a first stage.

        Args:
            windows: (2C, n) each, the noisy channels and their estimates, at the level of the model.
            starts: position of each in the file, in samples.

        Returns:
            for each window the change (C, n) of the estimates.
        """
        samples = windows[0].shape[1]
        audio = torch.from_numpy(np.stack(windows).astype(np.float32))
        padded = send(torch.nn.functional.pad(audio, (0, -samples % self.hop)), self.model.device)
        noisy, first = (self.model.frontend.analyze(part.flatten(0, 1)) for part in padded.chunk(2, dim=1))
        estimate = self._estimate(noisy, self._frames(starts, padded.shape[1] // 2), first=first)
        silent = (noisy == 0).all(dim=3, keepdim=True).all(dim=1, keepdim=True)
        estimate = torch.where(silent, first, estimate[:, :, : first.shape[2]])  # digital silence stays digital silence
        synthesize = self.model.frontend.synthesize
        change = synthesize(estimate, samples) - synthesize(first, samples)
        change = self.model.spec.refinement * change
        return list(change.cpu().unflatten(0, (len(windows), -1)).numpy())

    def _frames(self, starts: Sequence[int], channels: int) -> list[int]:
        return [start // self.hop for start in starts for _ in range(channels)]

    def _estimate(self, y: Tensor, frames: list[int], **conditions: Tensor) -> Tensor:
        """Return the clean estimate of spectrograms (B, 2, T, F), with the frames that pad them to `frames_multiple`.

        `frames`: position of each item's first frame in the file.
        """
        padded = {}
        y, guide = self.model.pad_frames(y, conditions.get("guide"))
        if guide is not None:
            padded["guide"] = guide
        if "first" in conditions:
            padded["first"], _ = self.model.pad_frames(conditions["first"])
        noise = FrameNoise(self.seed, frames, y, self.model.process.noise_scale)
        return self.model.sample(self.sample, y, self.steps, noise, **padded)
