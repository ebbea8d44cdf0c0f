"""Make ONNX graphs of networks, by torch's exporter and the package onnx. Nothing else needs these to run a graph.

The graph of a shipped network has no weights. Its initializers are named as the weights of the model's file, and
ONNX Runtime is given those (models.graphs.graph).
"""

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from enhance_cli.audio import fine_bands_numpy as fine_bands
from enhance_cli.errors import ModelError
from enhance_cli.models.graphs.graph import FACTS_KEY
from enhance_cli.networks.deepfilternet import BANDS, FILTERED_BINS, DeepFilterNet
from enhance_cli.networks.ge2e import HOP, N_FFT

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
PREFIX = "network."  # of weights inside a wrapper


@dataclass(frozen=True)
class Signature:
    """Describe a graph: a module with examples of its inputs, and the dimensions of inputs and outputs that vary.

    `inputs` and `outputs`: for each name a dictionary of axis to the name of that dimension.
    """

    module: nn.Module
    examples: tuple[Tensor, ...]
    inputs: dict[str, dict[int, str]]
    outputs: dict[str, dict[int, str]]


class Frames(nn.Module):
    """Wrap DeepFilterNet: erb, spec and the state, one tensor each, to gains, taps, local SNR and the new state."""

    def __init__(self, network: DeepFilterNet):
        super().__init__()
        self.network = network
        self.names = tuple(network.initial_state(1))

    def forward(self, erb: Tensor, spec: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        gains, taps, lsnr, new = self.network(erb, spec, dict(zip(self.names, state)))
        return gains, taps, lsnr, *new.values()


class Masks(nn.Module):
    """Wrap the extractor of a stem model that makes masks for all stems at once: spectrum to masks, parts in the last axis."""

    def __init__(self, pair: Any):
        super().__init__()
        self.network = pair

    def forward(self, spectrum: Tensor) -> Tensor:
        extractor: Any = self.network.extractor
        return extractor.real_masks(spectrum)


def _stem_network(network: Any) -> Signature:
    if network.refiner is not None or not hasattr(network.extractor, "real_masks"):
        raise ModelError("stem models that refine, or make one stem at a time, cannot be exported", "use stems-s")
    spectrum = torch.randn(2, 16, network.extractor.n_fft // 2 + 1, 2)
    axes = {0: "batch", 1: "frames"}
    return Signature(Masks(network), (spectrum,), {"spectrum": axes}, {"masks": {0: "batch", 2: "frames"}})


def _stem_facts(network: Any) -> dict[str, Any]:
    extractor = network.extractor
    return {"receptive_field": network.receptive_field(0), "n_fft": extractor.n_fft, "hop": extractor.hop}


class PowerToEmbedding(nn.Module):
    """Wrap GE2E without its Fourier transform: power spectra (B, T, F) to embeddings."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, power: Tensor) -> Tensor:
        network: Any = self.network
        return network.from_features(power @ network.filters)


class Repair(nn.Module):
    """Wrap a network for embeddings: the state (B, D) at one time (1,) to its output."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.network(x, None, t)


def _speaker_network(network: Any) -> Signature:
    axes = {"power": {0: "batch", 1: "frames"}}
    return Signature(PowerToEmbedding(network), (torch.rand(2, 60, N_FFT // 2 + 1),), axes, {"embedding": {0: "batch"}})


def _repair_network(network: Any) -> Signature:
    x = torch.randn(3, network.out[-1].out_features)
    batch: dict[int, str] = {0: "batch"}
    return Signature(Repair(network), (x, torch.tensor([50.0])), {"x": batch, "t": {}}, {"output": batch})


def _level_network(network: Any) -> Signature:
    levels, known = 20 * torch.randn(2, fine_bands.BANDS, 48) - 40, torch.tensor([20, 33])
    of_levels = {0: "batch", 2: "frames"}
    inputs = {"levels": of_levels, "known": {0: "batch"}}
    return Signature(network, (levels, known), inputs, {"made": of_levels, "peaks": of_levels})


def _spectrogram_network(network: nn.Module) -> Signature:
    spectrum, times = {0: "batch", 2: "frames"}, {0: "batch"}
    bins = getattr(network, "BINS", 257)
    x, y = torch.randn(2, 2, 2, 64, bins).unbind(0)
    return Signature(
        network, (x, y, torch.full((2,), 0.5)), {"x": spectrum, "y": spectrum, "t": times}, {"estimate": spectrum}
    )


def _stream_network(network: Any) -> Signature:
    frames, state = Frames(network), network.initial_state(2)
    axes = {f"state.{name}": {1 if name.endswith("gru") else 0: "batch"} for name in state}
    inputs = {"erb": {0: "batch", 1: "frames"}, "spec": {0: "batch", 2: "frames"}, **axes}
    outputs = {name: {0: "batch", 1: "frames"} for name in ("gains", "taps", "lsnr")}
    outputs |= {f"new_{name}": axis for name, axis in axes.items()}
    examples = (torch.randn(2, 48, BANDS), torch.randn(2, 2, 48, FILTERED_BINS), *state.values())
    return Signature(frames, examples, inputs, outputs)


SIGNATURES: dict[str, Callable[[nn.Module], Signature]] = {
    "band_levels": _level_network,
    "bridge_unet": _spectrogram_network,
    "copy_up": _level_network,
    "deepfilternet": _stream_network,
    "ge2e": _speaker_network,
    "rdm_mlp": _repair_network,
    "stem_pair": _stem_network,
}
FACTS: dict[str, Callable[[nn.Module], dict[str, Any]]] = {
    "ge2e": lambda network: {"n_fft": N_FFT, "hop": HOP},
    "stem_pair": _stem_facts,
}


def signature_of(name: str, network: nn.Module) -> Signature:
    """Return the signature of `network`, which the catalogue calls `name`. Raises ModelError for one without."""
    if name not in SIGNATURES:
        raise ModelError(
            f"models with the network {name} cannot be exported: nobody has described its inputs and outputs yet",
            f"those with {', '.join(SIGNATURES)} can",
        )
    return SIGNATURES[name](network)


def graph_of(name: str, network: nn.Module, *, weights: bool) -> "ModelProto":
    """Return the graph of `network`, which the catalogue calls `name`.

    `weights`: keep them in the graph. Raises ModelError for a network that has no graph, and without the package onnx.
    """
    onnx = import_onnx()
    signature = signature_of(name, network)
    buffer: Any = io.BytesIO()  # which the exporter takes, though it does not say so
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            signature.module.eval(), signature.examples, buffer, dynamo=False, opset_version=OPSET,
            input_names=list(signature.inputs), output_names=list(signature.outputs),
            dynamic_axes=signature.inputs | signature.outputs, do_constant_folding=weights,
            training=torch.onnx.TrainingMode.EVAL if weights else torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip
    graph = onnx.load_from_string(buffer.getvalue())
    _rename(graph, network)
    receptive_field = getattr(network, "receptive_field", None)
    facts = {
        "network": name,
        "opset": OPSET,
        "receptive_field": receptive_field if isinstance(receptive_field, int) else None,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    if name in FACTS:
        facts |= FACTS[name](network)
    onnx.helper.set_model_props(graph, {FACTS_KEY: json.dumps(facts)})
    return graph if weights else _emptied(graph, set(network.state_dict()))


def _rename(graph: "ModelProto", network: nn.Module) -> None:
    """Name the weights as the network does, without the prefix of a wrapper, and drop the descriptions."""
    del graph.graph.value_info[:]
    graph.doc_string = ""
    for initializer in graph.graph.initializer:
        initializer.name = initializer.name.removeprefix(PREFIX)
    for node in graph.graph.node:
        node.doc_string = ""
        for index, name in enumerate(node.input):
            node.input[index] = name.removeprefix(PREFIX)


def _emptied(graph: "ModelProto", names: set[str]) -> "ModelProto":
    """Take the named weights out of the graph. Their places say that they lie in another file."""
    from onnx import TensorProto

    for initializer in graph.graph.initializer:
        if initializer.name in names:
            initializer.ClearField("raw_data")
            initializer.data_location = TensorProto.EXTERNAL
            initializer.external_data.add(key="location", value="weights")
    return graph


def import_onnx() -> ModuleType:
    """Return the package onnx. Raises ModelError without it."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError("making a graph needs the package onnx", "pip install 'enhance-cli[onnx]'") from error
    return onnx
