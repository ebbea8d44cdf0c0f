"""Add the first stage's estimate to each mixture, computed as for users' recordings, to train the refining network."""

from typing import Any, ClassVar

import numpy as np

from enhance_cli.audio.resample import resample
from enhance_cli.audio.spectra.erb import RATE
from enhance_cli.data.mixing import Mixer
from enhance_cli.models import registry
from enhance_cli.models.deep_filter_stream import DeepFilterStream
from enhance_cli.models.spec import Spec
from enhance_cli.models.weights import load_network

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # noisy, clean, first
BATCHES_AT_ONCE = 4  # recurrent layers take little longer for many rows than for few
MANY_ROWS = 32  # in a single batch, which then is made alone


class FirstStage:
    """Make batches `batch(number, size)` -> (noisy, clean, first), each float32 (size, N) at the model's rate.

    The first `mix.lead_in` seconds of a mixture only let the first stage settle, and are cut off.
    """

    RATE: ClassVar[int] = RATE  # of the mixtures

    def __init__(self, mixer: Mixer, model: Spec):
        entry = registry.find(model.first_stage, "denoise")
        self._network: Any = load_network(entry.path, entry.sha256)[1]
        self._mixer, self._rate = mixer, model.sample_rate
        self._lead_in = int(mixer.mix.lead_in * RATE)
        self._made: dict[tuple[int, int], Batch] = {}

    def batch(self, number: int, size: int) -> Batch:
        """Return the batch `number`. Those around it are made and kept with it."""
        if (number, size) not in self._made:
            numbers = range(number - number % BATCHES_AT_ONCE, number - number % BATCHES_AT_ONCE + BATCHES_AT_ONCE)
            batches = self._make(numbers if size < MANY_ROWS else range(number, number + 1), size)
            self._made = {(n, size): batch for n, batch in batches}
        return self._made[number, size]

    def _make(self, numbers: range, size: int) -> list[tuple[int, Batch]]:
        noisy, clean = (np.concatenate(side) for side in zip(*(self._mixer.batch(n, size) for n in numbers)))
        first = DeepFilterStream(self._network, len(noisy)).push(noisy, last=True)[0]
        noisy, clean, first = (resample(side[:, self._lead_in :], RATE, self._rate) for side in (noisy, clean, first))
        parts = [slice(i * size, (i + 1) * size) for i in range(len(numbers))]
        return [(n, (noisy[part], clean[part], first[part])) for n, part in zip(numbers, parts)]
