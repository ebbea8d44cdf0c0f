"""The shipped embedding repair with the shipped extractor, on real recordings with real noise."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.models import registry
from enhance_cli.models.extractor import load_extractor
from enhance_cli.models.load import load_file
from enhance_cli.tasks.embed import Embedder
from enhance_cli.tasks.repair import Repairer

pytestmark = pytest.mark.slow

PAIRS = Path(__file__).parent / "audio_files" / "pairs"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def repairer() -> Repairer:
    entry = registry.find(None, "enhance-embedding")
    return Repairer(load_file(entry.path, CPU, sha256=entry.sha256))


@pytest.fixture(scope="module")
def vectors() -> dict[str, np.ndarray]:
    """ "clean" and "noisy" (4, 256): two recordings each of two speakers."""
    embedder = Embedder(load_extractor(None, CPU))
    read = lambda path: soundfile.read(path, dtype="float32", always_2d=True)[0].T
    names = [path.name for path in sorted((PAIRS / "clean").glob("*.flac"))]
    assert [name[:4] for name in names] == ["p232", "p232", "p257", "p257"]
    return {s: np.stack([embedder.embed(read(PAIRS / s / n), 16000) for n in names]) for s in ("clean", "noisy")}


def test_the_default_repair_fits_the_default_extractor(repairer):
    repairer.check_extractor(load_extractor(None, CPU).id)
    assert registry.find(None, "enhance-embedding").path.stat().st_size < 10e6


def test_noisy_voices_come_nearer_to_themselves_than_to_others(repairer, vectors):
    same, different = np.kron(np.eye(2), np.ones((2, 2))) - np.eye(4), 1 - np.kron(np.eye(2), np.ones((2, 2)))

    def margin(noisy, clean):
        cosines = noisy @ clean.T
        return (cosines * same).sum() / same.sum() - (cosines * different).sum() / different.sum()

    before = margin(vectors["noisy"], vectors["clean"])
    assert margin(repairer.repair(vectors["noisy"]), repairer.repair(vectors["clean"])) > before


def test_clean_voices_stay_who_they_are(repairer, vectors):
    clean, repaired = vectors["clean"], repairer.repair(vectors["clean"])
    cosines = repaired @ clean.T
    assert (cosines.argmax(axis=1) == np.arange(4)).all() and np.diag(cosines).min() > 0.8
