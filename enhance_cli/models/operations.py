"""Count the operations of a network, and measure how many of them this machine does in a second."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from enhance_cli.models.device import set_threads

CHANNELS, SIDE, ROUNDS = 128, 48, 3  # of the convolution that is timed
SHARE = 0.6  # of the speed of that convolution, which a whole network reaches (FlashSR on one core)


def count(function: Callable[..., Any], *inputs: Any) -> int:
    """Return the floating-point operations of `function(*inputs)`, which may be on the device "meta"."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*inputs)
    return counter.get_total_flops()


def speed(threads: int | None = None) -> float:
    """Return the floating-point operations per second of a network on this CPU, about. `threads`: None for torch's number."""
    set_threads(threads)
    layer, x = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), torch.zeros(1, CHANNELS, SIDE, SIDE)
    operations, seconds = count(layer, x), []
    with torch.inference_mode():
        for _ in range(1 + ROUNDS):
            begin = time.perf_counter()
            layer(x)
            seconds.append(time.perf_counter() - begin)
    return SHARE * operations / min(seconds[1:])
