"""Find the graphs of shipped networks, or the reason why a model needs torch.

The package has a graph without weights for each network with its arguments.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from enhance_cli.errors import ModelError
from enhance_cli.models import registry
from enhance_cli.models.device import MAX_PARAMETERS_FOR_PARALLEL_WINDOWS, cpu_threads
from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
from enhance_cli.models.graphs.graph import Graph, read_weights
from enhance_cli.models.graphs.header import check_sum
from enhance_cli.models.graphs.model import OnnxModel
from enhance_cli.models.graphs.speakers import SPEAKER_PREDICTION
from enhance_cli.models.spec import Spec, check_sha256, read_spec
from enhance_cli.models.streams import STREAMING_NETWORKS

ModelT = TypeVar("ModelT", bound=OnnxModel)
SAMPLER = "bridge_ode"  # draws no noise
CARRYING = {"bridge_unet": "bridge_unet_stream"}  # graphs by which denoising models run as streams
PLAIN_PREDICTION = {"kind": "data", "input_scaling": "1", "output_scaling": "1", "skip": "0", "out": "1", "time": "t"}


def folder() -> Path:
    return registry.PACKAGE / "checkpoints" / "graphs"


def graph_names(spec: Spec) -> list[str]:
    """Return the names of the graphs of a model (models.graphs.signatures): for denoising, then for windows if others need it.

    Networks whose convolutions carry a state denoise as streams, which are silent before and after the recording. Those without
    a first stage fill gaps as well, in windows.
    """
    silent = (spec.frontend or {}).get("pad_mode", "constant") == "constant"
    if spec.task != "denoise" or spec.network not in CARRYING or not silent:
        return [spec.network]
    return [CARRYING[spec.network], *([] if spec.first_stage else [spec.network])]


def graph_path(spec: Spec, name: str | None = None) -> Path:
    """Return the path of the graph of the model's network, which may not exist. `name`: None for that of windows."""
    described = json.dumps([spec.network, spec.network_args], sort_keys=True)
    return folder() / f"{name or spec.network}-{hashlib.sha256(described.encode()).hexdigest()[:8]}.onnx"


def denoiser_obstacle(spec: Spec, sampler: str | None, guide: str | None) -> str | None:
    """Return why a denoising model needs torch with these settings (None: the model's own), or None if it does not."""
    if not graph_path(spec, graph_names(spec)[0]).is_file():
        return f"{spec.name} has no graph"
    if spec.first_stage and not graph_path(read_spec(registry.find(spec.first_stage, spec.task).path)).is_file():
        return f"{spec.first_stage}, the first stage of {spec.name}, has no graph"
    return sampling_obstacle(spec, sampler, guide)


def sampling_obstacle(spec: Spec, sampler: str | None, guide: str | None) -> str | None:
    """Return why a denoising model with a graph needs torch with these settings, or None if it does not."""
    if spec.choose_guide(guide) != "none":
        return f"{spec.name} takes a guide"
    if spec.process and spec.choose(None, sampler)[1] != SAMPLER:
        return f"the sampler {spec.choose(None, sampler)[1]} draws noise"
    if spec.process and any(spec.prediction.get(name, value) != value for name, value in PLAIN_PREDICTION.items()):
        return f"{spec.name} does not predict the clean signal itself"
    return None


def load_denoiser_graphs(entry: registry.Entry, threads: int | None = None) -> GraphDenoiserModel:
    """Return the denoising model of an entry without obstacles. `threads`: of the CPU.

    Raises ModelError if a file is missing or damaged, or does not fit its graph.
    """
    spec, first = read_spec(entry.path), None
    if entry.path.suffix != ".onnx" and spec.first_stage:
        other = registry.find(spec.first_stage, spec.task)
        first = open_graph(read_spec(other.path), other)  # before the larger one: less is held while it takes its most
    graph = open_graph(spec, entry, threads, graph_names(spec)[0])
    if spec.first_stage:
        return GraphDenoiserModel(spec, graph, first or graph)
    if spec.network in STREAMING_NETWORKS:
        return GraphDenoiserModel(spec, None, graph)
    return GraphDenoiserModel(spec, graph, None)


def load_gap_graph(entry: registry.Entry, threads: int | None = None) -> GraphDenoiserModel:
    """Return the model of an entry without obstacles to fill gaps. Raises as `load_denoiser_graphs`."""
    spec = read_spec(entry.path)
    return GraphDenoiserModel(spec, open_graph(spec, entry, threads), None)


def load_graph(model_class: type[ModelT], entry: registry.Entry, threads: int | None = None) -> ModelT:
    """Return the model of an entry with a single graph and without obstacles. Raises as `load_denoiser_graphs`."""
    spec = read_spec(entry.path)
    return model_class(spec, open_graph(spec, entry, threads), threads)


def inpainter_obstacle(spec: Spec, path: Path, sampler: str | None, strength: float) -> str | None:
    """Return why a model in the file `path` needs torch to fill gaps with these settings, or None if it does not."""
    if not has_graph(spec, path):
        return f"{spec.name} has no graph"
    if strength != 1:
        return "--strength draws noise at its start"
    if not spec.process or spec.first_stage or spec.frames_multiple != 1:
        return f"{spec.name} is sampled in another way"
    return sampling_obstacle(replace(spec, guides=()), sampler, None)


def stem_obstacle(spec: Spec, steps: int | None) -> str | None:
    """Return why a stem model needs torch in so many steps (None: the model's own), or None if it does not."""
    if not graph_path(spec).is_file():
        return f"{spec.name} has no graph"
    return f"{spec.name} refines" if spec.choose(steps, None)[0] else None


def graph_obstacle(entry: registry.Entry) -> str | None:
    """Return why a speaker network or a model for bandwidth needs torch, or None if it does not."""
    return None if has_graph(read_spec(entry.path), entry.path) else f"{entry.name} has no graph"


def repair_obstacle(entry: registry.Entry, draws: int) -> str | None:
    """Return why a model for embeddings needs torch for so many draws of noise, or None if it does not."""
    spec = read_spec(entry.path)
    if not has_graph(spec, entry.path):
        return f"{entry.name} has no graph"
    if draws:
        return "--draws draws noise"
    known = spec.process == "ddpm" and spec.samplers[:1] == ("ddim",) and spec.prediction == SPEAKER_PREDICTION
    return None if known else f"{entry.name} is sampled in another way"


def has_graph(spec: Spec, path: Path) -> bool:
    return path.suffix == ".onnx" or graph_path(spec).is_file()


def open_graph(spec: Spec, entry: registry.Entry, threads: int | None = None, name: str | None = None) -> Graph:
    """Return the graph of the model with this header, with the weights of its file. Raises ModelError.

    `name`: of the graph in the package (`graph_names`), None for that of windows. A large network computes a window with all
    `threads`, a small one with one thread.
    """
    check_sha256(entry.path, entry.sha256)
    if entry.path.suffix == ".onnx":
        large = entry.path.stat().st_size > 4 * MAX_PARAMETERS_FOR_PARALLEL_WINDOWS
        data = entry.path.read_bytes()
        check_sum(data, entry.path)
        return Graph(data, str(entry.path), threads=cpu_threads(threads) if large else 1)
    weights = read_weights(entry.path)
    large = sum(array.size for array in weights.values()) > MAX_PARAMETERS_FOR_PARALLEL_WINDOWS
    path = graph_path(spec, name)
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})", "reinstall enhance-cli") from error
    return Graph(graph, str(entry.path), weights=weights, threads=cpu_threads(threads) if large else 1)
