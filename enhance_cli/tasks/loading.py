"""Load the object that performs a task, for commands, their worker processes and the Python API.

The functions for commands also return the fields that it adds to records. All functions raise ModelError for a model that is
missing or damaged, and UsageError for a device, a precision or options that are not possible. torch is only imported for models
that run on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enhance_cli.resources import Resources
from enhance_cli.tasks.options import DenoiseOptions, ExtendOptions, InpaintOptions, PipelineOptions, StemOptions

if TYPE_CHECKING:
    from enhance_cli.models.demucs_model import DemucsModel
    from enhance_cli.models.graphs.denoiser import GraphDenoiserModel
    from enhance_cli.models.graphs.extender import GraphExtenderModel
    from enhance_cli.models.graphs.speakers import GraphRepairModel
    from enhance_cli.models.graphs.stems import GraphStemModel
    from enhance_cli.models.load import Model
    from enhance_cli.models.registry import Entry
    from enhance_cli.models.stems import StemModel
    from enhance_cli.tasks.denoise import Denoiser
    from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline
    from enhance_cli.tasks.extend_bandwidth import BandwidthExtender
    from enhance_cli.tasks.extract_stem import StemExtractor
    from enhance_cli.tasks.inpaint import Inpainter


def load_denoiser(entry: Entry, options: DenoiseOptions, resources: Resources) -> tuple[Denoiser, dict[str, Any]]:
    """Return the Denoiser of the model `entry`."""
    from enhance_cli.models import registry
    from enhance_cli.tasks.denoise import Denoiser

    model = load_denoiser_model(entry, options.sampler, options.guide, resources)
    facts = facts_of(entry, model)
    if model.spec.first_stage and entry.path.suffix != ".onnx":  # such a file holds both stages
        first = registry.find(model.spec.first_stage, model.spec.task)
        facts["first_stage"] = f"{model.spec.first_stage}@{first.sha256}"
    return Denoiser(model, replace(options, threads=resources.threads)), facts


def load_denoiser_model(
    entry: Entry, sampler: str | None, guide: str | None, resources: Resources
) -> Model | GraphDenoiserModel:
    """Return the denoising model `entry`. `sampler` and `guide` decide whether ONNX Runtime can run it."""
    from enhance_cli.models.graphs.packaged import denoiser_obstacle, load_denoiser_graphs, sampling_obstacle
    from enhance_cli.models.spec import read_spec

    spec = read_spec(entry.path)
    find_obstacle = sampling_obstacle if entry.path.suffix == ".onnx" else denoiser_obstacle
    if _runs_by_onnx(entry, resources, find_obstacle(spec, sampler, guide)):
        return load_denoiser_graphs(entry, resources.threads)
    from enhance_cli.models.streams import STREAMING_NETWORKS

    # A stream is computed a few frames at a time, and a GPU would spend its time waiting.
    return _load_by_torch(entry, resources, on_cpu=spec.network in STREAMING_NETWORKS)


def load_bandwidth_extender(
    entry: Entry, options: ExtendOptions, resources: Resources
) -> tuple[BandwidthExtender, dict[str, Any]]:
    """Return the BandwidthExtender of the model `entry`."""
    from enhance_cli.tasks.extend_bandwidth import BandwidthExtender

    model = load_extender_model(entry, resources)
    extender = BandwidthExtender(model, replace(options, threads=resources.threads))
    facts = facts_of(entry, model)
    if model.spec.samplers:
        facts |= {"sampler": model.spec.samplers[0], "sampler_args": extender.windowed.settings}
    return extender, facts


def load_extender_model(entry: Entry, resources: Resources) -> Model | GraphExtenderModel:
    """Return the model for bandwidth `entry`."""
    from enhance_cli.models.graphs.extender import GraphExtenderModel
    from enhance_cli.models.graphs.packaged import graph_obstacle, load_graph

    if _runs_by_onnx(entry, resources, graph_obstacle(entry)):
        return load_graph(GraphExtenderModel, entry, resources.threads)
    return _load_by_torch(entry, resources)


def load_inpainter(
    entry: Entry | None, options: InpaintOptions, resources: Resources
) -> tuple[Inpainter, dict[str, Any]]:
    """Return the Inpainter, with the model `entry` for long gaps. Without one, only NumPy on a CPU is needed."""
    from enhance_cli.tasks.inpaint import Inpainter

    options = replace(options, threads=resources.threads)
    if entry is None:
        return Inpainter(options), {"runtime": "numpy", "device": "cpu", "precision": "fp64"}
    from enhance_cli.tasks.gap_model import GapModel

    model = load_gap_model(entry, options.sampler, options.strength, resources)
    return Inpainter(options, GapModel.of(model, options)), facts_of(entry, model)


def load_gap_model(
    entry: Entry, sampler: str | None, strength: float, resources: Resources
) -> Model | GraphDenoiserModel:
    """Return the model for gaps `entry`. `sampler` and `strength` decide whether ONNX Runtime can run it."""
    from enhance_cli.models.graphs.packaged import inpainter_obstacle, load_gap_graph
    from enhance_cli.models.spec import read_spec

    if _runs_by_onnx(entry, resources, inpainter_obstacle(read_spec(entry.path), entry.path, sampler, strength)):
        return load_gap_graph(entry, resources.threads)
    return _load_by_torch(entry, resources, limit_threads=True)


def load_stem_extractor(
    entry: Entry, options: StemOptions, resources: Resources
) -> tuple[StemExtractor, dict[str, Any]]:
    """Return the StemExtractor of the model `entry`."""
    from enhance_cli.tasks.extract_stem import StemExtractor

    model = load_stem_model(entry, options.steps, resources)
    extractor = StemExtractor(model, replace(options, threads=resources.threads))
    facts = facts_of(entry, model)
    windowed = extractor.windowed
    if windowed.steps:
        facts |= {"sampler": windowed.sampler, "sampler_args": {"sigma": windowed.sigma} if windowed.sigma else {}}
    return extractor, facts


def load_stem_model(entry: Entry, steps: int | None, resources: Resources) -> StemModel | DemucsModel | GraphStemModel:
    """Return the stem model `entry`. `steps` decides whether ONNX Runtime can run it."""
    from enhance_cli.models.demucs import spec_of
    from enhance_cli.models.graphs.packaged import load_graph, stem_obstacle
    from enhance_cli.models.graphs.stems import GraphStemModel

    obstacle = None if entry.path.suffix == ".onnx" else stem_obstacle(spec_of(entry), steps)
    if _runs_by_onnx(entry, resources, obstacle):
        return load_graph(GraphStemModel, entry, resources.threads)
    device, precision = _torch_device(resources)
    from enhance_cli.models.stems import load_stems

    return load_stems(entry, device, precision)


def load_embedding_pipeline(
    entry: Entry, options: PipelineOptions, resources: Resources
) -> tuple[EmbeddingPipeline, dict[str, Any]]:
    """Return the EmbeddingPipeline of the repair model `entry`."""
    from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline

    model = load_repair_model(entry, options.repair.draws, resources)
    pipeline = EmbeddingPipeline(model, options.repair, options.extractor, options.embed)
    if options.recordings:
        pipeline.load_extractor()
    facts = facts_of(entry, model)
    facts |= {"extractor": pipeline.extractor_id, "steps": pipeline.repairer.steps}
    return pipeline, facts | {"sampler": model.spec.samplers[0]}


def load_repair_model(entry: Entry, draws: int, resources: Resources) -> Model | GraphRepairModel:
    """Return the repair model `entry`. `draws` decides whether ONNX Runtime can run it."""
    from enhance_cli.models.graphs.packaged import load_graph, repair_obstacle
    from enhance_cli.models.graphs.speakers import GraphRepairModel

    if _runs_by_onnx(entry, resources, repair_obstacle(entry, draws)):
        return load_graph(GraphRepairModel, entry, resources.threads)
    return _load_by_torch(entry, resources, limit_threads=True)


def facts_of(entry: Entry, model: Any) -> dict[str, Any]:
    """Return the fields of records about a loaded model."""
    where = {"runtime": model.runtime, "device": str(model.device), "precision": model.precision}
    return {"revision": entry.sha256, **where}


def _runs_by_onnx(entry: Entry, resources: Resources, obstacle: str | None) -> bool:
    """Return whether ONNX Runtime runs the model. `obstacle`: reason why it cannot, or None."""
    from enhance_cli.models.runtime import runtime_of

    device, precision = resources.device, resources.precision
    return runtime_of(entry.path, resources.runtime, device=device, precision=precision, obstacle=obstacle) == "onnx"


def _load_by_torch(entry: Entry, resources: Resources, *, on_cpu: bool = False, limit_threads: bool = False) -> Model:
    """Return the model in the chosen precision on the chosen device, or in fp32 `on_cpu`.

    `limit_threads`: of torch in this process. Models that run in threads of their own (tasks.engine) limit them there.
    """
    device, precision = _torch_device(resources)
    if on_cpu:
        device, precision = _torch_device(Resources(device="cpu", precision="fp32"))
    from enhance_cli.models.device import set_threads
    from enhance_cli.models.load import load_file

    model = load_file(entry.path, device, precision, entry.sha256)
    if limit_threads:
        set_threads(resources.threads)
    return model


def _torch_device(resources: Resources) -> tuple[Any, str]:
    """Return the torch.device and the precision. Raises ModelError, with the remedy, if torch cannot be imported."""
    from enhance_cli.models.device import pick_device, pick_precision

    device = pick_device(resources.device)
    return device, pick_precision(resources.precision, device)
