"""Read and write safetensors: a tensor "embeddings" (K, D), or a tensor (D,) for each id.

With "embeddings", the header has the JSON list "ids" and "extractor".
"""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from enhance_cli.vectors import named
from enhance_cli.vectors.table import Vectors


def read(path: Path) -> Vectors:
    path.stat()  # safetensors says of a missing file only that it is missing
    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata() or {})
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it has no __iter__
    ids = json.loads(header["ids"]) if "ids" in header else None
    return named.take(arrays, ids and [str(i) for i in ids], header.get(named.EXTRACTOR, ""), header, path)


def write(path: Path, vectors: Vectors) -> None:
    if vectors.layout is None:
        header = {"ids": json.dumps(vectors.ids)}
        header |= {named.EXTRACTOR: vectors.extractor} if vectors.extractor else {}
        made = save({"embeddings": vectors.rows}, header)
    else:
        arrays = {name: np.ascontiguousarray(array) for name, array in named.put(vectors).items()}
        made = save(arrays, vectors.layout.rest or None)
    path.write_bytes(made)  # safetensors, writing a file itself, has errors of its own for a full disk
