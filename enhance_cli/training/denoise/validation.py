"""Validate on held-out speakers and noises: fixed mixtures, default steps, SI-SDR and (where installed) PESQ."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from enhance_cli import metrics
from enhance_cli.audio.resample import resample
from enhance_cli.errors import AudioError, EnhanceError, UsageError
from enhance_cli.models.deep_filter_stream import DeepFilterStream
from enhance_cli.models.load import Model
from enhance_cli.models.sampling import Sampling
from enhance_cli.training.denoise import samples

SCORED_RATE = 16000  # Hz
MEASURES = ("si_sdr", "estoi", "pesq")
BATCH = 8  # mixtures denoised at a time
# Limits: a silent estimate or a mixture without noise would dominate the mean otherwise
SI_SDR_RANGE_DB = (-30.0, 50.0)


class Validation:
    """Score one model on fixed mixtures (K, N) without their first `lead_in` samples.

    The first `shown` of them are written to `folder` every time.
    """

    def __init__(
        self,
        model: Model,
        folder: Path,
        shown: int,
        noisy: np.ndarray,
        clean: np.ndarray,
        first: np.ndarray | None = None,
        *,
        lead_in: int = 0,
    ):
        """Prepare the mixtures. Raises UsageError if none of them has a voice."""
        if not any(map(voiced, clean)):
            raise UsageError("there is no voice in any of the mixtures to validate on", "raise train.validation_items")
        self.model, self.folder, self.shown, self.lead_in = model, folder, shown, lead_in
        self.noisy, self.clean, self.first = noisy, clean, first

    def scores(self, step: int) -> dict[str, float]:
        enhanced = enhance(self.model, self.noisy, self.first)
        self._show(step, enhanced)
        return self._compare(enhanced)

    @cached_property
    def noisy_scores(self) -> dict[str, float]:
        """Return the scores of the mixtures themselves."""
        return self._compare(self.noisy)

    @cached_property
    def first_scores(self) -> dict[str, float]:
        """Return the scores of the first stage's estimates, {} where there is none."""
        return {} if self.first is None else self._compare(self.first)

    def _compare(self, estimates: np.ndarray) -> dict[str, float]:
        rate = self.model.spec.sample_rate
        clean, scored = (resample(side[:, self.lead_in :], rate, SCORED_RATE) for side in (self.clean, estimates))
        return score_pairs(clean, scored, SCORED_RATE)

    def early_samples(self, step: int) -> None:
        """Write samples to listen to before the first validation."""
        if self.shown > 0:
            first = None if self.first is None else self.first[: self.shown]
            self._show(step, enhance(self.model, self.noisy[: self.shown], first))

    def _show(self, step: int, enhanced: np.ndarray) -> None:
        if self.shown > 0:
            some = (x[: self.shown] for x in (self.noisy, self.clean, enhanced))
            samples.write(self.folder, step, self.model.spec.sample_rate, *some)


@torch.inference_mode()
def enhance(model: Model, noisy: np.ndarray, first: np.ndarray | None = None) -> np.ndarray:
    """Return mixtures (K, N) denoised in the model's default steps. `first`: estimates (K, N) of a first stage, if any.

    They are computed by the object that denoises files (models.windowed_denoiser), with the same noise every time.
    """
    is_stream = model.stream_network is model.network
    if is_stream:
        return DeepFilterStream(model.network, len(noisy)).push(noisy, last=True)[0]
    windowed = model.windowed(Sampling())
    span = -(-noisy.shape[1] // windowed.grid) * windowed.grid  # mixtures at different positions get different noise
    enhanced: list[np.ndarray] = []
    for begin in range(0, len(noisy), BATCH):
        batch = noisy[begin : begin + BATCH]
        starts = [(begin + index) * span for index in range(len(batch))]
        if first is None:
            changes = windowed.changes(list(batch[:, None]), starts, [np.ones((1, 1))] * len(batch))
            enhanced += [mixture + change[0] for mixture, change in zip(batch, changes)]
        else:
            estimates = first[begin : begin + BATCH]
            changes = windowed.refinements(list(np.stack([batch, estimates], axis=1)), starts)
            enhanced += [estimate + change[0] for estimate, change in zip(estimates, changes)]
    return np.stack(enhanced)


def score_pairs(clean: np.ndarray, enhanced: np.ndarray, rate: int) -> dict[str, float]:
    """Return mean SI-SDR in dB, ESTOI and PESQ (where installed) over pairs (K, N) with a voice.

    Each SI-SDR is limited to SI_SDR_RANGE_DB.
    """
    pairs = [(c, e) for c, e in zip(clean, enhanced) if voiced(c)]
    return {name: round(float(np.mean(values)), 4) for name in MEASURES if (values := _scores(name, pairs, rate))}


def voiced(clean: np.ndarray) -> bool:
    """Return whether there is a voice in (N,)."""
    return float(np.abs(clean).max()) > 1e-3


def _scores(name: str, pairs: list[tuple[np.ndarray, np.ndarray]], rate: int) -> list[float]:
    """Return one score per pair for which the measure is defined, or none if its package is not installed."""
    scores = []
    for clean, estimate in pairs:
        try:
            score: Any = metrics.load(name)(clean, estimate, rate)  # a number, by all of MEASURES
            scores.append(float(np.clip(score, *SI_SDR_RANGE_DB)) if name == "si_sdr" else score)
        except AudioError:
            continue
        except EnhanceError:
            return []
    return scores
