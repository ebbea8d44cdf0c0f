"""Embeddings by name: the model that repairs them, the extractor it was trained for, and recordings brought to both.

A model repairs the embeddings of one extractor only. Which that is stands in both headers, as an id, and is compared here
before anything is computed.
"""

from pathlib import Path

import numpy as np
import torch

from enhance_cli.audio.channels import to_mono
from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError, EnhanceError, ModelError, VectorError
from enhance_cli.models import registry
from enhance_cli.models.extractor import TASK as EXTRACTOR_TASK
from enhance_cli.models.extractor import Extractor, load_extractor, named
from enhance_cli.models.load import Model
from enhance_cli.models.spec import read_spec
from enhance_cli.tasks.embed import Embedder, EmbedOptions
from enhance_cli.tasks.repair import FEW, Repairer, RepairOptions


class Speakers:
    """One repair model with what it needs, for recordings and for stored embeddings.

    `extractor` is a name, an id or a file, and says what stored embeddings were made with too; None takes what the model
    was trained for. The network itself is loaded with the first recording, or by `load_extractor`. Raises ModelError if it
    does not match.
    """

    def __init__(
        self,
        model: Model,
        options: RepairOptions = RepairOptions(),
        extractor: str | None = None,
        embedding: EmbedOptions = EmbedOptions(),
    ):
        self.repairer, self.extractor, self.embedding = Repairer(model, options), extractor, embedding
        self.said = extractor_id(extractor) if extractor else None
        if self.said:
            self.repairer.check_extractor(self.said)
        self._embedder: Embedder | None = None

    def load_extractor(self) -> Embedder:
        """Raises ModelError if it is not here."""
        if self._embedder is None:
            network = extractor_for(self.repairer, self.extractor, self.repairer.model.device)
            self._embedder = Embedder(network, self.embedding)
        return self._embedder

    def embed_file(self, path: Path) -> tuple[np.ndarray, float]:
        """(embedding (D,), seconds) of the recording at `path`, mixed to mono. Raises AudioError that names it."""
        with open_audio(path) as audio:
            rate = audio.info.rate
            wave = to_mono(audio.blocks())
        try:
            return self.load_extractor().embed(wave[None], rate), len(wave) / rate
        except AudioError as error:
            raise AudioError(f"{path}: {error.message}", error.hint) from error

    def repair(self, rows: np.ndarray, found: str | None = None, what: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (K, D) -> (repaired (K, D) float32, which were unusable and are as they were (K,) bool).

        `found` is the id of the extractor that their file `what` names. Raises VectorError if the model is not for them.
        """
        if found and self.said and found != self.said:
            raise VectorError(f"{what}: these are embeddings of {found}, not of {self.said}", "leave --extractor away")
        try:
            if found:
                self.repairer.check_extractor(found)
            return self.repairer.run(rows)
        except EnhanceError as error:
            raise VectorError(f"{what}: {error.message}", error.hint) from error

    def repair_recorded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for embeddings (K, D) that the extractor loaded here made, with the same bits for one and for many."""
        return self.repairer.run(rows, FEW)


def extractor_id(name: str) -> str:
    """The id of the extractor with that name, id or file. Raises ModelError."""
    known = [e for e in [*registry.entries(), *registry.published()] if e.task == EXTRACTOR_TASK]
    for entry in known:
        if name in (entry.name, entry.extractor):
            return entry.extractor
    spec = read_spec(registry.find(name, EXTRACTOR_TASK).path)
    if spec.task != EXTRACTOR_TASK or "id" not in spec.extractor:
        raise ModelError(f"{name}: not a speaker network but a model for {spec.task}", "see `enhance models list`")
    return spec.extractor["id"]


def extractor_for(repairer: Repairer, name: str | None, device: torch.device) -> Extractor:
    """The extractor called `name`, or the one that the model was trained for. Raises ModelError."""
    wanted = repairer.extractor_id
    if name is None and named(wanted) == wanted:
        raise ModelError(
            f"{repairer.model.spec.name} needs the extractor {wanted}, which has no name here",
            "give its file with --extractor, or use stored embeddings",
        )
    return load_extractor(name or wanted, device)
