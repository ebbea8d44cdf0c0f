"""Describe and fetch the models of the package demucs (extra `demucs`), without torch.

Weights come from the package's repositories on the Hub as safetensors, and only classes of the package are created from
the names in their headers. (Rouard et al., 2023, "Hybrid transformers for music source separation".)
"""

from pathlib import Path

from enhance_cli.errors import ModelError
from enhance_cli.models.hub import download
from enhance_cli.models.registry import Entry, Source
from enhance_cli.models.spec import Spec, read_spec

PACKAGE = "demucs"
FOUR, SIX = ("drums", "bass", "other", "vocals"), ("drums", "bass", "other", "vocals", "guitar", "piano")
STEMS = {"htdemucs": FOUR, "htdemucs_ft": FOUR, "htdemucs_6s": SIX}
SEGMENT = 7.8  # seconds, as they were trained
CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")


def spec_of(entry: Entry) -> Spec:
    """Return the header of a stem model, from a file or for one of the package's. Raises ModelError."""
    if entry.source is None or entry.source.package != PACKAGE:
        return read_spec(entry.path)
    return Spec(
        name=entry.name,
        network=PACKAGE,
        process="none",
        task=entry.task,
        frontend=None,
        sample_rate=entry.sample_rate,
        normalise="none",
        window_seconds=SEGMENT,
        stems=STEMS[entry.name],
        channels=2,
        complete=True,
        min_steps=0,
        max_steps=0,
        default_steps=0,
        samplers=("none",),
        licence=entry.licence,
    )


def fetch(entry: Entry) -> list[Path]:
    """Return the list of the bag's models and their files, from the Hub or its cache. Raises ModelError."""
    import yaml

    source = entry.source
    assert source is not None and source.file is not None  # as weights.toml has it of all of the package's
    listing = _hub_file(entry, source, source.file)
    names = yaml.safe_load(listing.read_text(encoding="utf-8"))["models"]
    return [listing, *(_weights(entry, source, f"{name}.safetensors") for name in names)]


def _hub_file(entry: Entry, source: Source, file: str) -> Path:
    assert source.repo is not None
    return download.hub_file(source.repo, file, source.revision, entry.name)


def _weights(entry: Entry, source: Source, file: str) -> Path:
    """Return the path of a file of weights. Raises ModelError if its header names a class outside of the package."""
    from safetensors import safe_open

    path = _hub_file(entry, source, file)
    with safe_open(path, framework="numpy") as opened:
        header = opened.metadata() or {}
    if header.get("klass") not in CLASSES or "structure" in header:
        raise ModelError(f"{path}: refused, since it names {header.get('klass')!r}", "it is no model of demucs")
    return path
