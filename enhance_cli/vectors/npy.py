"""NumPy's .npy: an array (K, D), or (D,) for one embedding. Its rows have no ids and are called 0, 1, ..."""

from pathlib import Path

import numpy as np

from enhance_cli.vectors.table import Vectors, numbered


def read(path: Path) -> Vectors:
    with path.open("rb") as file:
        rows = np.lib.format.read_array(file, allow_pickle=False)
    shape = rows.shape
    if rows.ndim == 1:
        rows = rows[None]
    return Vectors(numbered(len(rows) if rows.ndim else 0), rows, layout=shape)


def write(path: Path, vectors: Vectors) -> None:
    with path.open("wb") as file:
        np.save(file, vectors.rows.reshape(vectors.layout or vectors.rows.shape))
