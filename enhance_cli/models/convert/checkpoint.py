"""Read a checkpoint that may be a .safetensors file of another program or a torch file (pickles)."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import pickles
from enhance_cli.models.spec import HEADER_KEY


def read(path: Path) -> Any:
    """Return the tensors of a .safetensors file by name, mapped into memory, or the object in a torch file.

    Raises ModelError if the file is missing, damaged, of this program, or names anything that could run code.
    """
    if path.suffix != ".safetensors":
        return pickles.read(path)
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
