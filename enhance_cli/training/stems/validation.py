"""Score held-out songs as they were played, with a held-out soundfont: SI-SDR improvement over the mix.

Only stems that play are counted.
"""

from collections.abc import Sequence

import numpy as np

from enhance_cli.metrics import si_sdr

SILENT = 1e-3  # RMS below which a stem does not play in an excerpt


def score(
    mixes: np.ndarray, stems: np.ndarray, estimates: np.ndarray, names: Sequence[str], rate: int
) -> dict[str, float]:
    """Return mean SI-SDR improvements in dB of each stem and, as "si_sdri", their mean.

    mixes: (K, 1, N). stems, estimates: (K, S, N).
    """
    scores = {}
    for index, name in enumerate(names):
        gains = []
        for mix, stem, estimate in zip(mixes[:, 0], stems[:, index], estimates[:, index]):
            if np.sqrt(np.mean(stem**2)) > SILENT and np.abs(mix - stem).max() > SILENT:
                gains.append(max(si_sdr.score(stem, estimate, rate), -30.0) - si_sdr.score(stem, mix, rate))
        if gains:
            scores[f"si_sdri_{name}"] = round(float(np.mean(gains)), 3)
    return {"si_sdri": round(float(np.mean(list(scores.values()))), 3)} | scores
