"""Damaged files of embeddings are read or refused in a sentence: no other error, no wait, no memory out of proportion."""

import random
import time

import numpy as np
import pytest

from enhance_cli.errors import EnhanceError
from enhance_cli.vectors import FORMS, Vectors, files_of, read, write

pytestmark = pytest.mark.slow

resource = pytest.importorskip("resource")  # not on Windows
MUTANTS = 300  # of each form
SECONDS, MEGABYTES = 10.0, 1000


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, rather at the ends, where headers are; often cut off as well."""
    mutant = bytearray(data)
    for _ in range(rng.choice([1, 1, 4, 30])):
        reach = min(len(mutant), rng.choice([200, len(mutant)]))
        place = rng.randrange(reach) if rng.random() < 0.7 else len(mutant) - 1 - rng.randrange(reach)
        mutant[place] = rng.choice([0, 255, rng.randrange(256), mutant[place] ^ (1 << rng.randrange(8))])
    return bytes(mutant[: rng.randrange(len(mutant) + 1)] if rng.random() < 0.3 else mutant)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_are_read_or_refused_and_never_worse(form, tmp_path):
    rows = np.random.default_rng(0).standard_normal((20, 64)).astype(np.float32)
    whole, path, rng = tmp_path / f"whole.{form}", tmp_path / f"x.{form}", random.Random(form)
    write(files_of(whole), Vectors([f"id{n}" for n in range(20)], rows), form, whole)
    before, refused, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, 0.0
    for _ in range(MUTANTS):
        path.write_bytes(damaged(whole.read_bytes(), rng))
        started = time.process_time()
        try:
            read(path)
        except EnhanceError as error:
            refused += 1
            assert str(error) and "\n" not in str(error)
        slowest = max(slowest, time.process_time() - started)
    assert refused > MUTANTS // 10 and slowest < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES
