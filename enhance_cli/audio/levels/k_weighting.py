"""Weight a streaming signal by the K curve of ITU-R BS.1770-4: a high shelf of 4 dB, then a high-pass at 38 Hz.

The filters are those of pyloudnorm, after R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients".
Each is a linear system with a state s, for an input x: y = C s + D x, and then s becomes A s + B x.

This takes blocks of samples at once. The output of a block is one matrix times its samples, and another one times the state
before it. scipy.signal.sosfilt does the same, and its import takes longer than to denoise a recording of 3 s.
"""

import math
from functools import lru_cache, reduce

import numpy as np

_BLOCK = 32  # samples
_BLOCKS = 128  # in a product. OpenBLAS takes larger ones in several threads, which take far more processor time
_QUIET = 1e-60  # smaller states are set to 0. In silence they would decay to denormal numbers, which are slow

System = tuple[np.ndarray, np.ndarray, np.ndarray, float]  # A (K, K), B (K,), C (K,) and D, for a state of K numbers


class KWeighting:
    """Weight (C, n) blocks that are pushed."""

    def __init__(self, rate: int, channels: int):
        self._powers, self._output, self._output_of_state, self._state_of = _matrices(rate)
        self._state = np.zeros((channels, len(self._state_of[0])))

    def push(self, x: np.ndarray) -> np.ndarray:
        """Return the next (C, n) samples weighted, both float64."""
        rest = x.shape[1] % _BLOCK
        whole = x.shape[1] - rest
        blocks = x[:, :whole].reshape(len(x), -1, _BLOCK)
        states = np.concatenate([self._state[:, None], blocks @ self._state_of], axis=1)
        states = _followed(states, self._powers[-1].T)
        y = np.empty(x.shape)
        outputs = y[:, :whole].reshape(blocks.shape)  # a view
        for start in range(0, blocks.shape[1], _BLOCKS):
            part = slice(start, start + _BLOCKS)
            np.matmul(blocks[:, part], self._output, out=outputs[:, part])
            outputs[:, part] += states[:, :-1][:, part] @ self._output_of_state
        last, state = x[:, whole:], states[:, -1]
        y[:, whole:] = last @ self._output[:rest, :rest] + state @ self._output_of_state[:, :rest]
        self._state = state @ self._powers[rest].T + last @ self._state_of[_BLOCK - rest :]
        self._state[np.abs(self._state) < _QUIET] = 0.0
        return y


@lru_cache(maxsize=4)
def _matrices(rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the powers of A, and the effects on a block: of samples and state on outputs, of samples on the state after it.

    They are kept, since in a batch of short files they would take a tenth of the time that the networks leave.
    """
    a, b, c, d = reduce(_cascade, (_shelf(rate), *_high_pass(rate)))
    powers = [np.eye(len(a))]
    for _ in range(_BLOCK):
        powers.append(a @ powers[-1])
    response = np.array([d, *(c @ power @ b for power in powers[: _BLOCK - 1])])  # to an impulse
    lags = np.arange(_BLOCK) - np.arange(_BLOCK)[:, None]
    output = np.where(lags >= 0, response[lags], 0.0)  # of every sample
    output_of_state = np.stack([c @ power for power in powers[:_BLOCK]], axis=1)
    state_of = np.stack([power @ b for power in reversed(powers[:_BLOCK])])
    return np.stack(powers), output, output_of_state, state_of


def _followed(changes: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the states s[0] = r[0], s[k] = s[k - 1] `step` + r[k] for `changes` r (C, n, K).

    Every other state follows from the one two before it, so the problem is halved until one state is left.
    """
    if changes.shape[1] == 1:
        return changes
    pairs = changes[:, 1:-1:2] @ step + changes[:, 2::2]
    states = changes.copy()
    states[:, ::2] = _followed(np.concatenate([changes[:, :1], pairs], axis=1), step @ step)
    states[:, 1::2] += states[:, :-1:2] @ step
    return states


def _cascade(first: System, second: System) -> System:
    """Return the system whose `second` part takes the output of the `first` one."""
    (a1, b1, c1, d1), (a2, b2, c2, d2) = first, second
    a = np.block([[a1, np.zeros((len(a1), len(a2)))], [np.outer(b2, c1), a2]])
    return a, np.concatenate([b1, b2 * d1]), np.concatenate([d2 * c1, c2]), d2 * d1


def _shelf(rate: int) -> System:
    """Return the high shelf: 4 dB, 1500 Hz, Q = 1 / sqrt(2)."""
    gain, angle = 10 ** (4.0 / 40), 2 * math.pi * 1500.0 / rate
    cos, width = math.cos(angle), math.sqrt(2 * gain) * math.sin(angle)
    up, down = gain + 1, gain - 1
    b = gain * np.array([up + down * cos + width, -2 * (down + up * cos), up + down * cos - width])
    a = np.array([up - down * cos + width, 2 * (down - up * cos), up - down * cos - width])
    (b0, *b), (_, *a) = b / a[0], a / a[0]
    return np.array([[-a[0], 1.0], [-a[1], 0.0]]), np.subtract(b, np.multiply(a, b0)), np.array([1.0, 0.0]), b0


def _high_pass(rate: int) -> tuple[System, System]:
    """Return the high-pass, 38 Hz, Q = 1/2, as two equal parts of first order, which round a DC offset less than one part."""
    angle = 2 * math.pi * 38.0 / rate
    pole, gain = math.cos(angle) / (1 + math.sin(angle)), math.sqrt((1 + math.cos(angle)) / (2 * (1 + math.sin(angle))))
    part = np.array([[pole]]), np.array([(pole - 1) * gain]), np.array([1.0]), gain
    return part, part
