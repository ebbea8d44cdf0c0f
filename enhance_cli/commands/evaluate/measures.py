"""Score one file of speech.

SI-SDR and the band above 8 kHz are scored at the rate of the clean file, the others at 16 kHz, where PESQ and DNSMOS
are defined. All are in mono.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from enhance_cli.commands.evaluate.inputs import read_whole
from enhance_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np

RATE = 16000  # Hz
HIGH_BAND = ("hf_si_sdr", "hf_lsd")
OWN_RATE = ("si_sdr", *HIGH_BAND)
DELAY = "delay_ms"  # in a file's scores if it is late or early

Mono = tuple["np.ndarray", int]  # (N,) and its rate in Hz


@dataclass(frozen=True)
class Original:
    """Hold the clean file called `key`: `own` mono at its own rate, `wide` at 16 kHz (the same where that is its rate).

    Mono is the first channel, here and of estimates, where the channels `cancel` in their mean.
    """

    key: PurePath
    own: Mono
    wide: Mono
    cancel: bool = False

    @cached_property
    def has_high_band(self) -> bool:
        from enhance_cli.metrics.high_band import has_high_band

        return has_high_band(*self.own)

    @property
    def seconds(self) -> float:
        return len(self.own[0]) / self.own[1]


def measure_names(text: str) -> list[str]:
    """Return the names in `text`, with commas between. Raises UsageError for one that is not known. Imports no measure."""
    from enhance_cli.metrics import METRICS

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("--metrics is empty", "give one name, or several with commas between")
    for name in names:
        METRICS.check(name)
    return names


def load_measures(names: Iterable[str]) -> dict[str, Callable]:
    from enhance_cli.metrics import load

    return {name: load(name) for name in names}


def read_original(key: PurePath, path: Path) -> Original:
    from enhance_cli.audio.channels import cancels

    audio, rate = read_whole(path)
    cancel = cancels(audio)
    own, wide = (_mono(audio, rate, target, cancel) for target in (rate, RATE))
    return Original(key, own, wide, cancel)


def _mono(audio: "np.ndarray", rate: int, target: int, first: bool) -> Mono:
    """Return `audio` (C, N) at `rate` mixed to mono, or its first channel, at the rate `target`."""
    from enhance_cli.audio.resample import resample

    mono = audio[:1] if first else audio.mean(axis=0, keepdims=True)
    return resample(mono, rate, target)[0], target


def score_file(measures: dict[str, Callable], original: Original, audio: "np.ndarray", rate: int) -> dict[str, float]:
    """Return all measures of an estimate (C, N) at `rate`, flat ("dnsmos_sig"), and its delay if it has one.

    Raises AudioError if lengths differ by 1 ms or more.
    """
    from enhance_cli.metrics.delay import delay

    length, expected = audio.shape[1] / rate, original.seconds
    if round(abs(length - expected), 6) >= 0.001:
        raise AudioError(f"{length:.3f} s against {expected:.3f} s of the clean file", "score files of the same length")
    own = _pair(original.own, audio, rate, original.cancel)
    wide = own if original.own[1] == RATE else _pair(original.wide, audio, rate, original.cancel)
    scores: dict[str, float] = {}
    for name, measure in measures.items():
        if name in HIGH_BAND and not original.has_high_band:
            continue
        found = measure(*(own if name in OWN_RATE else wide))
        parts = found if isinstance(found, dict) else {"": found}
        scores |= {f"{name}_{part}" if part else name: value for part, value in parts.items()}
    late = delay(*own)
    return scores | ({DELAY: 1000 * late} if late else {})


def _pair(reference: Mono, audio: "np.ndarray", rate: int, first: bool) -> "tuple[np.ndarray, np.ndarray, int]":
    """Return reference and estimate (N,) of one length and rate."""
    truth, own_rate = reference
    estimate, _ = _mono(audio, rate, own_rate, first)
    length = min(len(truth), len(estimate))
    return truth[:length], estimate[:length], own_rate
