"""Define spectral copy-up without any weights: the levels above a band fall by a fixed slope from that of its end.

A trained network must beat it (networks.band_levels has the same form).
"""

import torch
from torch import Tensor, nn

PEAKINESS_DB = 3.0
REFERENCE = 1 / 3  # octaves below the end of the band, whose mean power the slope begins at


class CopyUp(nn.Module):
    """Map levels (B, K, T) in dB, of which those of the first `known` (B,) bands are true, to levels and peakiness in dB.

    `frequencies`: centers of the K bands in Hz. `slope`: dB an octave.
    """

    octaves: Tensor

    receptive_field = 0

    def __init__(self, frequencies: tuple[float, ...], slope: float = -9.0):
        super().__init__()
        octaves = torch.tensor(frequencies).clamp_min(1.0).log2()
        self.register_buffer("octaves", octaves, persistent=False)
        self.slope = slope

    def forward(self, levels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return levels and peakiness (B, K, T) in dB."""
        top = self.octaves[known - 1][:, None]
        distance = top - self.octaves
        end = ((distance >= 0) & (distance < REFERENCE)).to(levels.dtype)[..., None]
        power = (10 ** (levels / 10) * end).sum(dim=1, keepdim=True) / end.sum(dim=1, keepdim=True)
        made = 10 * power.log10() - self.slope * (distance - REFERENCE / 2)[..., None]
        return made, torch.full_like(made, PEAKINESS_DB)
