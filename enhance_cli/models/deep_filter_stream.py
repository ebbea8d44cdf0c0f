"""Run DeepFilterNet over a stream: overlap, running means and recurrent states are carried from block to block.

Blocks of any size give the result of the whole recording, sample for sample, since frames are always computed in chunks of one
fixed size. The delay is compensated. As in the native library, the network receives frames 0, 1, 2 ..., and its output at
frame t + 2 is applied to frame t.
"""

import copy
from typing import Any, Protocol

import numpy as np

from enhance_cli.audio.spectra import deep_filter, erb

CHUNK = 48  # frames that are computed at a time
DELAY = (1 + deep_filter.AHEAD) * erb.HOP  # samples by which the frames come out late
HISTORY = 2 * deep_filter.AHEAD  # frames before the newest that the filters need


class FrameNetwork(Protocol):
    """Process frames given as NumPy arrays, in torch (networks.deepfilternet) or ONNX Runtime (models.graphs.streams)."""

    def initial_state(self, batch: int, /) -> Any: ...
    def infer(self, erb: np.ndarray, spec: np.ndarray, state: Any, /) -> tuple[np.ndarray, np.ndarray, Any]:
        """Return gains (B, T, 32), taps (B, T, 96, 5, 2) and the new state (see networks.deepfilternet)."""


class DeepFilterStream:
    """Clean C channels at 48 kHz, each by itself."""

    def __init__(self, network: FrameNetwork, channels: int, top: float = erb.RATE / 2):
        """Start a stream. `top`: frequency in Hz where the signal ends, just below which the gain is reported."""
        self._network = network
        self._state = network.initial_state(channels)
        self._features = erb.Features(channels)
        self._audio = np.zeros((channels, erb.HOP), np.float32)  # not yet computed; frame 0 begins before the signal
        self._spectra = np.zeros((channels, HISTORY, erb.BINS), np.complex64)
        self._tail = np.zeros((2 * channels, erb.HOP), np.float32)
        self._band = erb.band_below(top)
        self._samples = 0
        self._late = DELAY  # samples still to be dropped from the beginning

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples (C, n).

        Returns the cleaned samples that are ready and the gain of the top band, (2, C, m). With `last`, all the rest.
        """
        self._samples += block.shape[1]
        self._audio = np.concatenate([self._audio, block.astype(np.float32, copy=False)], axis=1)
        frames = self._audio.shape[1] // erb.HOP - 1
        rest = 0
        if last:
            missing = self._samples + self._late  # samples still to be computed, those to be dropped among them
            frames = -(-missing // erb.HOP)
            short = (frames + 1) * erb.HOP - self._audio.shape[1]
            self._audio = np.pad(self._audio, ((0, 0), (0, short)))
            rest = frames % CHUNK
        done = [self._chunk(CHUNK) for _ in range(frames // CHUNK)] + ([self._chunk(rest)] if rest else [])
        cleaned = np.concatenate(done, axis=-1) if done else np.zeros((2, len(block), 0), np.float32)
        dropped = min(self._late, cleaned.shape[-1])
        self._late -= dropped
        cleaned = cleaned[..., dropped:]
        if last:
            cleaned = cleaned[..., : self._samples]
        self._samples -= cleaned.shape[-1]
        return cleaned

    def fork(self) -> "DeepFilterStream":
        """Return a copy that goes on from here by itself, with the same network."""
        return copy.deepcopy(self, {id(self._network): self._network})

    def _chunk(self, frames: int) -> np.ndarray:
        """Compute the next `frames` frames: (2, C, 480 frames)."""
        hop = erb.HOP
        new = erb.analyze(self._audio[:, : (frames + 1) * hop])
        self._audio = self._audio[:, frames * hop :]
        gains, taps, self._state = self._network.infer(*self._features.push(new), self._state)
        spectra = np.concatenate([self._spectra, new], axis=1)
        self._spectra = spectra[:, -HISTORY:]
        tails = np.split(self._tail, 2)
        cleaned, tails[0] = erb.synthesize(deep_filter.apply(spectra, gains, taps), tails[0])
        gain, tails[1] = erb.envelope(gains[..., self._band], tails[1])
        self._tail = np.concatenate(tails)
        return np.stack([cleaned, gain])
