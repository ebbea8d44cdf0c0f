"""Group the flags that commands share in dataclasses, which the decorator `grouped` expands into flags."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any, get_type_hints

from enhance_cli import flags

# Comparing and printing are left out of these dataclasses: nobody does it, and making them delays `enhance --help`.


@dataclass(frozen=True, repr=False, eq=False)
class FileFlags:
    """Select files: the panel "Files"."""

    recursive: flags.Recursive = False
    shard: flags.Shard = None
    retry_failed: flags.RetryFailed = None


@dataclass(frozen=True, repr=False, eq=False)
class AudioFileFlags(FileFlags):
    """Select files, and the part of each to process."""

    start: flags.Start = 0.0
    duration: flags.Duration = None
    track: flags.Track = None
    channel: flags.Channel = None


@dataclass(frozen=True, repr=False, eq=False)
class WatchFlags:
    """Watch a folder, in the panel "Files"."""

    watch: flags.Watch = None
    settle: flags.Settle = 3.0


@dataclass(frozen=True, repr=False, eq=False)
class OutputFlags:
    """Set the outputs: the panel "Output"."""

    output: flags.Output = None
    name: flags.NameTemplate = None
    existing: flags.OnExisting = flags.Existing.skip


@dataclass(frozen=True, repr=False, eq=False)
class AudioOutputFlags(OutputFlags):
    """Set the outputs for audio, and its format."""

    format: flags.Format = None
    bit_depth: flags.Bits = None
    dither: flags.DitherChoice = flags.Dither.tpdf
    sample_rate: flags.SampleRate = None
    loudness: flags.Loudness = "keep"
    true_peak: flags.TruePeak = -1.0
    keep_original: flags.KeepOriginal = False
    plot: flags.Plot = False
    page: flags.Page = None
    page_embed: flags.PageEmbed = False


@dataclass(frozen=True, repr=False, eq=False)
class StemOutputFlags(AudioOutputFlags):
    """Set the outputs for the stems of a mix, and their format."""

    name: flags.PartTemplate = None


@dataclass(frozen=True, repr=False, eq=False)
class WideOutputFlags(AudioOutputFlags):
    """Set the outputs for recordings with a wider band, and their format."""

    sample_rate: flags.WideRate = None


@dataclass(frozen=True, repr=False, eq=False)
class VectorOutputFlags(OutputFlags):
    """Set the outputs for speaker embeddings, and their format."""

    format: flags.VectorFormat = None


@dataclass(frozen=True, repr=False, eq=False)
class Running:
    """Set where and how to run, and the messages: the panel "Running"."""

    device: flags.Device = "auto"
    precision: flags.Precision = "auto"
    runtime: flags.RuntimeChoice = flags.Runtime.auto
    threads: flags.Threads = None
    workers: flags.Workers = None
    engine: flags.EngineChoice = flags.Engine.local
    ray_address: flags.RayAddress = None
    dry_run: flags.DryRun = False
    json: flags.Json = False
    report: flags.ReportFile = None
    progress: flags.ProgressChoice = flags.Progress.auto
    quiet: flags.Quiet = False
    verbose: flags.Verbose = False

    @property
    def resources(self) -> dict[str, Any]:
        """Return the arguments of a WorkerSpec that are about the device and the runtime."""
        return {
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "runtime": self.runtime.value,
        }

    @property
    def measures(self) -> bool:
        """Tell whether somebody will read the loudness of inputs and outputs."""
        return bool(self.json or self.report or self.verbose)


@dataclass(frozen=True, repr=False, eq=False)
class SamplerFlags:
    """Set how a sampler goes: the panel "Expert". The first two are for SGMSE's predictor-corrector."""

    corrector_steps: flags.CorrectorSteps = None
    snr: flags.Snr = None
    sampler_start: flags.SamplerStart = None
    sdedit: flags.SDEdit = None

    @property
    def sampler_args(self) -> dict[str, float]:
        """Return the settings that were given, by the names that samplers have for them."""
        given = {
            "corrector_steps": self.corrector_steps,
            "snr": self.snr,
            "start": self.sampler_start,
            "strength": self.sdedit,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, repr=False, eq=False)
class TrainingFlags:
    """Hold the flags of `train` and `distill`."""

    data: flags.Data = Path(".")
    run: flags.RunFolder = None
    cache: flags.PackedAudio = None
    settings: flags.Settings = None
    device: flags.Device = "auto"
    threads: flags.Threads = None
    dry_run: flags.DryTraining = False
    quiet: flags.Quiet = False
    verbose: flags.Verbose = False


def grouped(command: Callable) -> Callable:
    """Return `command` with each parameter that is a dataclass of flags replaced by the fields of that dataclass.

    Typer then sees one flag a field, in order. The dataclasses are built from the values when the command is called.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY))
            continue
        types = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name])
            for field in fields(groups[name])
        ]

    @wraps(command)
    def expanded(**values: Any) -> Any:
        packed = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return command(**packed, **values)

    del expanded.__wrapped__
    vars(expanded)["__signature__"] = inspect.Signature(parameters)
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded
