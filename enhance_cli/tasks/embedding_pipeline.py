"""Turn recordings or stored embeddings into repaired ones: a repair model and the speaker network it was trained for.

A model repairs the embeddings of one extractor only. Both headers hold the id of the extractor. The ids are compared
here before anything is computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from enhance_cli.audio.channels import mono_and_cancelled
from enhance_cli.audio.one_channel import notes_on_calls, only_channels
from enhance_cli.audio.read import open_audio
from enhance_cli.errors import AudioError, EnhanceError, ModelError, VectorError
from enhance_cli.models import registry
from enhance_cli.models.device import set_threads
from enhance_cli.models.extractor import TASK as EXTRACTOR_TASK
from enhance_cli.models.extractor import Extractor, load_extractor, name_of_extractor
from enhance_cli.models.graphs.packaged import graph_obstacle, load_graph
from enhance_cli.models.graphs.speakers import GraphExtractor, GraphRepairModel
from enhance_cli.models.spec import read_spec
from enhance_cli.tasks.embed import LEVEL, Embedder
from enhance_cli.tasks.options import EmbedOptions, RepairOptions
from enhance_cli.tasks.repair import RECORDING_ROWS, Repairer

if TYPE_CHECKING:
    from enhance_cli.models.load import Model


FIRST_TAKEN = "the channels cancel each other: the first was taken (--channel N takes another)"


class EmbeddingPipeline:
    """Repair recordings and stored embeddings, from several threads at once.

    `extractor`: name, id or file of the speaker network, which stored embeddings must come from as well. None is the one
    that the model was trained for. The network itself is loaded with the first recording, or by `load_extractor`. Raises
    ModelError if it does not match the model.
    """

    def __init__(
        self,
        model: Model | GraphRepairModel,
        options: RepairOptions = RepairOptions(),
        extractor: str | None = None,
        embedding: EmbedOptions = EmbedOptions(),
    ):
        self.repairer, self.extractor_name, self.embedding = Repairer(model, options), extractor, embedding
        self.extractor_id = self.repairer.extractor_id
        self.given_id = extractor_id(extractor) if extractor else None
        if self.given_id:
            self.repairer.check_extractor(self.given_id)
        self._embedder: Embedder | None = None

    def load_extractor(self) -> Embedder:
        """Load the speaker network, once. Raises ModelError if it is not here."""
        if self._embedder is None:
            network = extractor_for(self.repairer, self.extractor_name)
            self._embedder = Embedder(network, self.embedding)
        return self._embedder

    @property
    def lanes(self) -> int:
        """Return how many files at a time keep the device busy."""
        return self._embedder.lanes if self._embedder else 1

    @property
    def embedded_by(self) -> str:
        """Describe the speaker network and all settings on which the embedding of a recording depends."""
        network = self.load_extractor().extractor
        return f"{network.spec.to_metadata()} {self.embedding} at {LEVEL} on {network.device.type}"

    def embed_file(self, path: Path) -> tuple[np.ndarray, float, list[str]]:
        """Return the embedding (D,), the seconds and notes of the recording at `path`. Raises AudioError that names it."""
        with open_audio(path) as opened:
            wanted = self.embedding.channel
            audio = opened if wanted is None or opened.info.channels == 1 else only_channels(opened, wanted)
            rate = audio.info.rate
            wave, cancelled = mono_and_cancelled(audio.blocks())
            notes = [*audio.notes, *notes_on_calls(audio.info), *([FIRST_TAKEN] if cancelled else [])]
        try:
            return self.load_extractor().embed(wave[None], rate), len(wave) / rate, notes
        except AudioError as error:
            raise AudioError(f"{path}: {error.message}", error.hint) from error

    def repair(self, rows: np.ndarray, found: str | None = None, source: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Repair embeddings (K, D).

        `found`: id of the extractor that their file `source` names. Returns float32 (K, D), and bool (K,) for rows that
        are unusable and were left as they were. Raises VectorError if the model is not for these embeddings.
        """
        if found and self.given_id and found != self.given_id:
            raise VectorError(
                f"{source}: these are embeddings of {found}, not of {self.given_id}", "leave --extractor out"
            )
        try:
            if found:
                self.repairer.check_extractor(found)
            return self.repairer.run(rows)
        except EnhanceError as error:
            raise VectorError(f"{source}: {error.message}", error.hint) from error

    def repair_recorded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Repair embeddings (K, D) of the speaker network loaded here. The result for a row does not depend on the others."""
        return self.repairer.run(rows, RECORDING_ROWS)


def extractor_id(name: str) -> str:
    """Return the id of the extractor with that name, id or file. Raises ModelError."""
    known = [e for e in [*registry.entries(), *registry.published()] if e.task == EXTRACTOR_TASK]
    for entry in known:
        if entry.extractor_id and name in (entry.name, entry.extractor_id):
            return entry.extractor_id
    spec = read_spec(registry.find(name, EXTRACTOR_TASK).path)
    if spec.task != EXTRACTOR_TASK or "id" not in spec.extractor:
        raise ModelError(f"{name}: not a speaker network but a model for {spec.task}", "see `enhance models list`")
    return spec.extractor_id


def extractor_for(repairer: Repairer, name: str | None) -> Extractor | GraphExtractor:
    """Return the extractor called `name`, or the one that the model was trained for. Raises ModelError.

    It runs on ONNX Runtime if the repair model does, and if it has a graph.
    """
    wanted = repairer.extractor_id
    if name is None and name_of_extractor(wanted) == wanted:
        raise ModelError(
            f"{repairer.model.spec.name} needs the extractor {wanted}, which has no name here",
            "give its file with --extractor, or use stored embeddings",
        )
    model, entry = repairer.model, registry.find(name_of_extractor(name or wanted), EXTRACTOR_TASK)
    if model.runtime != "onnx" and entry.path.suffix != ".onnx":
        device: Any = model.device  # of torch, as the model is
        return load_extractor(name or wanted, device)
    if graph_obstacle(entry) is None:
        return load_graph(GraphExtractor, entry, getattr(model, "threads", None))
    set_threads(getattr(model, "threads", None))
    return load_extractor(name or wanted)
