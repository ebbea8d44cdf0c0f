"""Define the flags of the panel "Running": the device, the processes, reports and messages."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

from enhance_cli.flags.panel import RUNNING, option
from enhance_cli.resources import Resources


class Runtime(str, Enum):
    auto = "auto"
    onnx = "onnx"
    torch = "torch"


class Engine(str, Enum):
    local = "local"
    ray = "ray"


class Progress(str, Enum):
    auto = "auto"
    lines = "lines"
    json = "json"
    none = "none"


Device = Annotated[str, option(RUNNING, "--device", "-d", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str, option(RUNNING, help="auto, fp32 (on a GPU without TF32), bf16 or fp16.")]
RuntimeChoice = Annotated[
    Runtime,
    option(RUNNING, help="auto: on CPUs onnx, which starts faster, if the model allows it, else torch."),
]
BatchSize = Annotated[str, option(RUNNING, metavar="auto|N", help="Windows run at once on a GPU.")]
Threads = Annotated[
    int | None, option(RUNNING, min=1, help="CPU threads of each process.", show_default="all cores, shared out")
]
Quiet = Annotated[bool, option(RUNNING, "--quiet/--no-quiet", "-q", help="Print only errors.")]
Verbose = Annotated[bool, option(RUNNING, "--verbose/--no-verbose", "-v", help="Print more; tracebacks with errors.")]
Config = Annotated[
    Path | None,
    option(
        RUNNING,
        metavar="FILE.toml",
        envvar="ENHANCE_CONFIG",
        help="Settings file.",
        show_default="yours, see `enhance config path`",
    ),
]
Preset = Annotated[
    list[str] | None,
    option(RUNNING, metavar="NAME,...", help="podcast, broadcast, dataset, gentle, or one of the settings file."),
]


@dataclass(frozen=True, repr=False, eq=False)
class Running:
    """Set where and how to run, and the messages."""

    device: Device = "auto"
    precision: Precision = "auto"
    runtime: RuntimeChoice = Runtime.auto
    threads: Threads = None
    workers: Annotated[
        int | None, option(RUNNING, min=1, help="Processes that share the files.", show_default="one for each GPU")
    ] = None
    engine: Annotated[Engine, option(RUNNING, help="Run on this machine, or on a Ray cluster (pip extra: ray).")] = (
        Engine.local
    )
    ray_address: Annotated[
        str | None,
        option(RUNNING, metavar="HOST:PORT", help="Address of the Ray cluster.", show_default="RAY_ADDRESS, or here"),
    ] = None
    dry_run: Annotated[
        bool, option(RUNNING, "--dry-run", help="Check everything and list the outputs; write nothing.")
    ] = False
    json: Annotated[bool, option(RUNNING, "--json/--no-json", help="Print one JSON record per file on stdout.")] = False
    report: Annotated[Path | None, option(RUNNING, metavar="FILE.jsonl", help="Append the records to a file.")] = None
    progress: Annotated[
        Progress,
        option(RUNNING, help="On stderr: a bar on a terminal, else a line now and then; or lines of JSON."),
    ] = Progress.auto
    quiet: Quiet = False
    verbose: Verbose = False

    @property
    def resources(self) -> Resources:
        """Return where the model runs."""
        return Resources(self.device, self.precision, self.threads, self.runtime.value)

    @property
    def measures(self) -> bool:
        """Return whether somebody will read the loudness of inputs and outputs."""
        return bool(self.json or self.report or self.verbose)
