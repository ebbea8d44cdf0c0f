"""CSV: an id column and the embeddings, as one column for each number or as "[0.1, 0.2, ...]" in one. A first line without
names is seen by its numbers. Other columns are kept letter by letter.
"""

import csv
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow

from enhance_cli.vectors import columns
from enhance_cli.vectors.table import Vectors

DECIMAL = re.compile(r"\s*[-+]?(\d*\.\d*(e[-+]?\d+)?|\d+e[-+]?\d+|nan|inf)\s*", re.IGNORECASE)


def read(path: Path) -> Vectors:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file), [])
    header = sum(DECIMAL.fullmatch(cell) is not None for cell in first) * 2 <= len(first)
    header = header and not any(cell.startswith("[") for cell in first)
    names = first if header else ["id", *(f"e{i}" for i in range(len(first) - 1))]
    text = arrow.read_csv(
        path,
        read_options=arrow.ReadOptions(column_names=names, skip_rows=1 if header else 0),
        parse_options=arrow.ParseOptions(newlines_in_values=True),
        convert_options=arrow.ConvertOptions(column_types={n: pa.string() for n in names}, strings_can_be_null=False),
    )
    bracketed = len(text) > 0 and any(text[name][0].as_py().startswith("[") for name in set(names))
    vectors = columns.take(_typed(text), path, header)
    vectors.layout.bracketed = bracketed
    for index, name in enumerate(names):
        if name not in vectors.layout.columns:
            vectors.layout.table = vectors.layout.table.set_column(index, name, text[name])
    return vectors


def write(path: Path, vectors: Vectors) -> None:
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
    arrow.write_csv(table, path, arrow.WriteOptions(include_header=header, quoting_style="needed"))


def _typed(text: pa.Table) -> pa.Table:
    """Columns that hold only numbers as float32, only lists as lists of these; an empty cell is not a number."""
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
