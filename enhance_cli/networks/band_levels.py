"""Define the network of extend-s: levels of the bands that are there in, levels of those that are missing out.

A stack of dense convolutions over frames that sees all bands at once (audio.spectra.fine_bands). The receptive field is finite,
so a file done in windows with `receptive_field` frames of margin equals the file done whole.

    extend-s  0.48 M parameters  48 MMAC per second of audio
"""

import torch
from torch import Tensor, nn

from enhance_cli.networks.layers import zeroed

CENTER_DB, SPREAD_DB = -40.0, 20.0  # of levels, for the network
PEAKINESS_DB = 3.0


class BandLevels(nn.Module):
    """Map levels (B, K, T) in dB, of which those of the first `known` (B,) bands are true, to levels and peakiness in dB.

    `bands` is K, `width` the number of channels, `dilations` those of the residual blocks in time. Only `trained` bands have
    been learned: those above fall by `slope` dB each.
    """

    def __init__(
        self,
        bands: int = 60,
        width: int = 128,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2),
        trained: int = 57,
        slope: float = 1.5,
    ):
        super().__init__()
        self.bands, self.dilations = bands, tuple(dilations)
        self.trained, self.slope = trained, slope
        self.stem = nn.Conv1d(2 * bands, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, dilation) for dilation in self.dilations)
        self.head = zeroed(nn.Conv1d(width, 2 * bands, 1))

    @property
    def receptive_field(self) -> int:
        """Return the number of frames on either side that an output depends on."""
        return 1 + sum(self.dilations)

    def forward(self, levels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return levels and peakiness (B, K, T) in dB. Of unknown bands nothing is read."""
        given = (torch.arange(self.bands, device=levels.device) < known[:, None])[..., None]
        there = given.to(levels.dtype).expand_as(levels)
        scaled = torch.where(given, (levels - CENTER_DB) / SPREAD_DB, torch.zeros_like(levels))
        hidden = self.stem(torch.cat([scaled, there], dim=1))
        for block in self.blocks:
            hidden = block(hidden)
        made, peaks = self.head(hidden).chunk(2, dim=1)
        highest = levels.gather(1, (known - 1)[:, None, None].expand(-1, 1, levels.shape[2]))
        made = highest + SPREAD_DB * made
        beyond = torch.arange(1, self.bands - self.trained + 1, device=levels.device)[:, None]
        last = made[:, self.trained - 1 : self.trained] - self.slope * beyond
        return torch.cat([made[:, : self.trained], last], dim=1), PEAKINESS_DB * (1 + peaks)


class Block(nn.Module):
    """Add to (B, C, T) its convolution over frames, followed by one over channels."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.time = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.channels = nn.Conv1d(width, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.channels(nn.functional.gelu(self.time(nn.functional.gelu(hidden))))
