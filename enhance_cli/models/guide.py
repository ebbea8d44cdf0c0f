"""Compute guides: a number from 0 to 1 for every frame, given to networks that were trained with it.

`vad` is the probability of a voice by a few measurements, without weights (audio.levels.voice_activity). `panns` is the same
by a large published network that knows 527 classes of sound (networks.cnn14). Singing counts as a voice. `gaps` is the share
of samples that are missing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from enhance_cli.audio.levels.voice_activity import CONTEXT_SECONDS, voice_probability
from enhance_cli.audio.resample import resample
from enhance_cli.errors import UsageError
from enhance_cli.models import registry
from enhance_cli.models.weights import load_network
from enhance_cli.networks import cnn14

NONE = "none"
PANNS = "panns"  # the model in weights.toml
GAPS = "gaps"
LEAST_GAP_SECONDS = 0.002  # length of digital silence that counts as a gap


@dataclass(frozen=True)
class Guide:
    """Compute a number from 0 to 1 for every frame: wave (B, N) at the model's rate -> (B, 1, N // hop + 1).

    An excerpt that begins at a multiple of `grid` samples gives the values of the whole file, except within `margin`
    samples of its ends.
    """

    probability: Callable[[Tensor], Tensor]
    margin: int
    grid: int

    def __call__(self, wave: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(wave.device.type, enabled=False):
            return self.probability(wave.float()).unsqueeze(1)


def load_guide(name: str, rate: int, hop: int, device: torch.device) -> Guide | None:
    """Return the guide `name` for a model at `rate` with frames every `hop` samples, or None for "none".

    Raises UsageError for an unknown guide, ModelError if its weights are missing.
    """
    if name == NONE:
        return None
    if name not in GUIDES:
        raise UsageError(f"unknown guide {name!r}", f"choose from {', '.join([NONE, *GUIDES])}")
    return GUIDES[name](rate, hop, device)


def voice_activity(rate: int, hop: int, device: torch.device) -> Guide:
    return Guide(lambda wave: voice_probability(wave, rate, hop), math.ceil(CONTEXT_SECONDS * rate), hop)


def panns(rate: int, hop: int, device: torch.device) -> Guide:
    """Return the guide by PANNs: the highest probability among AudioSet's voices, for each 0.32 s."""
    entry = registry.find(PANNS, "guide")
    _, network = load_network(entry.path, entry.sha256)
    return from_network(cast(cnn14.Cnn14DecisionLevel, network.to(device)), rate, hop)


def from_network(network: cnn14.Cnn14DecisionLevel, rate: int, hop: int) -> Guide:
    """Return the guide by a network that detects events in segments."""
    segment = round(cnn14.SEGMENT_SECONDS * rate)

    def probability(wave: Tensor) -> Tensor:
        frames = torch.arange(wave.shape[1] // hop + 1, device=wave.device)
        heard = torch.from_numpy(resample(wave.cpu().numpy(), rate, cnn14.RATE)).to(wave.device)
        voices = network(heard)[..., cnn14.VOICES].amax(dim=2)
        return voices[:, (frames * hop // segment).clamp(max=voices.shape[1] - 1)]

    return Guide(probability, math.ceil(cnn14.REACH_SECONDS * rate), math.lcm(hop, segment))


def gaps(rate: int, hop: int, device: torch.device) -> Guide:
    """Return the guide for gaps of digital silence: the share of missing samples around every frame."""
    least = round(LEAST_GAP_SECONDS * rate)
    return Guide(lambda wave: missing_share(silent_runs(wave, least), hop), least + hop, hop)


def silent_runs(wave: Tensor, least: int) -> Tensor:
    """Return (B, N) of bool, true for the samples of a wave (B, N) that lie in runs of at least `least` zeros."""
    zero = torch.nn.functional.pad((wave == 0).float(), (0, least - 1)).unsqueeze(1)
    begins = (torch.nn.functional.avg_pool1d(zero, least, 1) == 1).float()
    within = torch.nn.functional.max_pool1d(torch.nn.functional.pad(begins, (least - 1, 0)), least, 1)
    return within.squeeze(1) > 0


def missing_share(missing: Tensor, hop: int) -> Tensor:
    """Return the share of missing samples in the 2 `hop` around every multiple of `hop`, (B, N // hop + 1) of (B, N)."""
    return torch.nn.functional.avg_pool1d(missing.float().unsqueeze(1), 2 * hop, hop, padding=hop).squeeze(1)


GUIDES = {"vad": voice_activity, PANNS: panns, GAPS: gaps}
