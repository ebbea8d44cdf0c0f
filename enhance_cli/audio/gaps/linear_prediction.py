"""Fill gaps in a waveform by linear prediction: x[n] + a[1] x[n-1] + ... + a[p] x[n-p] = e[n], with the least energy of e.

The coefficients come from both sides of the gap by Burg's method for several segments, in which near samples count more
(de Waele and Broersen, 2000, "The Burg algorithm for segments"). A gap with known samples on both sides is the least-squares
solution of Janssen, Veldhuis and Vries (1986, "Adaptive interpolation of discrete-time signals that can be modeled as
autoregressive processes"), one with a single side is predicted from there.

That is the mean of all sounds that the model allows, and of noise it is almost silence. So in longer gaps the excitation e is
drawn at random, and the solution is that for the known samples without the response to it: a sample of the model instead of its
mean. The excitation has the level of the prediction error of the known samples if that is noise, from the level before the gap
to that behind it. It is far softer if the error consists of pulses, as that of a voice does, which noise would make hoarse.
"""

import zlib
from collections.abc import Sequence

import numpy as np

CONTEXT_SECONDS = 0.05  # of the sound on either side from which the coefficients are computed
ORDER_SECONDS = 0.01  # span of the coefficients, the longest period of a voice
FARTHEST_WEIGHT = 0.02  # weight of the sample farthest from the gap. The nearest one has the weight 1
FLOOR = 1e-3  # level of added noise, relative to the sound, without which the equations for dull sounds are unstable
DRAWN_FROM, DRAWN_WHOLLY_FROM = 0.01, 0.03  # seconds to the nearest known sample, between which the excitation rises
PULSES = 4  # exponent by which the excitation is softer where the prediction error consists of pulses
NORMAL_MEDIAN = 0.6745  # of the magnitude of Gaussian noise of variance 1
SILENCE = 1e-12  # level of the excitation where there is no noise
FEWEST = 16  # a side with fewer known samples is not used


def interpolate(left: np.ndarray, right: np.ndarray, count: int, rate: int) -> np.ndarray:
    """Return the `count` samples (count,) between `left` (L,) and `right` (R,), float64. Without known samples: zeros.

    If only one side is known, the prediction from there fades out over the gap.
    """
    order, reach = max(int(ORDER_SECONDS * rate), 1), int(CONTEXT_SECONDS * rate)
    left = left[-reach:] if len(left) >= FEWEST else left[:0]
    right = right[:reach] if len(right) >= FEWEST else right[:0]
    sides = [side for side in (left, right) if len(side)]
    if not sides or not any(side.any() for side in sides):
        return np.zeros(count)
    order = min(order, *(len(side) // 2 for side in sides))
    nearness = [np.linspace(FARTHEST_WEIGHT, 1.0, len(left)), np.linspace(1.0, FARTHEST_WEIGHT, len(right))]
    weights = [weight for weight in nearness if len(weight)]
    a = coefficients(sides, weights, order)
    farthest = count / rate / len(sides)  # from the nearest known sample
    share = np.clip((farthest - DRAWN_FROM) / (DRAWN_WHOLLY_FROM - DRAWN_FROM), 0, 1)
    drawn = _drawn(sides, a, count, share) if share else np.zeros(count + order)
    if len(sides) == 2:
        return drawn[:count] + _between(left[-order:], right[:order] - drawn[count:], a, count)
    fade = np.cos(np.pi / 2 * (np.arange(count) + 0.5) / count) ** 2
    if len(left):
        return (predict(left, a, count) + drawn[:count]) * fade
    return ((predict(right[::-1], a, count) + drawn[:count]) * fade)[::-1]


def _drawn(sides: Sequence[np.ndarray], a: np.ndarray, count: int, share: float) -> np.ndarray:
    """Return the response (count + order,), from rest, to a random excitation of the gap and the samples behind it.

    Args:
        sides: known samples (n,). Their signs are the seed, so channels that differ only in level get the same response.
        a: coefficients (order + 1,).
        count: number of samples of the gap, in which the level goes from that of the first side to that of the last, in dB.
        share: factor for the level, 0 to 1.
    """
    from scipy.signal import lfilter

    levels = [share * _noise_level(np.convolve(side, a, "valid"), side) for side in sides]
    random = np.random.default_rng(zlib.crc32(np.packbits(np.concatenate(sides) > 0).tobytes()))
    line = np.pad(np.geomspace(levels[0], levels[-1], count), (0, len(a) - 1), mode="edge")
    return lfilter([1.0], a, line * random.standard_normal(len(line)))


def _noise_level(error: np.ndarray, side: np.ndarray) -> float:
    """Return the level of the noise in a prediction error (n,) of known samples (m,), more than 0.

    The median tells noise from pulses. The error that `FLOOR` leaves of tones is no noise.
    """
    power = float(np.mean(np.square(error)))
    own = power - FLOOR**2 * float(np.mean(np.square(side)))
    if own <= 0:
        return SILENCE
    noisiness = min(float(np.median(np.abs(error))) / (NORMAL_MEDIAN * power**0.5), 1.0)
    return max(noisiness**PULSES * own**0.5, SILENCE)


def coefficients(segments: Sequence[np.ndarray], weights: Sequence[np.ndarray], order: int) -> np.ndarray:
    """Return the stable coefficients (order + 1,), the first of them 1, that predict all segments (n,) best.

    `weights`: (n,) for each segment, the weights of its samples.
    """
    noise = np.random.default_rng(0)
    level = np.sqrt(np.mean(np.square(np.concatenate(segments))))
    forward = [segment + FLOOR * level * noise.standard_normal(len(segment)) for segment in segments]
    backward, weights = [error.copy() for error in forward], list(weights)
    a = np.zeros(order + 1)
    a[0] = 1.0
    for k in range(order):
        forward = [error[1:] for error in forward]
        backward = [error[:-1] for error in backward]
        # Of the middle between the two errors
        weights = [weight[k % 2 : len(weight) - 1 + k % 2] for weight in weights]
        triples = list(zip(forward, backward, weights, strict=True))
        energy = sum(float(f @ (w * f) + b @ (w * b)) for f, b, w in triples)
        if energy <= 0:
            break
        r = -2 * sum(float(f @ (w * b)) for f, b, w in triples) / energy
        forward = [f + r * b for f, b, _ in triples]
        backward = [b + r * f for f, b, _ in triples]
        a[: k + 2] += r * a[: k + 2][::-1].copy()
    return a


def predict(known: np.ndarray, a: np.ndarray, count: int) -> np.ndarray:
    """Return the next `count` samples after `known` (n,) by linear prediction without excitation."""
    from scipy.signal import lfilter, lfiltic

    state = lfiltic([1.0], a, known[::-1][: len(a) - 1])
    return lfilter([1.0], a, np.zeros(count), zi=state)[0]


def _between(left: np.ndarray, right: np.ndarray, a: np.ndarray, count: int) -> np.ndarray:
    """Return the samples between `order` known ones on either side that minimize the prediction error.

    Every sample that depends on the gap, or on which the gap depends, is in the gap or known. So the matrix of the equations
    is Toeplitz.
    """
    from scipy.linalg import solve_toeplitz

    order = len(a) - 1
    correlation = np.correlate(a, a, "full")
    known = np.concatenate([left, np.zeros(count), right])
    wanted = -np.convolve(known, correlation)[2 * order : 2 * order + count]
    column = np.zeros(count)
    column[: min(count, order + 1)] = correlation[order:][:count]
    return solve_toeplitz(column, wanted)
