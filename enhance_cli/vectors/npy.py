"""Read and write NumPy's .npy: an array (K, D), or (D,) for one embedding. Rows have no ids and are called 0, 1, ..."""

import io
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
    made = io.BytesIO()  # NumPy, writing a file itself, does not say that a disk is full
    np.save(made, vectors.rows.reshape(vectors.layout or vectors.rows.shape))
    path.write_bytes(made.getbuffer())
