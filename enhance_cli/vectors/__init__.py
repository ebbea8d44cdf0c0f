"""Read and write files of speaker embeddings: one format a module, all read into `Vectors` (ids and rows).

The suffix of a file selects its format. Nothing that is read is executed: pickles and commands inside are refused.
"""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from enhance_cli.catalogue import Catalogue
from enhance_cli.errors import EnhanceError, VectorError, one_line
from enhance_cli.vectors.table import Vectors

READERS = Catalogue(
    "embedding format",
    __name__,
    {
        "npy": "npy:read",
        "npz": "npz:read",
        "safetensors": "safetensors_file:read",
        "ark": "kaldi:read_ark",
        "scp": "kaldi:read_scp",
        "parquet": "parquet:read",
        "csv": "csv_table:read",
    },
)
WRITERS = Catalogue(
    "embedding format",
    __name__,
    {
        "npy": "npy:write",
        "npz": "npz:write",
        "safetensors": "safetensors_file:write",
        "ark": "kaldi:write_ark",
        "scp": "kaldi:write_scp",
        "parquet": "parquet:write",
        "csv": "csv_table:write",
    },
)
FORMS = tuple(READERS)
SUFFIXES = frozenset(f".{form}" for form in FORMS)


def form_of(path: PathLike[str] | str) -> str | None:
    """Return the format for the suffix of `path`, or None if it is not one of stored embeddings."""
    suffix = Path(path).suffix.lower()
    return suffix[1:] if suffix in SUFFIXES else None


def read(path: Path) -> Vectors:
    """Return the embeddings in `path`.

    Raises VectorError if the file cannot be read or used, EnhanceError if a package is missing.
    """
    form = form_of(path)
    try:
        vectors = _member(READERS, form)(path)
    except EnhanceError:
        raise
    except FileNotFoundError as error:
        raise VectorError(f"{error.filename or path}: this file does not exist", "check its name") from error
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise VectorError(f"{path}: cannot be read ({reason})", "check the file and its permissions") from error
    except Exception as error:  # whatever a damaged file makes the readers of others say
        reason = one_line(error)[:200]
        hint = "store ids with dtype=str, since objects may run code" if "allow_pickle" in reason else "write it anew"
        raise VectorError(f"{path}: not a usable .{form} file ({reason})", hint) from error
    vectors.form = form
    return vectors.checked(path)


def files_of(target: Path) -> list[Path]:
    """Return all files that writing `target` makes: a Kaldi .scp has its .ark beside it."""
    return [target, target.with_suffix(".ark")] if form_of(target) == "scp" else [target]


def write(parts: list[Path], vectors: Vectors, form: str, target: Path) -> None:
    """Write `vectors` in the format `form`. If they were read from that format, its other contents are kept.

    `parts`: temporary paths of the files that `files_of(target)` lists. Raises VectorError for values that the format
    cannot hold.
    """
    if vectors.form != form:
        vectors = Vectors(vectors.ids, vectors.rows, vectors.extractor)
    writer = _member(WRITERS, form)
    if form == "scp":
        writer(*parts, vectors, files_of(target)[1])
    else:
        writer(parts[0], vectors)


def _member(catalogue: Catalogue, form: str | None) -> Callable:
    try:
        return catalogue[str(form)]
    except ModuleNotFoundError as error:
        hint = "pip install 'enhance-cli[embeddings]'"
        raise EnhanceError(f".{form} files need the package {error.name}", hint) from error
