"""Describe the graphs of networks: a wrapper that maps tensors to tensors, examples of inputs, and varying dimensions.

Networks without an entry in SIGNATURES cannot be exported. REASONS tells why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from enhance_cli.audio.spectra import fine_bands_numpy as fine_bands
from enhance_cli.errors import ModelError
from enhance_cli.networks.bridge_unet import BRANCH
from enhance_cli.networks.bridge_unet_stream import BridgeUNetStream
from enhance_cli.networks.deepfilternet import BANDS, FILTERED_BINS, DeepFilterNet
from enhance_cli.networks.ge2e import HOP, N_FFT

WAVES = "it has the Fourier transform and its inverse inside"
SEPARATES = "it separates complex spectra in ways of its own, which only torch runs here"
REASONS = {
    "ap_bwe": WAVES,
    "lavasr": WAVES,
    "storm": "it calls two networks, one of them before sampling",
    "unet1d": "it refines in several calls with noise",
    "ecapa": "its features are made inside, from waves",
    "ecapa_seed": "its features are made inside, from waves",
    "resnet_se34": "its features are made inside, from waves",
    "wespeaker_resnet34": "its features are made inside, from waves",
    "cnn14_decision_level": "its features are made inside, from waves",
    "bs_roformer": SEPARATES,
    "mel_band_roformer": SEPARATES,
    "scnet": SEPARATES,
    "tiger_dnr": SEPARATES,
}


@dataclass(frozen=True)
class Signature:
    """Describe a graph: a module with examples of its inputs, and the dimensions of inputs and outputs that vary.

    `inputs` and `outputs`: for each name a dictionary of axis to the name of that dimension. `multiple`: number of which the
    number of frames is a multiple.
    """

    module: nn.Module
    examples: tuple[Tensor, ...]
    inputs: dict[str, dict[int, str]]
    outputs: dict[str, dict[int, str]]
    multiple: int = 1


class Frames(nn.Module):
    """Wrap DeepFilterNet: erb, spec and the state, one tensor each, to gains, taps, local SNR and the new state."""

    def __init__(self, network: DeepFilterNet):
        super().__init__()
        self.network = network
        self.names = tuple(network.initial_state(1))

    def forward(self, erb: Tensor, spec: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        gains, taps, lsnr, new = self.network(erb, spec, dict(zip(self.names, state)))
        return gains, taps, lsnr, *new.values()


class Spectra(nn.Module):
    """Wrap a network with memory: spectra (B, T, F, 2) and the state, one tensor each, to clean ones and the new state."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network
        self.plain = isinstance(network.initial_state(1), Tensor)  # the state is one tensor, and no dictionary
        self.names = ("memory",) if self.plain else tuple(network.initial_state(1))

    def forward(self, spectra: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        network: Any = self.network
        clean, new = network(spectra, state[0] if self.plain else dict(zip(self.names, state)))
        return (clean, new) if self.plain else (clean, *(new[name] for name in self.names))

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        network: Any = self.network
        state = network.initial_state(batch)
        return {"memory": state} if self.plain else state


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


def _spectrogram_network(network: Any) -> Signature:
    spectrum, times = {0: "batch", 2: "frames"}, {0: "batch"}
    guided = bool(len(getattr(network, "guides", ())))
    if guided and set(network.guides) != {BRANCH}:
        raise ModelError("models that attend to a guide cannot be exported", "use one without, or with a branch for it")
    bins, multiple = getattr(network, "bins", 257), getattr(network, "frames_multiple", 1)
    if getattr(network, "discriminative", False):
        raise ModelError("networks that are called once, without a state, cannot be exported", "use one that samples")
    x, y = torch.randn(2, 2, 2, 64 if multiple == 1 else 3 * multiple, bins).unbind(0)
    inputs = {"x": spectrum, "y": spectrum, "t": times}
    examples: tuple[Tensor, ...] = (x, y, torch.full((2,), 0.5))
    if guided:
        inputs, examples = inputs | {"guide": spectrum}, (*examples, torch.rand(2, 1, x.shape[2]))
    return Signature(network, examples, inputs, {"estimate": spectrum}, multiple)


def _carrying_network(network: Any) -> Signature:
    stream = BridgeUNetStream(network)
    before, times, zeros = network.receptive_field + 16, torch.full((1,), 0.5), torch.zeros(stream.last)
    x, y = torch.randn(2, 1, 2, before + 16, network.BINS).unbind(0)
    with torch.no_grad():
        _, *state = stream(x[:, :, :before], y[:, :, :before], times, zeros[:0], *stream.initial_state())
    inputs = {"x": {2: "frames"}, "y": {2: "frames"}, "t": {}, "behind": {0: "zeros"}}
    inputs |= {f"state.{n}": {2: f"held.{n}"} for n in range(len(state))}
    outputs = {"estimate": {2: "complete"}} | {f"new_state.{n}": {2: f"left.{n}"} for n in range(len(state))}
    examples = x[:, :, before:], y[:, :, before:], times, zeros, *state
    return Signature(stream, examples, inputs, outputs)


def _carrying_facts(network: Any) -> dict[str, Any]:
    """Return the shapes of the state before the first frame, and of the zeros behind the last one."""
    stream = BridgeUNetStream(network)
    return {"state": [list(x.shape) for x in stream.initial_state()], "behind": list(stream.last)}


def _stream_network(network: Any) -> Signature:
    frames, state = Frames(network), network.initial_state(2)
    axes = {f"state.{name}": {1 if name.endswith("gru") else 0: "batch"} for name in state}
    inputs = {"erb": {0: "batch", 1: "frames"}, "spec": {0: "batch", 2: "frames"}, **axes}
    outputs = {name: {0: "batch", 1: "frames"} for name in ("gains", "taps", "lsnr")}
    outputs |= {f"new_{name}": axis for name, axis in axes.items()}
    examples = (torch.randn(2, 48, BANDS), torch.randn(2, 2, 48, FILTERED_BINS), *state.values())
    return Signature(frames, examples, inputs, outputs)


def _memory_network(network: Any) -> Signature:
    spectra = Spectra(network)
    state, axes = spectra.initial_state(2), _batch_axes(spectra)
    inputs = {"spectra": {0: "batch", 1: "frames"}}
    inputs |= {f"state.{name}": {axis: "batch" if each == 1 else f"rows.{name}"} for name, (axis, each) in axes.items()}
    outputs = {"clean": inputs["spectra"]} | {f"new_{name}": inputs[name] for name in inputs if name != "spectra"}
    examples = torch.randn(2, 48, network.n_fft // 2 + 1, 2), *(state[name].contiguous() for name in spectra.names)
    return Signature(spectra, examples, inputs, outputs)


def _batch_axes(spectra: Spectra) -> dict[str, tuple[int, int]]:
    """Return for each tensor of the state its axis that grows with the batch, and the rows of one item."""
    one, two = spectra.initial_state(1), spectra.initial_state(2)
    axes = {}
    for name in spectra.names:
        shapes = list(zip(one[name].shape, two[name].shape))
        axis = next(axis for axis, (before, after) in enumerate(shapes) if before != after)
        axes[name] = axis, shapes[axis][0]
    return axes


def _memory_facts(network: Any) -> dict[str, Any]:
    """Return the transform and the delay of the network, and the state before the first frame.

    Of each tensor of the state: its shape for one item, the axis on which items follow one another, and its values if they
    are not zero.
    """
    spectra = Spectra(network)
    state, axes = spectra.initial_state(1), _batch_axes(spectra)
    started = {
        name: [list(state[name].shape), axes[name][0], state[name].flatten().tolist() if state[name].any() else None]
        for name in spectra.names
    }
    return {key: getattr(network, key) for key in ("n_fft", "hop", "window", "end", "delay")} | {"state": started}


SIGNATURES: dict[str, Callable[[nn.Module], Signature]] = {
    "band_levels": _level_network,
    "bridge_unet": _spectrogram_network,
    "bridge_unet_stream": _carrying_network,
    "copy_up": _level_network,
    "deepfilternet": _stream_network,
    "dpdfnet": _memory_network,
    "fastenhancer": _memory_network,
    "ge2e": _speaker_network,
    "ncsnpp": _spectrogram_network,
    "rdm_mlp": _repair_network,
    "stem_pair": _stem_network,
}
FACTS: dict[str, Callable[[nn.Module], dict[str, Any]]] = {
    "bridge_unet_stream": _carrying_facts,
    "dpdfnet": _memory_facts,
    "fastenhancer": _memory_facts,
    "ge2e": lambda network: {"n_fft": N_FFT, "hop": HOP},
    "stem_pair": _stem_facts,
}


def signature_of(name: str, network: nn.Module) -> Signature:
    """Return the signature of `network`, which the catalogue calls `name`. Raises ModelError for one without."""
    if name not in SIGNATURES:
        reason = REASONS.get(name, "nobody has described its inputs and outputs yet")
        raise ModelError(
            f"models with the network {name} cannot be exported: {reason}", f"those with {', '.join(SIGNATURES)} can"
        )
    return SIGNATURES[name](network)
