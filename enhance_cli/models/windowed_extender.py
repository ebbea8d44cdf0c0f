"""Run a model that extends bandwidth over windows given as NumPy arrays: the torch half of tasks.extend_bandwidth."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from enhance_cli.audio.spectra import fine_bands
from enhance_cli.audio.spectra.fine_bands_numpy import RATE, known_bands
from enhance_cli.errors import UsageError
from enhance_cli.models.device import autocast, send
from enhance_cli.models.frame_noise import FrameNoise
from enhance_cli.models.frame_noise_numpy import SAMPLE_BLOCK
from enhance_cli.models.graphs.extender import LEVEL_NETWORKS
from enhance_cli.models.spec import Spec

LEAST_OF_BAND = 0.8  # share of the band that a network was trained to continue, which the input must have


class WideningModel(Protocol):
    """State the members of models.load.Model that are needed here."""

    spec: Spec
    device: torch.device
    precision: str
    network: torch.nn.Module


class WindowedExtender:
    """Make the missing band of windows at 48 kHz. One serves many files, also at the same time.

    `grid`: windows must begin at multiples of so many samples. `reach`: receptive field on either side in samples.
    """

    rate = RATE

    def __init__(self, model: WideningModel, *, seed: int):
        self.model, self.seed = model, seed
        network: Any = model.network
        self.network = network
        self.makes_levels = model.spec.network in LEVEL_NETWORKS  # the other networks make waves
        self.grid = fine_bands.HOP if self.makes_levels else math.lcm(fine_bands.HOP, network.hop)
        reach: int = network.receptive_field
        self.reach: int = (reach + 2) * fine_bands.HOP if self.makes_levels else reach

    def check(self, edge: float) -> None:
        """Raise UsageError for a band that ends at `edge` Hz, far below the one that the model continues."""
        low_rate = getattr(self.network, "low_rate", None)
        if low_rate is not None and edge < LEAST_OF_BAND * low_rate / 2:
            name = self.model.spec.name
            raise UsageError(
                f"{name} continues a band up to {low_rate // 2} Hz, and this one ends at {edge:.0f} Hz",
                "use another model, or say --input-cutoff if that is wrong",
            )

    @torch.inference_mode()
    def wide(
        self, windows: Sequence[np.ndarray], starts: Sequence[int], edges: Sequence[float], levels: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return windows (C, n) with a band above the edge, at their own level. Callers take the band below from the recording.

        Args:
            windows: (C, n) each, as they are in the file.
            starts: position of each in the file, in samples.
            edges: frequency in Hz that the band of each ends at.
            levels: (n,) or (1,) each, level of the sound of the recording around, linear.
        """
        run = self._fill_bands if self.makes_levels else self._waves
        audio = torch.from_numpy(np.stack(windows).astype(np.float32))
        factors = [self.model.spec.scale_for(level) for level in levels]
        length = max(map(len, factors))
        scale = torch.from_numpy(np.stack([np.broadcast_to(f, length) for f in factors])[:, None]).to(audio)
        made = run(send(audio * scale, self.model.device), starts, edges).float().cpu() / scale
        return list(made.numpy())

    def _waves(self, audio: Tensor, starts: Sequence[int], edges: Sequence[float]) -> Tensor:
        """Return wide waves (W, C, n), each channel computed by itself."""
        network, flat = self.network, audio.flatten(0, 1)
        with autocast(self.model.device, self.model.precision):
            return network(network.narrow(flat)).unflatten(0, audio.shape[:2])

    def _fill_bands(self, audio: Tensor, starts: Sequence[int], edges: Sequence[float]) -> Tensor:
        """Return wide waves (W, C, n). The levels come from the mean power of the channels, and are the same for all."""
        samples = audio.shape[-1]
        spectra = fine_bands.analyze(torch.nn.functional.pad(audio, (0, -samples % fine_bands.HOP)))
        power = spectra.abs().square().mean(dim=1)
        known = torch.tensor([known_bands(edge) for edge in edges], device=audio.device)
        with autocast(self.model.device, self.model.precision):
            wanted, peaks = self.network(fine_bands.levels(power), known)
        noise = FrameNoise(
            self.seed, list(starts), spectra.new_zeros(len(starts), 1, samples).real, block=SAMPLE_BLOCK
        )()
        noise = fine_bands.analyze(torch.nn.functional.pad(noise[:, 0], (0, -samples % fine_bands.HOP)))
        full = [
            fine_bands.fill(spectra[i], edge, wanted[i].float(), peaks[i].float(), noise[i])
            for i, edge in enumerate(edges)
        ]
        return fine_bands.synthesize(torch.stack(full), samples)
