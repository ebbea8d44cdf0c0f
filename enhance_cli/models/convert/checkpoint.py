"""Read a checkpoint: a .safetensors file of another program, the index of several, or a torch file (pickles)."""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import pickles
from enhance_cli.models.spec import HEADER_KEY

INDEX = ".safetensors.index.json"
PIECE = re.compile(r"(.+)-\d{5}-of-\d{5}\.safetensors")


def read(path: Path) -> Any:
    """Return the tensors of a .safetensors file by name, mapped into memory, or the object in a torch file.

    Of an index, the tensors of all files that it names. Raises ModelError if a file is missing, damaged, of this program, or
    names anything that could run code.
    """
    if path.name.endswith(INDEX):
        return {name: tensor for piece in _pieces(path) for name, tensor in _tensors(piece).items()}
    if path.suffix != ".safetensors":
        return pickles.read(path)
    piece = PIECE.fullmatch(path.name)
    if piece and (index := path.with_name(piece[1] + INDEX)).is_file():
        raise ModelError(f"{path}: one of several files", f"convert their index, {index}")
    return _tensors(path)


def _pieces(index: Path) -> list[Path]:
    """Return the files beside an index that it names. Raises ModelError."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not all(
            isinstance(name, str) and Path(name).name == name and name.endswith(".safetensors") for name in names
        ):
            raise ValueError("it names other files than .safetensors beside it")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index}: not an index of .safetensors files ({error})", "fetch it again") from error
    pieces = [index.with_name(name) for name in sorted(names)]
    if missing := [piece.name for piece in pieces if not piece.is_file()]:
        raise ModelError(f"{index}: {', '.join(missing)} is not beside it", "fetch all of the files that it names")
    return pieces


def _tensors(path: Path) -> dict[str, Any]:
    """Return the tensors of a .safetensors file of another program. Raises ModelError."""
    try:
        with safe_open(path, framework="pt") as file:
            if HEADER_KEY in (file.metadata() or {}):
                raise ModelError(f"{path}: is a model file already", f"use it as it is: --model {path}")
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: not a safetensors file ({error})", "fetch it again, or check where it comes from"
        ) from error
