"""Convert a foreign checkpoint to a model file: read it with a converter, write safetensors with a header."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from enhance_cli.atomic import replace_file
from enhance_cli.errors import EnhanceError, ModelError, one_line
from enhance_cli.models.convert import CONVERTERS, deepfilternet, fastenhancer
from enhance_cli.models.convert.ap_bwe import is_ap_bwe
from enhance_cli.models.convert.audiosr import is_audiosr
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.lightning import FREQUENCIES
from enhance_cli.models.convert.mel_band_roformer import is_mel_band_roformer
from enhance_cli.models.convert.onnx_graph import has_initializer
from enhance_cli.models.convert.panns import is_panns
from enhance_cli.models.convert.roformer_shapes import is_roformer, weights_of
from enhance_cli.models.convert.scnet import is_scnet
from enhance_cli.models.convert.tiger_dnr import is_tiger_dnr
from enhance_cli.models.spec import Spec, file_sha256

FULL_PRECISION = (FREQUENCIES, "to_time.0.0.weights")  # of time embeddings: a small error turns into a large angle


def convert_file(
    source: Path,
    name: str,
    target: Path,
    *,
    converter: str = "auto",
    licence: str = "unknown",
    origin: dict | None = None,
    half: bool = False,
    extractor_id: str | None = None,
) -> Spec:
    """Write `source` as the model `name` to `target`, atomically, and return its header.

    `origin`: fields for the header (address, revision, restriction of use ...), stored with the source's SHA-256.
    `half`: store half precision, except for the frequencies of the time embedding. `extractor_id`: that of the embeddings
    that the model makes or repairs, where the converter cannot know. Raises ModelError.
    """
    converter = detect(source) if converter == "auto" else converter
    try:
        weights, spec = CONVERTERS[converter](source)
    except EnhanceError:
        raise
    except Exception as error:  # tensors of a stranger's file can have any names, shapes and types
        reason = f"the converter {converter} cannot read it ({one_line(error)[:150]})"
        raise ModelError(f"{source}: {reason}", "choose another --from, or fetch it again") from error
    if extractor_id is not None:
        if not spec.extractor:
            raise ModelError(f"{source}: not a model of speaker embeddings", "leave --extractor out")
        spec = replace(spec, extractor=spec.extractor | {"id": extractor_id})
    provenance = {"converter": converter, "source": source.name, "source_sha256": file_sha256(source)} | (origin or {})
    spec = replace(spec, name=name, licence=licence, training=spec.training | provenance)
    _save(weights, spec, target, half)
    return spec


def detect(source: Path) -> str:
    """Return the name of the converter for a file, judged by its contents. Raises ModelError if there is none."""
    if source.suffix.lower() == ".onnx":
        return "fastenhancer" if has_initializer(source, fastenhancer.PART) else "wespeaker-onnx"
    if deepfilternet.is_archive(source) or deepfilternet.is_zip(source):
        return "deepfilternet"
    found = read(source)
    if is_ap_bwe(found):
        return "ap-bwe"
    if is_audiosr(found):
        return "audiosr"
    if isinstance(found, dict) and isinstance(found.get("model_state"), dict):
        return "resemblyzer"
    weights = weights_of(found)
    if is_roformer(weights):
        return "mel-band-roformer" if is_mel_band_roformer(weights) else "bs-roformer"
    if is_tiger_dnr(weights):
        return "tiger-dnr"
    if is_scnet(weights):
        return "scnet"
    if fastenhancer.is_fastenhancer(found):
        return "fastenhancer"
    if isinstance(found, dict) and found and all(isinstance(v, Tensor) for v in found.values()):
        return next((name for key, name in SIGNATURE_TENSORS.items() if key in found), "speechbrain")
    if is_panns(found):
        return "panns"
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        if "enc.df_fc_emb.0.layers.0.weight" in found["state_dict"]:
            return "dpdfnet"
        prefixes = {str(key).partition(".")[0] for key in found["state_dict"]}
        if any(str(key).startswith(("model.unet.", "net.model.unet.")) for key in found["state_dict"]):
            return "dicose"
        if {"denoiser_net", "score_net"} & prefixes:
            return "storm"
        if "dnn" in prefixes:
            settings = found.get("hyper_parameters")
            return "bbed" if isinstance(settings, dict) and settings.get("sde") == "bbed" else "sgmse"
    raise ModelError(
        f"{source}: no checkpoint of a kind that is known", f"known are {', '.join(CONVERTERS)}; see --from"
    )


SIGNATURE_TENSORS = {
    "model.time_embed.0.weight": "flashsr",
    "audio_block.emb.weight": "flashsr",
    "feature_extractor.mel_spec.mel_scale.fb": "lavasr",
    "time_embed.0.weight": "seed",
    "bn5.weight": "seed",
    "layer1.0.se.fc.0.weight": "seed",
    "__S__.conv1.weight": "seed",
    "mfa.conv.conv.weight": "speechbrain-ecapa",
    "seg_1.weight": "wespeaker",
    "enc.df_fc_emb.0.weight": "deepfilternet",
    "enc.clc_fc_emb.0.weight": "deepfilternet",
    "enc.df_fc_emb.0.layers.0.weight": "dpdfnet",
}
"""Of plain dictionaries: a tensor that only files of one program have."""


def _save(weights: dict[str, Tensor], spec: Spec, target: Path, half: bool) -> None:
    try:
        with replace_file(target) as file:
            _stream(file, weights, spec, half)
    except OSError as error:
        raise ModelError(f"{target}: cannot be written ({error.strerror})", "check the folder and its space") from error


def _stream(file: IO[bytes], weights: dict[str, Tensor], spec: Spec, half: bool) -> None:
    """Write the safetensors format one tensor at a time.

    Memory holds one tensor, however many gigabytes the checkpoint has.
    """
    dtypes = {name: _dtype(name, half) for name in weights}
    header: dict[str, dict[str, Any]] = {"__metadata__": spec.to_metadata()}
    end = 0
    for name, tensor in weights.items():
        begin, end = end, end + tensor.numel() * dtypes[name].itemsize
        dtype = "F16" if dtypes[name] == torch.float16 else "F32"
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            where = spec.training["source"]
            raise ModelError(f"{where}: {name} holds numbers that are not finite", "the checkpoint is damaged")
        plain = tensor.detach().to(dtypes[name]).contiguous().numpy()
        file.write(plain.astype(plain.dtype.newbyteorder("<"), copy=False).data)


def _dtype(name: str, half: bool) -> torch.dtype:
    return torch.float16 if half and not name.endswith(FULL_PRECISION) else torch.float32
