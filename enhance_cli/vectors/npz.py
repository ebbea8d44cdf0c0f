"""Read and write NumPy's .npz: an array "embeddings" (K, D) with "ids" (K) and "extractor", or one array (D,) for each id.

Names, order, other arrays and compression are kept. numpy.savez itself cannot write an embedding called "file".
"""

import zipfile
from pathlib import Path

import numpy as np

from enhance_cli.vectors import named
from enhance_cli.vectors.table import Vectors


def read(path: Path) -> Vectors:
    if not zipfile.is_zipfile(path):
        path.stat()  # is_zipfile says of a missing file only that it is none
        raise ValueError("it is no zip archive")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
        packed = any(info.compress_type != zipfile.ZIP_STORED for info in file.zip.infolist())
    return named.take(arrays, None, "", {"packed": packed}, path)


def write(path: Path, vectors: Vectors) -> None:
    if vectors.layout is None:
        arrays = {"ids": np.array(vectors.ids, dtype=str), "embeddings": vectors.rows}
        arrays |= {named.EXTRACTOR: np.array(vectors.extractor)} if vectors.extractor else {}
        packed = False
    else:
        arrays, packed = named.put(vectors), vectors.layout.rest["packed"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
