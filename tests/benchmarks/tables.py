"""Put the rows that a benchmark has measured into the table between two marks of a page."""

from pathlib import Path


def put_rows(page: Path, name: str, table: str, *, whole: bool) -> None:
    """Replace the table between the marks `<!-- NAME: begin -->` and `end`, or only rows that begin as those of `table`.

    Rows that the page does not have are added behind it if the table is not replaced as a `whole`.
    """
    begin_mark, end_mark = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text()
    begin, end = text.index(begin_mark) + len(begin_mark), text.index(end_mark)
    if not whole:
        rows = {_key(line): line for line in text[begin:end].strip().splitlines()}
        rows |= {_key(line): line for line in table.splitlines()}
        table = "\n".join(rows.values())
    page.write_text(f"{text[:begin]}\n\n{table}\n\n{text[end:]}")


def _key(line: str) -> str:
    return line.split("|")[1].strip()
