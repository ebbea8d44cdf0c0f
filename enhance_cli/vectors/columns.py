"""Convert tables with an id column: embeddings as lists in one column, or as columns e0, e1, ...

Other columns are kept.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from enhance_cli.errors import VectorError
from enhance_cli.vectors.table import ID_NAMES, VECTOR_NAMES, Vectors, one_extractor

EXTRACTOR = "extractor"
BATCH = 1024  # rows


@dataclass
class Layout:
    """Describe a table: the embeddings are the lists in the only one of `columns`, or `columns` are their numbers.

    `delimiter`, `decimal`: of a CSV file.
    """

    table: pa.Table
    columns: list[str]
    header: bool = True
    bracketed: bool = False
    delimiter: str = ","
    decimal: str = "."

    @property
    def holds_more(self) -> bool:
        """Return whether the table has columns besides embeddings, their ids and their extractor."""
        return bool(set(self.table.column_names) - {*self.columns, "id", EXTRACTOR})


def take(table: pa.Table, path: Path, header: bool = True) -> Vectors:
    """Return the embeddings of `table`. Raises VectorError if there is no id column, or no embeddings."""
    names = table.column_names
    if len(set(names)) < len(names):
        raise VectorError(f"{path}: two columns have the same name", "give each its own")
    lists = [name for name in names if _is_list(table.schema.field(name).type)]
    if len(lists) > 1:
        lists = [name for name in lists if name.lower() in VECTOR_NAMES]
    columns = lists or _numbers(table)
    if not columns or len(lists) > 1:
        raise VectorError(f"{path}: cannot tell which columns are the embeddings", "call them e0, e1, e2, ...")
    ids = _ids(table, columns, path)
    if not ids:
        raise VectorError(f"{path}: there are no embeddings in it", "check how it was made")
    rows = _rows_of_lists(table[lists[0]], ids, path) if lists else _rows_of_columns(table, columns)
    named = table[EXTRACTOR].to_pylist() if EXTRACTOR in names else []
    noted = (table.schema.metadata or {}).get(EXTRACTOR.encode(), b"").decode()
    made_by = one_extractor([noted, *(str(name) for name in named if name)], path)
    return Vectors(ids, rows, made_by, Layout(table, columns, header))


def put(vectors: Vectors) -> pa.Table:
    """Return the whole table with the embeddings of `vectors` in their columns."""
    layout: Layout = vectors.layout
    table = layout.table
    if _is_list(table.schema.field(layout.columns[0]).type):
        new = as_lists(vectors.rows)
        return _set(table, layout.columns[0], new.cast(table.schema.field(layout.columns[0]).type))
    for name, values in zip(layout.columns, np.ascontiguousarray(vectors.rows.T), strict=True):
        table = _set(table, name, pa.array(values).cast(table.schema.field(name).type))
    return table


def as_lists(rows: np.ndarray) -> pa.FixedSizeListArray:
    """Return `rows` (K, D) as an Arrow array of K lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    index = table.column_names.index(name)
    return table.set_column(index, table.schema.field(index), values)


def _is_list(dtype: pa.DataType) -> bool:
    is_list = pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype)
    return is_list and pa.types.is_floating(dtype.value_type)


def _numbers(table: pa.Table) -> list[str]:
    """Return the columns of floats that are numbered, or else all columns of floats."""
    floats = [f.name for f in table.schema if pa.types.is_floating(f.type) and f.name.lower() not in ID_NAMES]
    families: dict[str, list[str]] = {}
    for name in floats:
        if match := re.fullmatch(r"(.*?)\d+", name):
            families.setdefault(match[1], []).append(name)
    return max(families.values(), key=len, default=floats)


def _ids(table: pa.Table, columns: list[str], path: Path) -> list[str]:
    """Return the ids. Raises VectorError if there is no id column, or an id is missing."""
    others = [name for name in table.column_names if name not in columns and name != EXTRACTOR]
    usual = sorted((n for n in others if n.lower() in ID_NAMES), key=lambda n: ID_NAMES.index(n.lower()))
    texts = [
        n for n in others if pa.types.is_string(dtype := table.schema.field(n).type) or pa.types.is_large_string(dtype)
    ]
    if not usual and len(texts) != 1:
        raise VectorError(f"{path}: there is no id column", "call the column with the ids id")
    values = table[usual[0] if usual else texts[0]].to_pylist()
    if None in values:
        raise VectorError(f"{path}: row {values.index(None) + 1} has no id", "give every embedding an id of its own")
    return [str(value) for value in values]


def _rows_of_lists(column: pa.ChunkedArray, ids: list[str], path: Path) -> np.ndarray:
    """Return the lists of a column as (K, D), with NaN for a missing list."""
    lengths = pc.list_value_length(column)
    there = np.array(lengths.is_valid())
    found = np.array(lengths.drop_null())
    if (found != found[:1]).any():
        odd = ids[int(np.flatnonzero(there)[np.argmax(found != found[0])])]
        raise VectorError(f"{path}: {odd} has another length than the embeddings before it", "store one kind in a file")
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    values = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
    if there.all():
        return values.reshape(len(there), -1)
    rows = np.full((len(there), int(found[0]) if len(found) else 0), np.nan, values.dtype)
    rows[there] = values.reshape(-1, rows.shape[1])
    return rows


def _rows_of_columns(table: pa.Table, columns: list[str]) -> np.ndarray:
    """Return the numbers as (K, D), with NaN for a missing one.

    They are taken batch by batch, which stay in the cache.
    """
    batches = table.select(columns).to_batches(max_chunksize=BATCH)
    parts = [[column.to_numpy(zero_copy_only=False) for column in batch.columns] for batch in batches]
    return np.concatenate([np.stack(part, axis=1) for part in parts])
