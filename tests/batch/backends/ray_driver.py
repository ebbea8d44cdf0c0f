"""A driver for tests of the Ray engine: a copy of every input, by workers that need no torch and have accidents by file name.

`python -m tests.batch.backends.ray_driver ADDRESS ACCIDENT IN... -o OUT` prints the records as JSON lines.
ACCIDENT is `copy`, or `refuse` for a worker that refuses the model.
"""

import os
import signal
import sys
from types import SimpleNamespace

from enhance_cli import __version__
from enhance_cli.batch import inputs, outputs
from enhance_cli.batch.backends.backend import Listener
from enhance_cli.batch.backends.ray_cluster import RayCluster
from enhance_cli.batch.files import FileOptions
from enhance_cli.batch.worker import WorkerSpec
from enhance_cli.console import result
from enhance_cli.errors import ModelError


def copy(blocks, rate, channels, level):
    for block in blocks:
        if rate == 11025:  # the sign of a file that kills its worker
            os.kill(os.getpid(), signal.SIGKILL)
        yield block


def load(entry, accident, resources):
    if accident == "refuse":
        raise ModelError(f"{entry.name}: this model is refused", "choose another")
    return SimpleNamespace(process=copy), {"device": resources.device}


def main(address: str, accident: str, *words: str) -> None:
    files, folder = words[:-2], words[-1]
    jobs = outputs.plan(inputs.expand(files), folder)
    entry = SimpleNamespace(name="copier", path="no file")
    spec = WorkerSpec(load, entry, accident, FileOptions())
    backend = RayCluster(spec, {"model": "copier", "version": __version__}, address, None)
    summary = backend.run(jobs, Listener(lambda record: result(record.to_json())))
    sys.exit(summary.exit_code)


if __name__ == "__main__":
    from tests.batch.backends import ray_driver  # not __main__: the workers must find `load` by its module

    ray_driver.main(*sys.argv[1:])
