"""Read the embeddings for `enhance verify`: from one file by id, or from a file each (recordings or stored embeddings).

Embeddings that are not available are reported and left out.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from enhance_cli.commands.reporting import Reporter
from enhance_cli.console import say, tracked
from enhance_cli.errors import AudioError, EnhanceError, UsageError, VectorError

if TYPE_CHECKING:
    import numpy as np

    from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline


@dataclass
class Found:
    """Hold `rows` (K, D) float32, one for each name, zero at the indices in `missing`.

    `extractor`: id that their file names, if any. `source`: name of that file for messages.
    """

    rows: "np.ndarray"
    extractor: str | None
    source: str
    missing: set[int] = field(default_factory=set)

    def repaired(self, pipeline: "EmbeddingPipeline", names: list[str]) -> "tuple[np.ndarray, np.ndarray, set[int]]":
        """Return unit vectors (K, D) before and after repair, and the indices of unusable ones, each reported.

        Raises VectorError if the model is not for these embeddings.
        """
        import numpy as np

        after, failed = pipeline.repair(self.rows, self.extractor, self.source)
        unusable = set(np.flatnonzero(failed).tolist()) - self.missing
        for index in sorted(unusable):
            say(f"error: {names[index]}: the embedding is zero or not finite: embed it anew")
        return _unit(self.rows), _unit(after), self.missing | unusable


def in_store(path: Path, names: list[str], listing: Path | None) -> Found:
    """Return the embeddings with these ids. Raises UsageError for a missing id, VectorError for an unusable file."""
    import numpy as np

    from enhance_cli.vectors import read

    stored = read(path)
    indices = {name: index for index, name in enumerate(stored.ids)}
    if unknown := [name for name in names if name not in indices]:
        raise _missing(unknown, listing, f"is not in {path}")
    with np.errstate(over="ignore"):  # numbers beyond single precision become infinite, which is reported later
        rows = stored.rows[[indices[name] for name in names]].astype(np.float32)
    return Found(rows, stored.extractor, str(path))


def files_named(names: list[str], root: Path | None, listing: Path | None) -> list[Path]:
    """Return the files of these names below `root`. Raises UsageError for one that is missing, or is a folder."""
    paths = [(root or Path()) / name for name in names]
    if folder := next((path for path in paths if path.is_dir()), None):
        where = f"{listing}: " if listing else ""
        hint = "name recordings or stored embeddings in it; many pairs go into a list for --trials"
        raise UsageError(f"{where}{folder} is a folder, and a voice is a file", hint)
    if unknown := [name for name, path in zip(names, paths, strict=True) if not path.is_file()]:
        raise _missing(unknown, listing, "does not exist")
    return paths


def in_files(paths: list[Path], pipeline: "EmbeddingPipeline") -> Found:
    """Return the embeddings that are stored in these files, or are made of them if they are recordings.

    Raises VectorError if stored ones are of different extractors, ModelError if the network for recordings is not here.
    """
    import numpy as np

    from enhance_cli.vectors import form_of

    found = Found(np.zeros((len(paths), pipeline.repairer.dimension), np.float32), None, "the embeddings")
    recordings: list[int] = []
    stored: list[int] = []
    for index, path in enumerate(paths):
        (recordings if form_of(path) is None else stored).append(index)
    _read_stored(paths, stored, pipeline, found)
    if not recordings:
        return found

    def embed(index: int) -> "tuple[np.ndarray, list[str]] | AudioError":
        try:
            row, _, notes = pipeline.embed_file(paths[index])
            return row, notes
        except AudioError as error:
            return error

    pool = ThreadPoolExecutor(pipeline.load_extractor().lanes)
    try:
        results = tracked(pool.map(embed, recordings), "Embedding", len(recordings))
        noted: Counter[str] = Counter()
        for index, embedded in zip(recordings, results, strict=True):
            if isinstance(embedded, AudioError):
                _leave_out(found, index, embedded)
                continue
            found.rows[index], notes = embedded
            for note in notes:
                noted[note] += 1
                if noted[note] <= Reporter.SAME_NOTES:
                    say(f"{paths[index]}: {note}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C, the rest of the list is not processed
    return found


def _read_stored(paths: list[Path], indices: list[int], pipeline: "EmbeddingPipeline", found: Found) -> None:
    """Fill in the rows of files of one embedding each, and their extractor."""
    from enhance_cli.vectors import read

    extractors = {}
    for index in indices:
        path = paths[index]
        try:
            stored = read(path)
            if len(stored.rows) > 1:
                raise VectorError(
                    f"{path}: holds {len(stored.rows)} embeddings", "choose two of them with --vectors FILE ID ID"
                )
            if stored.extractor:
                extractors[stored.extractor] = str(path)
            if stored.rows.shape[1] != found.rows.shape[1]:
                pipeline.repair(stored.rows, stored.extractor, str(path))  # says that it is another dimension
            found.rows[index] = stored.rows[0]
        except VectorError as error:
            _leave_out(found, index, error)
    if len(extractors) > 1:
        said = " and ".join(f"{source} of {extractor}" for extractor, source in list(extractors.items())[:2])
        raise VectorError(f"these are embeddings of different extractors: {said}", "compare those of one")
    if extractors:
        ((found.extractor, found.source),) = extractors.items()


def _leave_out(found: Found, index: int, error: EnhanceError) -> None:
    say(f"error: {error}")
    found.missing.add(index)


def _missing(names: list[str], listing: Path | None, why: str) -> UsageError:
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    where = f"{listing}: " if listing else ""
    return UsageError(f"{where}{names[0]} {why}{more}", "check the names, or --root and --vectors")


def _unit(rows: "np.ndarray") -> "np.ndarray":
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
