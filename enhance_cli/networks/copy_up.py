"""Define spectral copy-up without any weights: the levels above a band fall by a fixed slope from that of its top octave.

A trained network must beat it (networks.band_levels has the same form).
"""

import torch
from torch import Tensor, nn

PEAKINESS_DB = 3.0


class CopyUp(nn.Module):
    """Map levels (B, K, T) in dB, of which those of the first `known` (B,) bands are true, to levels and peakiness in dB.

    `frequencies`: centers of the K bands in Hz. `slope`: dB an octave.
    """

    octaves: Tensor

    receptive_field = 0

    def __init__(self, frequencies: tuple[float, ...], slope: float = -4.5):
        super().__init__()
        octaves = torch.tensor(frequencies).clamp_min(1.0).log2()
        self.register_buffer("octaves", octaves, persistent=False)
        self.slope = slope

    def forward(self, levels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return levels and peakiness (B, K, T) in dB."""
        top = self.octaves[known - 1][:, None]
        distance = top - self.octaves
        octave = ((distance >= 0) & (distance < 1)).to(levels.dtype)[..., None]
        power = (10 ** (levels / 10) * octave).sum(dim=1, keepdim=True) / octave.sum(dim=1, keepdim=True)
        made = 10 * power.log10() - self.slope * (distance - 0.5)[..., None]
        return made, torch.full_like(made, PEAKINESS_DB)
