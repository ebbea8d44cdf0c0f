"""Export a model as one .onnx file: its networks, the header, and the constants of front end and sampler as metadata.

Metadata are JSON:

    enhance           the header of a model file (models.spec)
    enhance.graph     facts about the networks
    enhance.frontend  the settings of the spectrogram (audio.spectra.stft), for networks that run in windows
    enhance.sampler   for each number of steps a list of [time of the call, [weight of x, of the estimate, of y]],
                      with null for a step whose estimate is the result (samplers.bridge_ode)
    enhance.sha256    of all other bytes of the file, so that a damaged one is refused

A model with a first stage has both networks in one graph, which share no tensor. The inputs of the one that is not
wanted are given one frame of zeros.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from enhance_cli.atomic import replace_file
from enhance_cli.audio.spectra.stft_numpy import NumpyFrontend
from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models import registry
from enhance_cli.models.graphs.export import graph_of, import_onnx
from enhance_cli.models.graphs.graph import FACTS_KEY, Graph
from enhance_cli.models.graphs.header import NO_SUM, SUM_KEY, with_sum
from enhance_cli.models.graphs.signatures import Signature, signature_of
from enhance_cli.models.spec import Spec
from enhance_cli.models.weights import load_network
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import PAIRINGS
from enhance_cli.samplers.bridge_ode import schedule

if TYPE_CHECKING:
    from onnx import ModelProto

SAMPLER = "bridge_ode"
MAX_DIFFERENCE = 1e-4  # of outputs that reach 1 or more


def export_model(entry: registry.Entry, output: Path, steps: Sequence[int] = ()) -> tuple[Spec, float]:
    """Write the model `entry` to the .onnx file `output`.

    Args:
        entry: a model with weights.
        output: the file, which appears whole or not at all.
        steps: numbers of steps that the file allows, by default all that the model allows.

    Returns the header, and the largest difference between the outputs of both runtimes for random inputs. Raises
    ModelError for a model that cannot be exported, UsageError for steps that it does not have.
    """
    if entry.path.suffix == ".onnx" or (entry.source and entry.source.package):
        raise ModelError(f"{entry.name}: there is no model file that could be exported", "name a .safetensors file")
    spec, network = load_network(entry.path, entry.sha256)
    graph, networks = graph_of(spec.network, network, weights=True), [(spec.network, network)]
    if spec.first_stage:
        first = registry.find(spec.first_stage, spec.task)
        other, extractor = load_network(first.path, first.sha256)
        networks.append((other.network, extractor))
        graph = _beside(graph, graph_of(other.network, extractor, weights=True))
    spec, metadata = _described(spec, graph, steps)
    import_onnx().helper.set_model_props(graph, metadata | {SUM_KEY: NO_SUM})
    data = with_sum(graph.SerializeToString(deterministic=True))
    session = Graph(data, str(output))
    difference = max(_difference(session, signature_of(name, network)) for name, network in networks)
    if not difference < MAX_DIFFERENCE:
        raise ModelError(
            f"{entry.name}: the graph differs from torch by {difference:.1e}", "use another version of torch"
        )
    try:
        with replace_file(output) as file:
            file.write(data)
    except OSError as error:
        raise ModelError(f"{output}: cannot be written ({error.strerror})", "choose another place with -o") from error
    return spec, difference


def _described(spec: Spec, graph: "ModelProto", steps: Sequence[int]) -> tuple[Spec, dict[str, str]]:
    """Return the header for the steps that the file allows, and all metadata."""
    metadata = {item.key: item.value for item in graph.metadata_props if item.key == FACTS_KEY}
    if spec.frontend is not None:
        metadata["enhance.frontend"] = json.dumps(asdict(NumpyFrontend(**spec.frontend)))
    if spec.process in PAIRINGS[SAMPLER] and spec.max_steps and SAMPLER in spec.samplers:
        for count in steps:
            spec.choose(count, SAMPLER)
        allowed = sorted(set(steps)) or list(range(spec.min_steps, spec.max_steps + 1))
        process: Any = PROCESSES[spec.process](**spec.process_args)
        settings = spec.sampler_args.get(SAMPLER, {})
        weights = {count: schedule(process, count, **settings) for count in allowed}
        metadata["enhance.sampler"] = json.dumps(weights)
        default = spec.default_steps if spec.default_steps in allowed else allowed[0]
        spec = replace(spec, min_steps=allowed[0], max_steps=allowed[-1], default_steps=default, samplers=(SAMPLER,))
    elif steps:
        raise UsageError(f"--steps: {spec.name} has no sampler that can be exported", "leave it out")
    return spec, metadata | spec.to_metadata()


def _beside(graph: "ModelProto", other: "ModelProto") -> "ModelProto":
    """Return one graph with both networks, and the metadata of the first."""
    from onnx import compose

    facts = list(graph.metadata_props)
    del graph.metadata_props[:], other.metadata_props[:]
    other = compose.add_prefix(other, "first_stage/", rename_inputs=False, rename_outputs=False)
    both = compose.merge_models(graph, other, io_map=[])
    both.metadata_props.extend(facts)
    return both


def _difference(graph: Graph, signature: Signature) -> float:
    """Return the largest difference between the graph and torch, for other sizes than those it was made with."""
    examples = [
        _part(example, axes, signature.multiple)
        for example, axes in zip(signature.examples, signature.inputs.values(), strict=True)
    ]
    with torch.inference_mode():
        wanted = signature.module(*examples)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    names = list(signature.outputs)
    found = graph.run(names, {name: x.numpy() for name, x in zip(signature.inputs, examples)})
    return float(max(np.abs(a - b.numpy()).max() for a, b in zip(found, wanted)))


def _part(example: torch.Tensor, axes: dict[int, str], multiple: int) -> torch.Tensor:
    """Return one item of the batch of two, with two thirds of the frames, a multiple of `multiple`."""
    for axis, name in axes.items():
        half = name != "frames"
        size = example.shape[axis] // 2 if half else example.shape[axis] * 2 // 3 // multiple * multiple
        example = example.narrow(axis, 0, size)
    return example.contiguous()
