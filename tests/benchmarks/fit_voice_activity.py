"""Fits the weights of audio.levels.voice_activity on training mixtures, and says how well they do on held-out ones.

    python tests/benchmarks/fit_voice_activity.py --data CORPUS --cache CACHE

CORPUS is the folder of the recipe denoise-s. A frame holds a voice if the clean speech in it is within 30 dB of its own
active level. Prints WEIGHTS, BIAS, the share of frames that are right, and the area under the ROC curve.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from enhance_cli.audio.levels import voice_activity
from enhance_cli.training.denoise import material
from enhance_cli.training.recipe import load

SETTINGS = ["mix.seconds=6.0", "mix.noise_only=0.06", "data.rooms=100"]
RATE, HOP, BELOW = 16000, 256, 30  # dB


def voiced(clean: Tensor) -> Tensor:
    """(B, N) -> (B, T), where the clean speech is heard."""
    n = round(voice_activity.FRAME_SECONDS * RATE)
    spectrum = torch.stft(clean, n, HOP, window=torch.hann_window(n), pad_mode="constant", return_complex=True)
    energy = spectrum.abs().square().sum(1)
    active = energy.square().sum(1, keepdim=True) / energy.sum(1, keepdim=True).clamp_min(1e-9)
    return (energy > active * 10 ** (-BELOW / 10)) & (energy > 1e-3)


def frames(mixer, batches: int) -> tuple[Tensor, Tensor]:
    """Features (K, 3) and whether there is a voice (K,)."""
    pairs = [[torch.from_numpy(side) for side in mixer.batch(number, 4)] for number in range(batches)]
    features = [voice_activity.features(noisy, RATE, HOP).flatten(0, 1).double() for noisy, _ in pairs]
    return torch.cat(features), torch.cat([voiced(clean).flatten().double() for _, clean in pairs])


def fit(features: Tensor, target: Tensor) -> Tensor:
    """Logistic regression by Newton's method: the weights, the bias last."""
    a = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    w = torch.zeros(a.shape[1], dtype=a.dtype)
    for _ in range(15):
        p = torch.sigmoid(a @ w)
        w = w - torch.linalg.solve((a * (p * (1 - p))[:, None]).T @ a, a.T @ (p - target))
    return w


def area(score: Tensor, target: Tensor) -> float:
    """Under the ROC curve: how often a frame with a voice scores higher than one without."""
    rank = torch.empty(len(score), dtype=torch.float64)
    rank[score.argsort()] = torch.arange(len(score), dtype=torch.float64)
    ones = int(target.sum())
    return float((rank[target > 0].sum() - ones * (ones - 1) / 2) / (ones * (len(target) - ones)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=150)
    options = parser.parse_args()
    mixed = material.load(load("denoise-s", SETTINGS), options.data, options.cache, print)
    w = fit(*frames(mixed.train, options.batches))
    features, target = frames(mixed.valid, options.batches // 3)
    score = features @ w[:-1] + w[-1]
    right = ((score > 0) == (target > 0)).double().mean()
    print(f"WEIGHTS = ({', '.join(f'{v:.2f}' for v in w[:-1].tolist())})\nBIAS = {float(w[-1]):.2f}")
    print(f"held out: {100 * right:.1f}% of frames right, area under the ROC curve {area(score, target):.3f}")


if __name__ == "__main__":
    main()
