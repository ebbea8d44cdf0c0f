"""Collect the measures of speech quality, one a file, loaded on use: `load("pesq")` returns its `score` function.

Every `score(reference, estimate, rate)` takes two float arrays of the same length (N,) and a sample rate in Hz. It
returns a number, or a dictionary of numbers if the measure has several parts. Higher is better, except for hf_lsd, which is a
distance. It raises AudioError for signals for which the measure is not defined, such as silence.

Measures with other arguments have no entry and are imported by name: error rates of speaker verification (eer, min_dcf), which
judge lists of trials (trials, det), the delay of an estimate, and others.
"""

from collections.abc import Callable

import numpy as np

from enhance_cli.catalogue import Catalogue
from enhance_cli.errors import EnhanceError

Score = Callable[[np.ndarray, np.ndarray, int], "float | dict[str, float]"]

METRICS = Catalogue(
    "metric",
    __name__,
    {
        "pesq": "pesq:score",
        "estoi": "estoi:score",
        "si_sdr": "si_sdr:score",
        "hf_si_sdr": "hf_si_sdr:score",
        "hf_lsd": "hf_lsd:score",
        "dnsmos": "dnsmos:score",
        "pause_depth": "pause_depth:score",
    },
)


def load(name: str) -> Score:
    """Return the function that computes the measure `name`.

    Raises UsageError for an unknown name and EnhanceError where the package that the measure needs is not installed.
    """
    try:
        return METRICS[name]
    except ModuleNotFoundError as error:
        raise EnhanceError(
            f"metric {name} needs the package {error.name}", "pip install 'enhance-cli[metrics]'"
        ) from error
