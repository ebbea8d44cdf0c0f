"""Convert arrays by name, as in .npz and .safetensors: one array of all embeddings, or one embedding for each name."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from enhance_cli.errors import VectorError
from enhance_cli.vectors.table import ID_NAMES, VECTOR_NAMES, Vectors, numbered, one_extractor

EXTRACTOR = "extractor"


@dataclass
class Layout:
    """Describe all arrays of a file: the embeddings are those called `names` if not empty, else the rows of `matrix`.

    `rest`: header or compression that the format itself keeps.
    """

    arrays: dict[str, np.ndarray]
    matrix: str | None
    names: list[str]
    rest: dict

    @property
    def holds_more(self) -> bool:
        """Return whether the file has arrays besides embeddings, their ids and their extractor."""
        return bool(set(self.arrays) - {self.matrix, "ids", EXTRACTOR, *self.names})


def take(arrays: dict[str, np.ndarray], ids: list[str] | None, extractor: str, rest: dict, path: Path) -> Vectors:
    """Return the embeddings among `arrays`. `ids`, `extractor`: those that the format itself stores, if any."""
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f" and array.ndim in (1, 2)}
    made_by = [extractor, *_strings(arrays.get(EXTRACTOR))]
    single = {name: array for name, array in floats.items() if array.ndim == 1 or len(array) == 1}
    usual = any(array.ndim == 2 and name.lower() in VECTOR_NAMES for name, array in floats.items())
    if floats and len(single) == len(floats) and not usual:
        sizes = {array.size for array in single.values()}
        if len(sizes) > 1:
            said = ", ".join(map(str, sorted(sizes)[:3]))
            raise VectorError(f"{path}: embeddings of different lengths ({said})", "store one kind in a file")
        rows = np.stack([array.reshape(-1) for array in single.values()])
        return Vectors(list(single), rows, one_extractor(made_by, path), Layout(arrays, None, list(single), rest))
    matrix = _choose({name: a for name, a in floats.items() if a.ndim == 2}, VECTOR_NAMES, "embeddings", path)
    if matrix is None:
        raise VectorError(f"{path}: holds no array of embeddings", "store one of floats, a row each")
    rows = arrays[matrix]
    if ids is None:
        texts = {
            name: array
            for name, array in arrays.items()
            if array.dtype.kind in "US" and array.shape == rows.shape[:1] and name != EXTRACTOR
        }
        texts |= {n: a for n, a in arrays.items() if n.lower() in ID_NAMES and a.shape == rows.shape[:1]}
        chosen = _choose(texts, ID_NAMES, "ids", path)
        ids = numbered(len(rows)) if chosen is None else _strings(arrays[chosen])
    return Vectors(ids, rows, one_extractor(made_by, path), Layout(arrays, matrix, [], rest))


def put(vectors: Vectors) -> dict[str, np.ndarray]:
    """Return all arrays of the file with the embeddings of `vectors` in their positions."""
    layout: Layout = vectors.layout
    if layout.matrix is not None:
        return layout.arrays | {layout.matrix: vectors.rows}
    rows = zip(layout.names, vectors.rows, strict=True)
    return layout.arrays | {name: row.reshape(layout.arrays[name].shape) for name, row in rows}


def _choose(candidates: dict[str, np.ndarray], names: tuple[str, ...], role: str, path: Path) -> str | None:
    """Return the only candidate, or the one with a usual name. Raises VectorError if that is ambiguous."""
    if len(candidates) <= 1:
        return next(iter(candidates), None)
    usual = [name for name in candidates if name.lower() in names]
    if len(usual) != 1:
        found = ", ".join(list(candidates)[:4])
        raise VectorError(f"{path}: several arrays could be the {role} ({found})", f"call the right one {role}")
    return usual[0]


def _strings(array: np.ndarray | None) -> list[str]:
    if array is None:
        return []
    return [v.decode() if isinstance(v, bytes) else str(v) for v in np.atleast_1d(array).tolist()]
