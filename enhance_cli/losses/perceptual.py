"""Perceptual distance: what PESQ (ITU-T P.862) hears between estimate and target, differentiable, by the package torch-pesq.

The symmetric and asymmetric disturbances in the loudness domain, without PESQ's time alignment: for training, where the two
are aligned. It belongs beside a distance that holds waveform and spectrum together, since it does not know phase.
"""

from functools import lru_cache

import torch
from torch import Tensor

from enhance_cli.errors import UsageError

RATE = 16000


def distance(estimate: Tensor, target: Tensor, frontend) -> Tensor:
    """Spectrograms (B, 2, T, F) of 16 kHz audio in the compression of `frontend` (audio.stft.Frontend) -> scalar.

    The mean over the items where neither is silent, as PESQ is not defined for silence. Raises UsageError where torch-pesq
    is not installed.
    """
    samples = (estimate.shape[2] - 1) * frontend.hop
    estimate, target = (frontend.synthesise(c.float(), samples) for c in (estimate, target))
    voiced = torch.minimum(estimate.square().mean(dim=1), target.square().mean(dim=1)) > 1e-8
    if not voiced.any():
        return 0.0 * estimate.sum()
    heard = estimate[voiced]
    if heard.requires_grad:
        heard.register_hook(_finite)
    return _loss(target.device)(target[voiced], heard).float().mean()


def _finite(gradient: Tensor) -> Tensor:
    """Nothing for items that torch-pesq has no gradient for, as happens where both sound alike for 0.3 s."""
    return torch.where(gradient.isfinite().all(dim=1, keepdim=True), gradient, 0)


@lru_cache
def _loss(device: torch.device) -> torch.nn.Module:
    try:
        from torch_pesq import PesqLoss
    except ImportError as error:
        raise UsageError("the distance perceptual needs torch-pesq", "pip install 'enhance-cli[train]'") from error
    return PesqLoss(1.0, sample_rate=RATE).to(device)
