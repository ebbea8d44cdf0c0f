"""Run a network with memory over a stream: spectra in, clean spectra out, frame by frame.

Blocks of any size give the result of the whole recording, sample for sample, since frames are always computed in chunks of one
fixed size. The delay of the network is compensated.
"""

import copy
from typing import Any, Protocol

import numpy as np

from enhance_cli.audio.spectra.centered_frames import Analysis, Synthesis, make_window

CHUNK = 30720  # samples whose frames are computed at a time: 0.64 s at 48 kHz, and longer where frames are smaller


class SpectralNetwork(Protocol):
    """Map the spectra of frames to clean ones, with a state.

    `n_fft`, `hop`, `window`, `end`: settings of the transform (audio.spectra.centered_frames). `delay`: frames by which the
    output is late.
    """

    n_fft: int
    hop: int
    window: str
    end: str
    delay: int

    def initial_state(self, batch: int) -> Any: ...
    def infer(self, spectra: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Return the clean spectra (B, T, F) of complex ones, and the new state."""


class SpectralStream:
    """Clean C channels at the rate of the network, each by itself."""

    def __init__(self, network: SpectralNetwork, channels: int):
        window = make_window(network.window, network.n_fft)
        self._network, self._state = network, network.initial_state(channels)
        self._analysis = Analysis(channels, window, network.hop, end=network.end)
        self._synthesis = Synthesis(channels, window, network.hop)
        self._chunk = CHUNK // network.hop  # frames
        self._late = network.delay  # frames still to be dropped from the beginning
        self._frames = 0  # that have been computed

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples (C, n). Returns the cleaned ones that are ready, (1, C, m), with `last` all the rest."""
        self._analysis.push(block)
        chunks = self._analysis.ready // self._chunk
        done = [self._synthesis.push(self._spectra(self._chunk)) for _ in range(chunks)]
        if last and self._analysis.samples:
            done += self._rest()
        return np.concatenate(done, axis=1)[None] if done else np.zeros((1, len(block), 0), np.float32)

    def fork(self) -> "SpectralStream":
        """Return a copy that goes on from here by itself, with the same network."""
        return copy.deepcopy(self, {id(self._network): self._network})

    def _rest(self) -> list[np.ndarray]:
        """Return the samples up to the end of the signal.

        A transform of the whole signal has a frame for every full hop. Published programs drop the samples behind the last
        of them. Here one more frame computes these samples, and no others.
        """
        samples, hop = self._analysis.samples, self._network.hop
        frames = 1 + -(-samples // hop) + self._network.delay - self._frames
        self._analysis.finish(frames)
        sizes = [self._chunk] * (frames // self._chunk) + [frames % self._chunk] * (frames % self._chunk > 0)
        spectra = np.concatenate([self._spectra(size) for size in sizes], axis=1)
        if not samples % hop:
            return [self._synthesis.push(spectra), self._synthesis.flush(samples)]
        before = self._synthesis.push(spectra[:, :-1]), self._synthesis.flush(samples // hop * hop)
        return [*before, self._synthesis.push(spectra[:, -1:])[:, : samples % hop], self._synthesis.flush(samples)]

    def _spectra(self, frames: int) -> np.ndarray:
        """Return the clean spectra (C, T, F) of the next `frames` frames, without those before the signal."""
        clean, self._state = self._network.infer(self._analysis.take(frames), self._state)
        self._frames += frames
        dropped = min(self._late, frames)
        self._late -= dropped
        return clean[:, dropped:]
