"""Compare spectrograms by a differentiable PESQ (ITU-T P.862), computed by the package torch-pesq.

It has the symmetric and asymmetric disturbances in the loudness domain without PESQ's time alignment, since both
signals are aligned in training. It ignores phase, so combine it with a distance that includes waveform and spectrum.
"""

from functools import lru_cache

import torch
from torch import Tensor

from enhance_cli.contracts import Frontend
from enhance_cli.errors import UsageError

RATE = 16000


def distance(estimate: Tensor, target: Tensor, frontend: Frontend) -> Tensor:
    """Return the distance of spectrograms (B, 2, T, F) of 16 kHz audio, a scalar.

    `frontend` (audio.spectra.stft.Frontend) defines their compression. The mean is taken over the items where neither signal is
    silent, as PESQ is not defined for silence. Raises UsageError where torch-pesq is not installed.
    """
    samples = (estimate.shape[2] - 1) * frontend.hop
    estimate, target = (frontend.synthesize(c.float(), samples) for c in (estimate, target))
    voiced = torch.minimum(estimate.square().mean(dim=1), target.square().mean(dim=1)) > 1e-8
    if not voiced.any():
        return 0.0 * estimate.sum()
    heard = estimate[voiced]
    if heard.requires_grad:
        heard.register_hook(_finite)
    return _loss(target.device)(target[voiced], heard).float().mean()


def _finite(gradient: Tensor) -> Tensor:
    """Return `gradient` with zeros for items without a finite one.

    torch-pesq has no gradient where both signals sound alike for 0.3 s.
    """
    return torch.where(gradient.isfinite().all(dim=1, keepdim=True), gradient, 0)


@lru_cache
def _loss(device: torch.device) -> torch.nn.Module:
    try:
        from torch_pesq import PesqLoss
    except ImportError as error:
        raise UsageError("the distance perceptual needs torch-pesq", "pip install 'enhance-cli[train]'") from error
    return PesqLoss(1.0, sample_rate=RATE).to(device)
