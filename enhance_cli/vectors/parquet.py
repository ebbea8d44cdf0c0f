"""Read and write Parquet: an id column and the embeddings, as lists in one column or as one column for each number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from enhance_cli.vectors import columns
from enhance_cli.vectors.table import Vectors


def read(path: Path) -> Vectors:
    return columns.take(pq.ParquetFile(path).read(), path)


def write(path: Path, vectors: Vectors) -> None:
    if vectors.layout is None:
        table = pa.table({"id": pa.array(vectors.ids, pa.string()), "embedding": columns.as_lists(vectors.rows)})
        table = table.replace_schema_metadata({columns.EXTRACTOR: vectors.extractor} if vectors.extractor else None)
    else:
        table = columns.put(vectors)
    numbers = vectors.layout.columns if vectors.layout else ["embedding"]
    others = [name for name in table.column_names if name not in numbers]
    packed = dict.fromkeys(others, "snappy")  # for embeddings none of this is worth its time
    pq.write_table(table, path, use_dictionary=others, compression=packed, write_statistics=others)
