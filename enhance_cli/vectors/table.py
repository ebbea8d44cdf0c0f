"""Hold stored embeddings in memory: an id and a row each, and the layout of the file they came from."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from enhance_cli.errors import VectorError

ID_NAMES = (
    "id", "ids", "utt", "utts", "utt_id", "utterance", "utterance_id", "key", "keys", "name", "names",
    "file", "files", "filename", "path", "paths",
)  # fmt: skip
VECTOR_NAMES = ("embeddings", "embedding", "vectors", "vector", "xvectors", "xvector", "emb", "embs")


@dataclass
class Vectors:
    """Hold embeddings: `rows` (K, D) float16, float32 or float64, one each, called `ids` (K).

    `extractor`: id of the network that made them, if the file has it. `form`: format that they were read from.
    `layout`: data that the format needs to write the file again unchanged.
    """

    ids: list[str]
    rows: np.ndarray
    extractor: str | None = None
    layout: Any = None
    form: str | None = None

    def checked(self, path: Path) -> "Vectors":
        """Return self. Raises VectorError for an empty table, numbers that are not floats, or a duplicate id."""
        native = self.rows.dtype.newbyteorder("=")  # files may have the byte order of other machines
        self.rows = self.rows.astype(native, copy=False)
        if self.rows.ndim != 2 or self.rows.dtype not in (np.float16, np.float32, np.float64):
            shape, dtype = list(self.rows.shape), self.rows.dtype
            raise VectorError(f"{path}: {dtype} of shape {shape}, not embeddings", "store floats, one row each")
        if not self.rows.size:
            raise VectorError(f"{path}: there are no embeddings in it", "check how it was made")
        if len(self.ids) != len(self.rows):
            raise VectorError(f"{path}: {len(self.ids)} ids for {len(self.rows)} embeddings", "write it anew")
        if len(set(self.ids)) < len(self.ids):
            name, count = Counter(self.ids).most_common(1)[0]
            raise VectorError(f"{path}: the id {name} is there {count} times", "give every embedding an id of its own")
        return self

    def replaced(self, rows: np.ndarray) -> "Vectors":
        """Return a copy with other `rows` (K, D), in the type of the old ones."""
        return Vectors(self.ids, rows.astype(self.rows.dtype, copy=False), self.extractor, self.layout, self.form)


def one_extractor(names: list[str], path: Path) -> str | None:
    """Return the extractor that all rows name, if any. Raises VectorError for several."""
    found = sorted({name for name in names if name})
    if len(found) > 1:
        raise VectorError(
            f"{path}: embeddings of several extractors ({', '.join(found)})",
            "keep those of each in a file of their own",
        )
    return found[0] if found else None


def numbered(count: int) -> list[str]:
    """Return ids for rows that have none: "0", "1", ..."""
    return [str(number) for number in range(count)]
