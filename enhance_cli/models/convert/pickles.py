"""Read foreign torch files without running any of their code.

First the names of all functions and classes in the file are listed from the pickle's opcodes, for zip and legacy torch
files and for bare pickles, without executing anything. They must be in two fixed lists: functions that rebuild tensors,
and classes that are replaced by an inert stub. Only then torch's restricted reader (`weights_only=True`) reads it.
"""

import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from enhance_cli.errors import ModelError

LARGEST_PICKLE = 1 << 24  # bytes. The pickle holds names and shapes; the numbers lie beside it
LARGEST_REPEATED = 1 << 30  # bytes that all tensors may have beyond those in the file
LEGACY_PICKLES = 5  # magic number, protocol, machine, object, storage keys
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "Untyped", "Typed")
_NUMBERS = ("float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool")
TENSORS = {
    "_codecs.encode",
    "builtins.set",
    "collections.OrderedDict",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *(f"torch.{kind}Storage" for kind in _STORAGES),
    *(f"torch.storage.{kind}Storage" for kind in _STORAGES),
    *(f"torch.{kind}" for kind in _NUMBERS),
}


class Inert(dict):
    """Replace a foreign class: take any arguments, keep items and attributes as plain data, do nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)


STUBS = {
    "argparse.Namespace",
    "audio_diffusion_pytorch_.diffusion.LogNormalDistribution",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    *(f"{package}.data_module.SpecsDataModule" for package in ("sgmse", "flowmse")),
    *(f"sgmse.sdes.{name}" for name in ("OUVESDE", "OUVPSDE", "BBED", "SBVESDE")),
}


def read(path: Path) -> Any:
    """Return the object in a torch file, on the CPU, with an `Inert` for every foreign object in it.

    Raises ModelError if the file is missing, damaged, not a torch file, or names anything outside the two lists.
    """
    try:
        named, zipped = named_globals(path), zipfile.is_zipfile(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})", "check the path") from error
    foreign = sorted(named - TENSORS - STUBS)
    if foreign:
        raise ModelError(
            f"{path}: refused, since it names functions that could run code: {_printable(', '.join(foreign))}",
            "it is no checkpoint that this program knows; use one from its authors",
        )
    try:
        with torch.serialization.safe_globals([(Inert, name) for name in sorted(STUBS)]):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
        _refuse_inflated(found)
        return found
    except Exception as error:  # a stranger's file can break a reader in any way
        raise _damaged(path, error) from error


def _refuse_inflated(found: Any) -> None:
    """Raise ValueError if tensors in `found` repeat their numbers by strides so often that copies could fill the memory."""
    waiting, seen, repeated = [found], set(), 0
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            repeated += max(0, item.numel() * item.element_size() - item.untyped_storage().nbytes())
            if repeated > LARGEST_REPEATED:
                raise ValueError(f"a tensor of shape {list(item.shape)} has fewer numbers than that")
        elif isinstance(item, dict | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))  # a list may hold itself
            waiting += item.values() if isinstance(item, dict) else item


def named_globals(path: Path) -> set[str]:
    """Return every "module.name" in the file's pickles, from opcodes only. Raises ModelError, OSError."""
    try:
        if zipfile.is_zipfile(path):
            names = set()
            with zipfile.ZipFile(path) as archive:
                pickles = [info for info in archive.infolist() if info.filename.endswith(".pkl")]
                if not any(info.filename.endswith("/data.pkl") for info in pickles):
                    raise _no_checkpoint(path, archive.namelist())
                for info in pickles:
                    if info.file_size > LARGEST_PICKLE:
                        raise ValueError(f"{info.filename} is too large")
                    with archive.open(info) as file:
                        names |= _globals(file)
            return names
        with open(path, "rb") as file:
            legacy = file.read(len(MAGIC)) == MAGIC
            file.seek(0)
            return set().union(*(_globals(file) for _ in range(LEGACY_PICKLES if legacy else 1)))
    except (OSError, ModelError):
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _no_checkpoint(path: Path, members: list[str]) -> ModelError:
    """Return the error for a zip file that is no torch file: it may hold one, as releases do."""
    for member in members:
        if member.endswith((".pth", ".ckpt", ".pt", ".th", ".safetensors")):
            return ModelError(f"{path}: an archive with {_printable(member)} in it", "unpack it, and convert that file")
    return _damaged(path, ValueError("there is no data.pkl in it"))


def _globals(file: IO[bytes]) -> set[str]:
    """Return the names in one pickle.

    Where a name is put together on the stack, every pair of strings that could form it is included.
    """
    names: set[str] = set()
    texts: list[str] = []
    for opcode, value, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            names.add(str(value).replace(" ", ".", 1))
        elif opcode.name == "STACK_GLOBAL":  # which torch never writes and its restricted reader refuses
            names.add(".".join(texts[-2:]) or "?")
        elif opcode.name in ("EXT1", "EXT2", "EXT4"):
            names.add(f"copyreg extension {value}")
        elif isinstance(value, str):
            texts.append(value)
    return names


def _damaged(path: Path, error: Exception) -> ModelError:
    lines = str(error).splitlines() or [type(error).__name__]
    return ModelError(
        f"{path}: not a torch file that can be read safely, or damaged ({_printable(lines[0])[:150]})",
        "fetch it again, or check where it comes from",
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
