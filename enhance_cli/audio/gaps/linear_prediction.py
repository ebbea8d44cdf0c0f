"""Fill gaps in a waveform by linear prediction: x[n] + a[1] x[n-1] + ... + a[p] x[n-p] = e[n], with the least energy of e.

The coefficients come by Burg's method for several segments, in which near samples count more (de Waele and Broersen, 2000,
"The Burg algorithm for segments"). Where both sides of a gap sound alike, the coefficients of both give the least-squares
solution of Janssen, Veldhuis and Vries (1986, "Adaptive interpolation of discrete-time signals that can be modeled as
autoregressive processes"). Where they differ, such as a vowel and an s, one of them would rule that solution. So in longer
gaps each side is continued by its own coefficients, and the two fade into each other.

That is the mean of all sounds that the models allow, and of noise it is almost silence. So the excitation e of either side is
also drawn at random, and the response of its model is added. It has the level of that side's prediction error if that is
noise. It is far softer if the error consists of pulses, as that of a voice does, which noise would make hoarse. Where both
sides are noise it is drawn in gaps of more than 10 ms, elsewhere in those of more than 20.
"""

import zlib
from collections.abc import Sequence

import numpy as np

CONTEXT_SECONDS = 0.05  # of the sound on either side from which the coefficients are computed
ORDER_SECONDS = 0.01  # span of the coefficients, the longest period of a voice
FARTHEST_WEIGHT = 0.02  # weight of the sample farthest from the gap. The nearest one has the weight 1
FLOOR = 1e-3  # level of added noise, relative to the sound, without which the equations for dull sounds are unstable
# Seconds to the nearest known sample, between which the excitation rises, and the fading of the sides: of any sound, of noise
ANY_SOUND, NOISE = (0.01, 0.03), (0.005, 0.02)
NOISY = (0.91, 0.97)  # noisiness of both sides, between which they become noise
UNLIKE_DB = (2.0, 4.0)  # loss of prediction by the coefficients of both sides, between which they are no longer alike
NOISE_SEEMS = 0.92  # noisiness of a short piece of noise, often
PULSES = 10  # exponent by which the excitation is softer where the prediction error consists of pulses
NORMAL_MEDIAN = 0.6745  # of the magnitude of Gaussian noise of variance 1
SILENCE = 1e-12  # level of the excitation where there is no noise
FEWEST = 16  # a side with fewer known samples is not used


def interpolate(left: np.ndarray, right: np.ndarray, count: int, rate: int) -> np.ndarray:
    """Return the `count` samples (count,) between `left` (L,) and `right` (R,), float64. Without known samples: zeros.

    If only one side is known, the prediction from there fades out over the gap.
    """
    order, reach = max(int(ORDER_SECONDS * rate), 1), int(CONTEXT_SECONDS * rate)
    both = [left[-reach:], right[:reach][::-1]]  # each ends at the gap
    sides = [side for side in both if len(side) >= FEWEST]
    if not any(side.any() for side in sides):
        return np.zeros(count)
    order = min(order, *(len(side) // 2 for side in sides))
    nearness = [np.linspace(FARTHEST_WEIGHT, 1.0, len(side)) for side in sides]
    models = [coefficients([side], [weight], order) for side, weight in zip(sides, nearness)]
    errors = [np.convolve(side, a, "valid") for side, a in zip(sides, models)]
    noisiness = [_noisiness(error) for error in errors]
    farthest = count / rate / len(sides)  # from the nearest known sample
    of_any = _ramp(farthest, *ANY_SOUND)
    share = max(of_any, _ramp(farthest, *NOISE) * _ramp(min(noisiness), *NOISY))
    levels = [
        share * min(q / NOISE_SEEMS, 1) ** PULSES * _level(error, side)
        for q, error, side in zip(noisiness, errors, sides)
    ]
    drawn = _drawn(sides, models, levels, count) if share else np.zeros((len(sides), count))
    fade = np.cos(np.pi / 2 * (np.arange(count) + 0.5) / count)
    ahead = [fade**2 * predict(side, a, count) for side, a in zip(sides, models)]
    if len(sides) == 1:
        made = ahead[0] + fade**2 * drawn[0]
        return made if sides[0] is both[0] else made[::-1]
    a = coefficients([sides[0], sides[1][::-1]], [nearness[0], nearness[1][::-1]], order)
    alike = 1 - of_any * _ramp(_loss(sides, a, errors), *UNLIKE_DB)
    made = (1 - alike) * (ahead[0] + ahead[1][::-1]) + fade * drawn[0] + (fade * drawn[1])[::-1]
    return made + alike * _between(sides[0][-order:], sides[1][::-1][:order], a, count) if alike else made


def _drawn(
    sides: Sequence[np.ndarray], models: Sequence[np.ndarray], levels: Sequence[float], count: int
) -> list[np.ndarray]:
    """Return the response (count,) of each of the `models` (order + 1,), from rest, to a random excitation of its level.

    The signs of the known samples (n,) are the seed, so channels that differ only in level get the same response.
    """
    from scipy.signal import lfilter

    random = np.random.default_rng(zlib.crc32(np.packbits(np.concatenate(sides) > 0).tobytes()))
    return [lfilter([1.0], a, level * random.standard_normal(count)) for a, level in zip(models, levels)]


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on, and a line between them."""
    return float(np.clip((value - low) / (high - low), 0, 1))


def _noisiness(error: np.ndarray) -> float:
    """Return how noise-like a prediction error (n,) is: 1 for Gaussian noise, less for pulses, which the median ignores."""
    return min(float(np.median(np.abs(error))) / (NORMAL_MEDIAN * max(_level(error), SILENCE)), 1.0)


def _level(error: np.ndarray, side: np.ndarray | None = None) -> float:
    """Return the RMS of a prediction error (n,).

    With the known samples `side` (m,) it is the RMS expected beyond them (Akaike, 1969), without that of the noise of `FLOOR`.
    """
    power = float(np.mean(np.square(error)))
    if side is None:
        return power**0.5
    order = len(side) - len(error)
    return max((power - FLOOR**2 * float(np.mean(np.square(side)))) * (len(side) + order) / len(error), 0.0) ** 0.5


def _loss(sides: Sequence[np.ndarray], a: np.ndarray, errors: Sequence[np.ndarray]) -> float:
    """Return by how many dB the prediction of a side (n,) by `a` (order + 1,) is worse than its own, which has these `errors`.

    The larger one of both sides is returned.
    """
    return max(
        20 * float(np.log10(np.hypot(_level(np.convolve(side, a, "valid")), floor) / np.hypot(_level(own), floor)))
        for side, own in zip(sides, errors)
        for floor in [max(FLOOR * _level(side), SILENCE)]
    )


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
