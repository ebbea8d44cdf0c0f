"""Open the stream of a network with memory. torch is imported only by those that compute with it."""

from typing import Any, Protocol

import numpy as np

STREAMING_NETWORKS = ("deepfilternet", "dpdfnet", "fastenhancer")


class Stream(Protocol):
    """Clean C channels at the rate of a network, each by itself."""

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples (C, n). Returns those that are ready, (1 or 2, C, m), with `last` all the rest.

        The first part is the cleaned signal, the second the gain of the top band, if the stream reports it.
        """

    def fork(self) -> "Stream":
        """Return a copy that goes on from here by itself, with the same network."""


def maps_spectra(network: Any) -> bool:
    """Return whether a network maps spectra to spectra (models.spectral_stream).

    The other kind is DeepFilterNet, whose streams report the gain of the top band as well.
    """
    return hasattr(network, "n_fft")


def open_stream(network: Any, channels: int, top: float) -> Stream:
    """Return a new stream. `top`: frequency in Hz where the signal ends, just below which a gain is reported."""
    if maps_spectra(network):
        from enhance_cli.models.spectral_stream import SpectralStream

        return SpectralStream(network, channels)
    from enhance_cli.models.deep_filter_stream import DeepFilterStream

    return DeepFilterStream(network, channels, top)
