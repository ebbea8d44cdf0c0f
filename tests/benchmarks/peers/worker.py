"""What all adapters share: a process that denoises one file per line of its input and says how long it took.

A line `{"input": PATH, "output": PATH}` (mono WAV at any rate in, the same rate and length out) is answered by
`{"seconds": S}`: the time from array to array, resampling to the system's own rate included, loading and
files not.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import soundfile
import soxr

Denoiser = Callable[[np.ndarray, int], np.ndarray]


def serve(fresh: Callable[[], Denoiser]) -> None:
    """Answer lines until they end. `fresh()` gives a denoiser of (N,) at a rate in Hz, with no memory of another."""
    for line in sys.stdin:
        request = json.loads(line)
        audio, rate = soundfile.read(request["input"], dtype="float32")
        assert audio.ndim == 1, "the benchmark hands out mono"
        denoise = fresh()
        start = time.perf_counter()
        cleaned = denoise(audio, rate)
        seconds = time.perf_counter() - start
        assert cleaned.shape == audio.shape
        soundfile.write(request["output"], cleaned, rate, subtype="FLOAT")
        print(json.dumps({"seconds": seconds}), flush=True)


def by_frames(process: Callable[[np.ndarray], np.ndarray], frame: int, delay: int, own_rate: int) -> Denoiser:
    """Make a denoiser of a streaming one that maps `frame` samples at `own_rate` to as many, `delay` samples late.

    The delay is a constant of the system; silence is fed at the end until all has come out, and the start
    is dropped.
    """

    def denoise(audio: np.ndarray, rate: int) -> np.ndarray:
        fast = audio if rate == own_rate else soxr.resample(audio, rate, own_rate)
        padded = np.pad(fast, (0, delay + -(len(fast) + delay) % frame))
        cleaned = np.concatenate([process(block) for block in padded.reshape(-1, frame)])[delay:]
        back = cleaned[: len(fast)] if rate == own_rate else soxr.resample(cleaned[: len(fast)], own_rate, rate)
        return np.pad(back, (0, max(len(audio) - len(back), 0)))[: len(audio)].astype(np.float32)

    return denoise
