"""Validation on held-out speakers and noises: fixed mixtures, the model's default steps, SI-SDR and (where installed) PESQ."""

from functools import partial

import numpy as np
import torch

from enhance_cli import metrics
from enhance_cli.errors import AudioError, EnhanceError
from enhance_cli.models.load import Model
from enhance_cli.samplers import SAMPLERS

MEASURES = ("si_sdr", "estoi", "pesq")


@torch.inference_mode()
def validate(model: Model, noisy: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """(K, N) mixtures and targets -> mean SI-SDR in dB, PESQ and ESTOI of the enhanced, over items with a voice in them."""
    spec, process = model.spec, model.process
    steps, sampler = spec.choose(None, None)
    enhanced = []
    for batch in torch.from_numpy(noisy).split(8):
        y = model.frontend.analyse(batch.to(model.device))
        noise = lambda: process.noise_scale * torch.randn_like(y)  # noqa: B023 - used up before y changes
        estimate = model.sample(partial(SAMPLERS[sampler], **spec.sampler_args.get(sampler, {})), y, steps, noise)
        enhanced.append(model.frontend.synthesise(estimate, batch.shape[1]).cpu().numpy())
    return score_pairs(clean, np.concatenate(enhanced), spec.sample_rate)


def score_pairs(clean: np.ndarray, enhanced: np.ndarray, rate: int) -> dict[str, float]:
    """Mean of every measure over the (K, N) pairs that have a voice in them."""
    voiced = [(c, e) for c, e in zip(clean, enhanced) if np.abs(c).max() > 1e-3]
    return {name: round(float(np.mean(values)), 4) for name in MEASURES if (values := _scores(name, voiced, rate))}


def _scores(name: str, pairs: list[tuple[np.ndarray, np.ndarray]], rate: int) -> list[float]:
    """One score per pair that the measure is defined for; none where its package is not installed."""
    scores = []
    for clean, estimate in pairs:
        try:
            scores.append(metrics.load(name)(clean, estimate, rate))
        except AudioError:
            continue
        except EnhanceError:
            return []
    return scores
