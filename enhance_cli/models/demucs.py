"""Run Hybrid Transformer Demucs by the package demucs (extra `demucs`): its networks with our windows.

Weights come from the package's repositories on the Hub as safetensors, and only classes of the package are created from
the names in their headers. (Rouard et al., 2023, "Hybrid transformers for music source separation".)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enhance_cli.errors import ModelError
from enhance_cli.models import download
from enhance_cli.models.registry import Entry
from enhance_cli.models.spec import Spec, read_spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from enhance_cli.models.windowed_separator import WindowedSeparator

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


class DemucsModel:
    """Separate stems like models.stems.StemModel, without a refiner. `network`: a bag of the package's models."""

    precision = "fp32"
    runtime = "torch"

    def __init__(self, spec: Spec, network: torch.nn.Module, device: torch.device):
        self.spec, self.device = spec, device
        self.network = network.to(device).eval()

    def windowed(self, stems: Sequence[str], **settings: Any) -> WindowedSeparator:
        """Return what computes windows of waveforms, with the settings of WindowedSeparator."""
        from enhance_cli.models.windowed_separator import WindowedSeparator

        return WindowedSeparator(self, stems, **settings)

    def separate(self, mix: Tensor, stems: Sequence[str], sampler: None, steps: int, noise: None) -> Tensor:
        """Return `stems` (K, B, 2, N) of mix (B, 2, N). Only models of the bag that know one of them are run."""
        from demucs.apply import apply_model

        indices = [self.network.sources.index(stem) for stem in stems]
        total, weight = 0, mix.new_zeros(len(indices))
        for model, weights in zip(self.network.models, self.network.weights):
            wanted = mix.new_tensor([weights[index] for index in indices])
            if wanted.any():
                found = apply_model(model, mix, shifts=0, split=False)[:, indices].transpose(0, 1)
                total, weight = total + wanted[:, None, None, None] * found, weight + wanted
        return total / weight[:, None, None, None]

    def receptive_field(self, steps: int) -> None:
        """Return None: the receptive field is not finite."""


def load_demucs(entry: Entry, device: torch.device) -> DemucsModel:
    """Return the model, fetched if necessary.

    Raises ModelError if the package or the weights are missing, or the file is not the expected one.
    """
    try:
        from demucs.apply import BagOfModels
        from demucs.hf import load_safetensors_model
    except ImportError as error:
        raise ModelError(
            f"{entry.name}: it runs by the package demucs, which is not installed", "pip install 'enhance-cli[demucs]'"
        ) from error
    import yaml

    listing, *paths = fetch(entry)
    bag = yaml.safe_load(listing.read_text(encoding="utf-8"))
    network = BagOfModels([load_safetensors_model(path) for path in paths], bag.get("weights"), bag.get("segment"))
    spec = spec_of(entry)
    if tuple(network.sources) != spec.stems or network.samplerate != spec.sample_rate:
        raise ModelError(f"{entry.name}: the fetched model has the stems {', '.join(network.sources)}", "report this")
    return DemucsModel(spec, network, device)


def fetch(entry: Entry) -> list[Path]:
    """Return the list of the bag's models and their files, from the Hub or its cache. Raises ModelError."""
    import yaml

    listing = download.hub_file(entry.source.repo, entry.source.file, entry.source.revision, entry.name)
    return [
        listing,
        *(
            _weights(entry, f"{name}.safetensors")
            for name in yaml.safe_load(listing.read_text(encoding="utf-8"))["models"]
        ),
    ]


def _weights(entry: Entry, file: str) -> Path:
    """Return the path of a file of weights. Raises ModelError if its header names a class outside of the package."""
    from safetensors import safe_open

    path = download.hub_file(entry.source.repo, file, entry.source.revision, entry.name)
    with safe_open(path, framework="numpy") as opened:
        header = opened.metadata() or {}
    if header.get("klass") not in CLASSES or "structure" in header:
        raise ModelError(f"{path}: refused, since it names {header.get('klass')!r}", "it is no model of demucs")
    return path
