"""Run Hybrid Transformer Demucs with the package demucs (extra `demucs`): its networks with our windows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.demucs import fetch, spec_of
from enhance_cli.models.registry import Entry
from enhance_cli.models.spec import Spec
from enhance_cli.models.windowed_separator import WindowedSeparator

if TYPE_CHECKING:
    from demucs.apply import BagOfModels


class DemucsModel:
    """Separate stems like models.stems.StemModel, without a refiner. `network`: a bag of the package's models."""

    precision = "fp32"
    runtime = "torch"
    process = None

    def __init__(self, spec: Spec, network: "BagOfModels", device: torch.device):
        self.spec, self.device = spec, device
        self.network: Any = network.to(device).eval()  # a bag has lists of networks and numbers beside its parameters

    def windowed(self, stems: Sequence[str], **settings: Any) -> WindowedSeparator:
        """Return the model over windows of waveforms, with the settings of WindowedSeparator."""
        return WindowedSeparator(self, stems, **settings)

    def separate(
        self, mix: Tensor, stems: Sequence[str], sampler: object = None, steps: int = 0, noise: object = None
    ) -> Tensor:
        """Return `stems` (K, B, 2, N) of mix (B, 2, N). Only models of the bag that make one of them are run."""
        from demucs.apply import apply_model

        indices = [self.network.sources.index(stem) for stem in stems]
        total, weight = mix.new_zeros(()), mix.new_zeros(len(indices))
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
