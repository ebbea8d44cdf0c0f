"""Read and write CSV: an id column and embeddings, as a column for each number or as "[0.1, 0.2, ...]" in one column.

A first line without names is recognized by its numbers. Other columns are kept literally.
"""

import csv
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow

from enhance_cli.errors import VectorError
from enhance_cli.vectors import columns
from enhance_cli.vectors.table import Vectors

FIRST_ROWS = 200  # of a file, from which its columns are judged
PART = 4096  # rows written by one thread
DECIMAL = re.compile(r"\s*[-+]?(\d*\.\d*(e[-+]?\d+)?|\d+e[-+]?\d+|nan|inf)\s*", re.IGNORECASE)


def read(path: Path) -> Vectors:
    """Return the embeddings of a CSV file. Raises VectorError (see columns.take)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
    header = sum(DECIMAL.fullmatch(cell) is not None for cell in first) * 2 <= len(first)
    header = header and not any(cell.startswith("[") for cell in first)
    names = first if header else ["id", *(f"e{i}" for i in range(len(first) - 1))]
    numbers = _columns_of_numbers(path, names, header)
    try:
        table = _table(path, names, header, numbers) if numbers else None
    except pa.ArrowInvalid:  # further down something else stands in them
        table = None
    if table is not None:
        return columns.take(table, path, header)
    text = _table(path, names, header, [])
    bracketed = len(text) > 0 and any(text[name][0].as_py().startswith("[") for name in set(names))
    vectors = columns.take(_typed(text), path, header)
    vectors.layout.bracketed = bracketed
    for index, name in enumerate(names):
        if name not in vectors.layout.columns:
            vectors.layout.table = vectors.layout.table.set_column(index, name, text[name])
    return vectors


def _columns_of_numbers(path: Path, names: list[str], header: bool) -> list[str]:
    """Return the columns that hold the embeddings, judged from the first rows, or [] if those do not suffice."""
    with path.open("rb") as file:
        start = b"".join(itertools.islice(file, FIRST_ROWS))
    try:
        table = _typed(_table(pa.BufferReader(start), names, header, []))
        found = columns.take(table, path, header).layout.columns
    except (pa.ArrowInvalid, VectorError):
        return []
    return found if pa.types.is_floating(table.schema.field(found[0]).type) else []


def _table(source: Path | pa.BufferReader, names: list[str], header: bool, numbers: list[str]) -> pa.Table:
    """Return the file with the columns `numbers` as float32, where an empty cell is missing, and all others as strings."""
    kinds = {name: pa.float32() if name in numbers else pa.string() for name in names}
    return arrow.read_csv(
        source,
        read_options=arrow.ReadOptions(column_names=names, skip_rows=1 if header else 0),
        parse_options=arrow.ParseOptions(newlines_in_values=True),
        convert_options=arrow.ConvertOptions(column_types=kinds, strings_can_be_null=False, null_values=[""]),
    )


def write(path: Path, vectors: Vectors) -> None:
    """Write `vectors` as CSV, in their own layout if they were read from CSV."""
    if vectors.layout is None:
        numbers = {f"e{i}": values for i, values in enumerate(vectors.rows.T)}
        made_by = {columns.EXTRACTOR: [vectors.extractor] * len(vectors.ids)} if vectors.extractor else {}
        table, header = pa.table({"id": pa.array(vectors.ids, pa.string()), **made_by, **numbers}), True
    else:
        table, header = columns.put(vectors), vectors.layout.header
        if vectors.layout.bracketed:
            texts = ["[" + ", ".join(f"{x:.9g}" for x in row) + "]" for row in vectors.rows.tolist()]
            name = vectors.layout.columns[0]
            table = table.set_column(table.column_names.index(name), name, pa.array(texts))
    parts = [table.slice(first, PART) for first in range(0, len(table), PART)]
    with path.open("wb") as file, ThreadPoolExecutor(pa.cpu_count()) as threads:
        for text in threads.map(lambda part: _text(part, header and part is parts[0]), parts):
            file.write(text)


def _text(table: pa.Table, header: bool) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    arrow.write_csv(table, sink, arrow.WriteOptions(include_header=header, quoting_style="needed"))
    return sink.getvalue()


def _typed(text: pa.Table) -> pa.Table:
    """Return `text` with columns of numbers as float32 and columns of lists as lists of float32.

    An empty cell is NaN.
    """
    table = text
    for index, name in enumerate(text.column_names):
        values = pc.utf8_trim_whitespace(text[name])
        if name.lower() in columns.ID_NAMES or not len(values):
            continue
        if values[0].as_py().startswith("["):
            table = table.set_column(index, name, _lists(values))
            continue
        try:
            numbers = pc.cast(pc.if_else(pc.equal(values, ""), "nan", values), pa.float32())
        except pa.ArrowInvalid:
            continue
        table = table.set_column(index, name, numbers)
    return table


def _lists(values: pa.ChunkedArray) -> pa.Array:
    rows = [
        [float(x) for x in re.split(r"[\s,]+", text.strip("[] \n"))] if text else None for text in values.to_pylist()
    ]
    return pa.array(rows, pa.list_(pa.float32()))
