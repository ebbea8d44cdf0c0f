"""Transform a stream to spectra and back: frames of n_fft samples every `hop`, frame t centered on sample t * hop.

Before its first sample and after its last one the signal is continued by its mirror image or by silence. Processing a stream
in pieces gives the spectra of the whole signal. `Synthesis` inverts them and divides by the sum of the squared windows, as the
inverse transforms of torch and librosa do. C channels, T frames, F = n_fft/2 + 1 bins.
"""

import numpy as np


def make_window(name: str, n_fft: int) -> np.ndarray:
    """Return the window "hann" (periodic) or "vorbis", float32."""
    phase = np.pi / n_fft * np.arange(n_fft)
    if name == "hann":
        return (np.sin(phase) ** 2).astype(np.float32)
    return np.sin(np.pi / 2 * np.sin(phase + np.pi / (2 * n_fft)) ** 2).astype(np.float32)


class Analysis:
    """Compute the spectra of frames as soon as their samples have arrived.

    `beginning` and `end`: "mirrored" or "silent".
    """

    def __init__(self, channels: int, window: np.ndarray, hop: int, *, beginning: str = "mirrored", end: str):
        self._window, self._hop, self._half = window, hop, len(window) // 2
        self._beginning, self._end = beginning, end
        self._audio = np.zeros((channels, 0), np.float32)  # from one sample before the next frame on
        self._begun = False
        self.samples = 0  # that have come in

    def push(self, block: np.ndarray) -> None:
        """Take the next samples (C, n)."""
        self.samples += block.shape[1]
        self._audio = np.concatenate([self._audio, block.astype(np.float32, copy=False)], axis=1)
        if not self._begun and (self.samples > self._half or self._beginning == "silent"):
            self._begin()

    @property
    def ready(self) -> int:
        """Return the number of complete frames that can be taken."""
        missing = len(self._window) + 1
        return max(0, (self._audio.shape[1] - missing) // self._hop + 1) if self._begun else 0

    def finish(self, frames: int) -> None:
        """Continue the signal after its end, so that `frames` more frames can be taken."""
        short = self.samples <= self._half  # too short for a mirror image
        if not self._begun:
            self._audio = np.pad(self._audio, ((0, 0), (0, self._half + 1 - self.samples)))
            self._begin()
        if self._end == "mirrored" and not short:
            mirror = self._audio[:, -2 : -self._half - 2 : -1]
            self._audio = np.concatenate([self._audio, mirror], axis=1)
        missing = (frames - 1) * self._hop + len(self._window) + 1 - self._audio.shape[1]
        self._audio = np.pad(self._audio, ((0, 0), (0, max(0, missing))))

    def take(self, frames: int) -> np.ndarray:
        """Return the spectra (C, frames, F), complex64, of the next frames, which must be complete."""
        size = len(self._window)
        audio = self._audio[:, 1 : (frames - 1) * self._hop + size + 1]
        windows = np.lib.stride_tricks.sliding_window_view(audio, size, axis=1)[:, :: self._hop]
        self._audio = self._audio[:, frames * self._hop :]
        return np.fft.rfft(windows * self._window, axis=2).astype(np.complex64, copy=False)

    def _begin(self) -> None:
        before = np.zeros((len(self._audio), self._half), np.float32)
        if self._beginning == "mirrored":
            before = self._audio[:, self._half : 0 : -1]
        unused = np.zeros((len(self._audio), 1), np.float32)
        self._audio = np.concatenate([unused, before, self._audio], axis=1)
        self._begun = True


class Synthesis:
    """Overlap and add frames, from sample 0 of the signal on."""

    def __init__(self, channels: int, window: np.ndarray, hop: int):
        self._window, self._hop = window, hop
        self._pieces = -(-len(window) // hop)  # of a frame, a hop each
        self._weights = self._cut(np.square(window)[None, None])
        self._tail = np.zeros((channels, self._pieces - 1, hop), np.float32)
        self._tail_weights = np.zeros((1, self._pieces - 1, hop), np.float32)
        self._position = -(len(window) // 2)  # of the tail in the signal
        self._done = 0

    def push(self, spectra: np.ndarray) -> np.ndarray:
        """Return the samples (C, n) that are complete with the frames of `spectra` (C, T, F)."""
        channels, count = spectra.shape[:2]
        frames = self._cut(
            np.fft.irfft(spectra, len(self._window), axis=2).astype(np.float32, copy=False) * self._window
        )
        weights = np.broadcast_to(self._weights, (1, count, *self._weights.shape[2:]))
        total, total_weights = _added(frames, self._tail), _added(weights, self._tail_weights)
        self._tail, self._tail_weights = total[:, count:], total_weights[:, count:]
        position = self._position
        self._position += count * self._hop
        return self._samples(total[:, :count], total_weights[:, :count], position, self._position)

    def flush(self, until: int) -> np.ndarray:
        """Return the samples before the position `until` in the signal, from the frames that have come in."""
        return self._samples(self._tail, self._tail_weights, self._position, until)

    def _samples(self, total: np.ndarray, weights: np.ndarray, position: int, until: int) -> np.ndarray:
        """Return the samples (C, n) up to `until` that have not been returned. `position`: where `total` begins."""
        begin = max(self._done, position) - position
        end = max(begin, until - position)
        self._done = max(self._done, until)
        summed = total.reshape(len(total), -1)[:, begin:end]
        return summed / np.maximum(weights.reshape(1, -1)[:, begin:end], np.float32(1e-11))

    def _cut(self, frames: np.ndarray) -> np.ndarray:
        """Return frames (C, T, n_fft) as (C, T, pieces, hop)."""
        padded = np.pad(frames, ((0, 0), (0, 0), (0, self._pieces * self._hop - frames.shape[2])))
        return padded.reshape(*frames.shape[:2], self._pieces, self._hop)


def _added(frames: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Return (C, T + pieces - 1, hop): pieces of frames (C, T, pieces, hop) added where they overlap, upon the tail."""
    channels, count, pieces, hop = frames.shape
    total = np.zeros((channels, count + pieces - 1, hop), np.float32)
    total[:, : pieces - 1] = tail
    for k in range(pieces):
        total[:, k : k + count] += frames[:, :, k]
    return total
