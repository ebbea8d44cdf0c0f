"""Work for tests of worker processes: it copies files through a tiny engine, and dies of those whose name says so."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from enhance_cli.errors import ModelError


class Copier:
    lanes = 2

    def process(self, blocks, rate, channels, level):
        for block in blocks:
            time.sleep(0.02)
            if np.isclose(block.max(), 0.875, atol=1e-4):
                os.kill(os.getpid(), signal.SIGSEGV)  # as a decoder that crashes, without its message
            if np.isclose(block.max(), 0.75, atol=1e-4) and not Path("died").exists():
                Path("died").touch()
                os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out
            yield block


def load(entry, refuse, resources):
    if refuse:
        raise ModelError("this model is not for workers", "take another")
    return Copier(), {"device": resources.device, "precision": "fp32"}


def load_slowly(entry, options, resources):
    Path("loading.part").write_text(str(os.getpid()))
    Path("loading.part").rename("loading")
    while not Path("go on").exists():
        time.sleep(0.05)
    return Copier(), {}


def load_and_die(entry, options, resources):
    os._exit(7)
