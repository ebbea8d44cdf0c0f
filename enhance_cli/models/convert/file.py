"""A foreign checkpoint becomes a model file of ours: read by a converter, written as safetensors with a header."""

import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import CONVERTERS
from enhance_cli.models.convert.lightning import FREQUENCIES
from enhance_cli.models.convert.pickles import read
from enhance_cli.models.spec import Spec, file_sha256


def convert_file(
    source: Path,
    name: str,
    target: Path,
    converter: str = "auto",
    licence: str = "unknown",
    origin: dict | None = None,
    half: bool = False,
) -> Spec:
    """Write `source` as the model `name` to `target`, all at once, and return its header.

    `origin` (address, revision, restriction of use ...) goes into the header with the source's SHA-256. `half` halves the
    file; the frequencies of the time embedding stay in single precision. Raises ModelError.
    """
    converter = detect(source) if converter == "auto" else converter
    weights, spec = CONVERTERS[converter](source)
    provenance = {"converter": converter, "source": source.name, "source_sha256": file_sha256(source)} | (origin or {})
    spec = replace(spec, name=name, licence=licence, training=spec.training | provenance)
    _save({key: _stored(key, tensor, half) for key, tensor in weights.items()}, spec, target)
    return spec


def detect(source: Path) -> str:
    """The converter for a file, from what it holds. Raises ModelError."""
    found = read(source)
    if isinstance(found, dict) and found and all(isinstance(v, Tensor) for v in found.values()):
        return "speechbrain"
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        prefixes = {str(key).partition(".")[0] for key in found["state_dict"]}
        if {"denoiser_net", "score_net"} & prefixes:
            return "storm"
        if "dnn" in prefixes:
            settings = found.get("hyper_parameters")
            return "bbed" if isinstance(settings, dict) and settings.get("sde") == "bbed" else "sgmse"
    raise ModelError(
        f"{source}: no checkpoint of a kind that is known", f"known are {', '.join(CONVERTERS)}; see --from"
    )


def _save(weights: dict[str, Tensor], spec: Spec, target: Path) -> None:
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        try:
            mode = part.stat().st_mode  # safetensors makes files that only their owner may read
            save_file(weights, part, metadata=spec.to_metadata())
            part.chmod(mode)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{target}: cannot be written ({reason})", "check the folder and its space") from error


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    """A copy of its own, in the precision of the file."""
    if not torch.isfinite(tensor).all():
        raise ModelError(f"{name} holds numbers that are not finite", "the checkpoint is damaged")
    dtype = torch.float16 if half and not name.endswith(FREQUENCIES) else torch.float32
    return tensor.detach().to(dtype).clone(memory_format=torch.contiguous_format)
