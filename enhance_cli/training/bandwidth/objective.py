"""Compare the levels of bands that a network predicts with those of the recording, in dB: per frame, and of a whole crop.

The distance per frame is smallest for the median of the likely levels, which is too quiet for loud moments, since these are
rare. The level of the whole crop corrects that.
"""

import torch
from torch import Tensor

from enhance_cli.audio.spectra import fine_bands
from enhance_cli.models.load import Model

AUDIBLE_DB = -80.0  # lower levels count as this one
TILT_DB = 3.0  # per octave: recordings are made brighter or darker by at most this slope


def level_distance(
    model: Model, waves: Tensor, edges: Tensor, limits: Tensor, *, total: float = 0.5, peaks: float = 0.3
) -> Tensor:
    """Return the mean distance in dB over bands from `edges` to `limits` (B,) in Hz of waves (B, N), a scalar.

    `total`, `peaks`: weights of the levels of the whole crop and of the peakiness.
    """
    tilt = TILT_DB * (2 * torch.rand(len(waves), 1, 1, device=waves.device) - 1)
    parts = distances(model, waves, edges, limits, tilt)
    return parts["frames"] + total * parts["total"] + peaks * parts["peaks"]


def distances(
    model: Model, waves: Tensor, edges: Tensor, limits: Tensor, tilt: Tensor | float = 0.0
) -> dict[str, Tensor]:
    """Return the distances in dB: of `frames`, of the `total` of the crop, and of the `peaks`.

    `tilt`: dB an octave (B, 1, 1).
    """
    power = fine_bands.analyze(waves[:, : waves.shape[1] // fine_bands.HOP * fine_bands.HOP]).abs().square()
    truth, peakiness = fine_bands.levels(power), fine_bands.peakiness(power)
    octaves = torch.tensor(fine_bands.band_starts()[:-1], device=waves.device).clamp_min(1).div(20).log2()[:, None]
    truth = truth + tilt * octaves
    known = _bands_below(edges)
    made, peaks = model.network(truth, known)
    band = torch.arange(fine_bands.BANDS, device=waves.device)
    missing = ((band >= known[:, None]) & (band < _bands_below(limits)[:, None])).float()
    audible = lambda level: level.clamp_min(AUDIBLE_DB)  # noqa: E731
    whole = lambda level: 10 * (10 ** (level / 10)).mean(dim=2).log10()  # noqa: E731
    weight = missing / missing.sum()
    loud = (truth > AUDIBLE_DB).float()
    return {
        "frames": ((audible(made) - audible(truth)).abs().mean(dim=2) * weight).sum(),
        "total": ((whole(audible(made)) - whole(audible(truth))).abs() * weight).sum(),
        "peaks": (((peaks - peakiness).abs() * loud).mean(dim=2) * weight).sum(),
    }


def _bands_below(frequencies: Tensor) -> Tensor:
    """Return the number of bands that lie wholly below each of the frequencies (B,) in Hz."""
    ends = torch.tensor(fine_bands.band_starts()[1:], device=frequencies.device) * fine_bands.BIN_HZ
    return torch.searchsorted(ends.float(), frequencies, right=True)


BAND_LOSSES = {"levels": level_distance}
