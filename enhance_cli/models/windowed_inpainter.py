"""Fill gaps in windows given as NumPy arrays by a generative speech model, with the known samples as hints."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.device import send
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.guide import GAPS, missing_share
from enhance_cli.models.masked import masked
from enhance_cli.models.sampling import Sampling, prepare
from enhance_cli.models.spectral_model import SpectralModel


class WindowedInpainter:
    """Fill gaps in windows. One serves many files, also at the same time.

    It works with any denoising model that samples spectrograms. `rate` in Hz. Windows must begin at multiples of `grid`
    samples.
    """

    def __init__(self, model: SpectralModel, sampling: Sampling = Sampling(), *, rounds: int = 1):
        """Prepare the sampler.

        Args:
            model: a denoising model.
            sampling: with a `strength` below 1, sampling begins at the windows with less noise, so the first filling in the
                gaps is only changed in part.
            rounds: network calls per step (models.masked).

        Raises ModelError for a model that does not sample, UsageError for steps, a sampler or settings that it does not allow.
        """
        spec = model.spec
        if model.process is None or model.frontend is None or spec.first_stage:
            hint = "use one that samples spectrograms of its own, such as inpaint-s"
            raise ModelError(f"{spec.name}: a model for {spec.task}, not for inpaint", hint)
        self.model, self.spec, self.seed, self.rounds = model, spec, sampling.seed, rounds
        self.rate, self.grid = spec.sample_rate, model.frontend.hop
        self.steps, self.sample = prepare(spec, model.process, sampling)
        self.guided = GAPS in spec.guides
        self.silenced = self.guided and sampling.settings.get("strength", 1.0) == 1

    @torch.inference_mode()
    def filled(
        self,
        windows: Sequence[np.ndarray],
        missing: Sequence[np.ndarray],
        starts: Sequence[int],
        scales: Sequence[float],
    ) -> list[np.ndarray]:
        """Return windows (C, n) with their gaps filled. Known samples are kept bit for bit.

        The model observes the windows with the samples that lie in the gaps: zeros, or a first filling. A model with the
        guide "gaps" was trained with zeros there, and is given these unless sampling begins late.

        Args:
            windows: (C, n) each, of one shape, as they are in the file.
            missing: (n,) or (C, n) of bool for each, true where a sample is not known.
            starts: position of each in the file, in samples.
            scales: factor of each for the model.
        """
        if not self.steps:
            return [np.asarray(window, np.float32) for window in windows]
        channels, samples = windows[0].shape
        audio = torch.from_numpy(np.concatenate(windows).astype(np.float32))
        gaps = torch.from_numpy(np.concatenate([np.broadcast_to(m, windows[0].shape) for m in missing]))
        scale = torch.tensor(list(scales)).repeat_interleave(channels)[:, None]
        frames = [start // self.grid for start in starts for _ in range(channels)]
        wave, hidden = send(audio * scale, self.model.device), send(gaps, self.model.device)
        made = self.model.frontend.synthesize(self._estimate(wave, hidden, frames), samples).cpu() / scale
        result = [
            torch.where(gap, new, old) for gap, new, old in zip(*(v.split(channels) for v in (gaps, made, audio)))
        ]
        return [row.numpy() for row in result]

    def _estimate(self, wave: Tensor, gaps: Tensor, frames: list[int]) -> Tensor:
        """Return the filled spectrograms (B, 2, T, F) of waves (B, n) at the level of the model."""
        frontend, samples = self.model.frontend, wave.shape[1]
        analyze = lambda audio: self.model.pad_frames(frontend.analyze(audio))[0]
        wave = wave.masked_fill(gaps, 0) if self.silenced else wave
        observed = analyze(wave)
        touched = analyze(gaps.float()).abs().amax(dim=(1, 3), keepdim=True) > 0  # frames (B, 1, T, 1)
        noise = FrameNoise(self.seed, frames, observed, self.model.process.noise_scale)
        conditions = {}
        if self.guided:
            _, conditions["guide"] = self.model.pad_frames(
                frontend.analyze(wave), missing_share(gaps, self.grid)[:, None]
            )
        start, estimate = self.model.bind(observed, **conditions)
        estimate = masked(
            estimate, self.model.process, start, known=observed, mask=~touched, noise=noise, rounds=self.rounds,
            project=lambda x0: analyze(torch.where(gaps, frontend.synthesize(x0, samples), wave)),
        )  # fmt: skip
        return self.sample(estimate, self.model.process, start, self.steps, noise)
