"""Read and write CSV: an id column and embeddings, as a column for each number or as "[0.1, 0.2, ...]" in one column.

A first line without names is recognized by its numbers. Other columns are kept literally. Cells may be separated by
semicolons, with commas as decimal points, or by tabs, and are so in the result.
"""

import csv
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow

from enhance_cli.errors import VectorError
from enhance_cli.vectors import columns
from enhance_cli.vectors.table import Vectors

FIRST_ROWS = 200  # of a file, from which its columns are judged
COMMA = re.compile(r"\s*[-+]?\d+,\d+(e[-+]?\d+)?\s*", re.IGNORECASE)  # a number with a decimal comma
PART = 4096  # rows written by one thread
DECIMAL = re.compile(r"\s*[-+]?(\d*\.\d*(e[-+]?\d+)?|\d+e[-+]?\d+|nan|inf)\s*", re.IGNORECASE)


def read(path: Path) -> Vectors:
    """Return the embeddings of a CSV file. Raises VectorError (see columns.take)."""
    form = _form(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file, delimiter=form.delimiter), [])
    first = [cell.replace(form.decimal, ".") for cell in first]
    header = sum(DECIMAL.fullmatch(cell) is not None for cell in first) * 2 <= len(first)
    header = header and not any(cell.startswith("[") for cell in first)
    names = first if header else ["id", *(f"e{i}" for i in range(len(first) - 1))]
    numbers = _columns_of_numbers(path, names, header, form)
    try:
        table = _table(path, names, header, numbers, form) if numbers else None
    except pa.ArrowInvalid:  # further down something else stands in them
        table = None
    if table is not None:
        return _with_form(columns.take(table, path, header), form)
    text = _table(path, names, header, [], form)
    bracketed = len(text) > 0 and any(text[name][0].as_py().startswith("[") for name in set(names))
    vectors = columns.take(_typed(text), path, header)
    vectors.layout.bracketed = bracketed
    for index, name in enumerate(names):
        if name not in vectors.layout.columns:
            vectors.layout.table = vectors.layout.table.set_column(index, name, text[name])
    return _with_form(vectors, form)


class Form(NamedTuple):
    """Hold the separator of the cells of a file, and its decimal point."""

    delimiter: str = ","
    decimal: str = "."


def _form(path: Path) -> Form:
    """Return the form of a file, judged from its first lines, without texts in quotes or brackets."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = list(itertools.islice(file, 2))
    first = re.sub(r'"[^"]*"|\[[^]]*\]', "", lines[0]) if lines else ""
    delimiter = "\t" if "\t" in first else ";" if first.count(";") >= max(first.count(","), 1) else ","
    if delimiter == ";" and any(COMMA.fullmatch(cell.strip('"\r\n')) for line in lines for cell in line.split(";")):
        return Form(delimiter, ",")
    return Form(delimiter)


def _with_form(vectors: Vectors, form: Form) -> Vectors:
    vectors.layout.delimiter, vectors.layout.decimal = form
    return vectors


def _columns_of_numbers(path: Path, names: list[str], header: bool, form: Form) -> list[str]:
    """Return the columns that hold the embeddings, judged from the first rows, or [] if those do not suffice."""
    with path.open("rb") as file:
        start = b"".join(itertools.islice(file, FIRST_ROWS))
    try:
        text = _table(pa.BufferReader(start), names, header, [], form)
        table = _typed(text if form.decimal == "." else _with_points(text))
        found = columns.take(table, path, header).layout.columns
    except (pa.ArrowInvalid, VectorError):
        return []
    return found if pa.types.is_floating(table.schema.field(found[0]).type) else []


def _with_points(text: pa.Table) -> pa.Table:
    """Return strings with decimal points for the commas of numbers."""
    for index, name in enumerate(text.column_names):
        points = pc.replace_substring_regex(text[name], r"^(\s*[-+]?\d*),(\d*(?:[eE][-+]?\d+)?\s*)$", r"\1.\2")
        text = text.set_column(index, name, points)
    return text


def _table(
    source: Path | pa.BufferReader, names: list[str], header: bool, numbers: list[str], form: Form = Form()
) -> pa.Table:
    """Return the file with the columns `numbers` as float32, where an empty cell is missing, and all others as strings."""
    kinds = {name: pa.float32() if name in numbers else pa.string() for name in names}
    return arrow.read_csv(
        source,
        read_options=arrow.ReadOptions(column_names=names, skip_rows=1 if header else 0),
        parse_options=arrow.ParseOptions(newlines_in_values=True, delimiter=form.delimiter),
        convert_options=arrow.ConvertOptions(
            column_types=kinds, strings_can_be_null=False, null_values=[""], decimal_point=form.decimal
        ),
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
    form = Form() if vectors.layout is None else Form(vectors.layout.delimiter, vectors.layout.decimal)
    if form.decimal != ".":
        for name in vectors.layout.columns:
            texts = pc.replace_substring(pc.cast(table[name], pa.string()), ".", form.decimal)
            table = table.set_column(table.column_names.index(name), name, texts)
    parts = [table.slice(first, PART) for first in range(0, len(table), PART)]
    with path.open("wb") as file, ThreadPoolExecutor(pa.cpu_count()) as threads:
        for text in threads.map(lambda part: _text(part, form, header and part is parts[0]), parts):
            file.write(text)


def _text(table: pa.Table, form: Form, header: bool) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = arrow.WriteOptions(include_header=header, quoting_style="needed", delimiter=form.delimiter)
    arrow.write_csv(table, sink, options)
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
