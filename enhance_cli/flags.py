"""Define the flags that commands share: each spelled, bounded and described once, in a panel of `--help`."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

FILES, OUTPUT, MODEL, RUNNING, EXPERT = "Files", "Output", "Model", "Running", "Expert"


class Existing(str, Enum):
    skip = "skip"
    overwrite = "overwrite"
    newer = "newer"
    error = "error"


class Runtime(str, Enum):
    auto = "auto"
    onnx = "onnx"
    torch = "torch"


class Engine(str, Enum):
    local = "local"
    ray = "ray"


class FullBand(str, Enum):
    keep = "keep"
    cut = "cut"


class Spacing(str, Enum):
    trailing = "trailing"
    uniform = "uniform"


class Dither(str, Enum):
    tpdf = "tpdf"
    none = "none"


class Length(str, Enum):
    unit = "unit"
    keep = "keep"


class Progress(str, Enum):
    auto = "auto"
    lines = "lines"
    json = "json"
    none = "none"


class BitDepth(str, Enum):
    b16 = "16"
    b24 = "24"
    b32 = "32"
    float = "float"


def _option(panel: str, *names: str, **kwargs: Any) -> Any:
    if any("/" in name for name in names):  # a switch, which is off
        kwargs = {"show_default": False, **kwargs}
    return typer.Option(*names, rich_help_panel=panel, **kwargs)


# Files
Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="IN", help="Files, folders, quoted globs, @list.txt, or - for standard input."),
]
EmbeddingInputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="IN", help="Files, folders, quoted globs, @list.txt, or - for one recording on stdin."),
]
Recursive = Annotated[bool, _option(FILES, "--recursive/--no-recursive", "-r", help="Look into sub-folders too.")]
Start = Annotated[float, _option(FILES, min=0, metavar="SECONDS", help="Begin here.")]
Duration = Annotated[float | None, _option(FILES, min=0.001, metavar="SECONDS", help="Take only this much.")]
Track = Annotated[
    str | None,
    _option(
        FILES, metavar="N|LANG|all", help="The sound track to take, where a file has several; all: each by itself."
    ),
]
Channel = Annotated[str | None, _option(FILES, metavar="N|mix", help="Take one channel only, or the mean of all.")]
Shard = Annotated[str | None, _option(FILES, metavar="I/N", help="Do part I of N, split by a hash of the names.")]
RetryFailed = Annotated[
    Path | None,
    _option(FILES, "--retry-failed", metavar="FILE.jsonl", help="Process only the files that failed in this report."),
]
Watch = Annotated[
    Path | None,
    _option(
        FILES,
        "--watch",
        metavar="INBOX",
        help="Instead of IN: keep running, and take the files that come into this folder.",
    ),
]
Settle = Annotated[
    float,
    _option(
        FILES,
        "--settle",
        min=0.1,
        metavar="SECONDS",
        help="With --watch: take files that have not changed for so long.",
    ),
]

# Output
Output = Annotated[
    str | None,
    _option(OUTPUT, "--output", "-o", help="File, folder, or - for standard output.", show_default="beside the input"),
]
NameTemplate = Annotated[str | None, _option(OUTPUT, "--name", help="Template for names, e.g. '{stem}_{model}{ext}'.")]
PartTemplate = Annotated[
    str | None,
    _option(OUTPUT, "--name", help="Template for names, e.g. '{part}/{stem}{ext}'.", show_default="{stem}_{part}{ext}"),
]
OnExisting = Annotated[Existing, _option(OUTPUT, help="Skip, overwrite or refuse where the output is already there.")]
Format = Annotated[
    str | None,
    _option(OUTPUT, "--format", help="wav, flac, ogg, opus, mp3, m4a, mkv, mp4, ...", show_default="as the input"),
]
VectorFormat = Annotated[
    str | None,
    _option(
        OUTPUT,
        "--format",
        metavar="npz|npy|safetensors|ark|scp|parquet|csv",
        help="Format of the results.",
        show_default="as the input; npz for audio",
    ),
]
Bits = Annotated[BitDepth | None, _option(OUTPUT, "--bit-depth", help="Sample format.", show_default="as the input")]
DitherChoice = Annotated[
    Dither, _option(OUTPUT, "--dither", help="Noise before samples are rounded to 16 or fewer bits, from more.")
]
SampleRate = Annotated[
    int | None,
    _option(
        OUTPUT,
        min=1000,
        max=768000,
        metavar="HZ",
        help="Resample the results to this rate.",
        show_default="as the input",
    ),
]
WideRate = Annotated[
    int | None,
    _option(
        OUTPUT,
        "--rate",
        "--sample-rate",
        min=8000,
        max=768000,
        metavar="HZ",
        help="Sample rate of the results, at least the input's.",
        show_default="48000, or the input's if nothing is missing",
    ),
]
Loudness = Annotated[str, _option(OUTPUT, metavar="keep|LUFS", help="keep, or an integrated loudness such as -16.")]
TruePeak = Annotated[
    float,
    _option(
        OUTPUT, "--true-peak", min=-20, max=0, metavar="DBTP", help="Highest true peak, where a loudness is asked for."
    ),
]
KeepOriginal = Annotated[
    bool,
    _option(
        OUTPUT,
        "--keep-original/--no-keep-original",
        help="In a video: keep the old sound track too, behind the cleaned one.",
    ),
]
Plot = Annotated[bool, _option(OUTPUT, "--plot/--no-plot", help="Also draw before and after as a spectrogram picture.")]
Page = Annotated[
    Path | None,
    _option(
        OUTPUT, "--page", metavar="FILE.html", help="Also write a page to compare before and after by ear and eye."
    ),
]
PageEmbed = Annotated[
    bool, _option(OUTPUT, "--page-embed/--no-page-embed", help="Put sounds and pictures into the page itself.")
]

# Model
ModelName = Annotated[
    str | None, _option(MODEL, "--model", "-m", help="Name or .safetensors file; see `enhance models`.")
]
Steps = Annotated[int | None, _option(MODEL, "--steps", "-n", help="Sampler steps (network calls).", show_default="1")]
Sampler = Annotated[str | None, _option(MODEL, help="Sampler; the model lists those it allows.")]
Guide = Annotated[
    str | None,
    _option(
        MODEL,
        metavar="none|vad|panns|gaps",
        help="Guide of a model that takes one: it knows where voices or gaps are.",
        show_default="the model's",
    ),
]
Strength = Annotated[float, _option(MODEL, min=0, max=1, help="Mix: 0 is the input, 1 the cleaned signal.")]
MaxAttenuation = Annotated[
    float | None,
    _option(MODEL, min=0, metavar="DB", help="Take away at most this much noise.", show_default="no limit"),
]
FullBandChoice = Annotated[
    FullBand,
    _option(
        MODEL, "--full-band", help="Above the model's band: keep the part that belongs to the result, or cut it all."
    ),
]
InputCutoff = Annotated[
    str,
    _option(MODEL, "--input-cutoff", metavar="auto|HZ", help="Frequency that the input's own band ends at."),
]
Gaps = Annotated[
    str,
    _option(MODEL, "--gaps", metavar="SECONDS-SECONDS,...|auto", help="Gaps to fill, as in 12.30-12.42,57.1-57.15."),
]
GapModel = Annotated[
    str | None,
    _option(
        MODEL,
        "--model",
        "-m",
        help="Name or file of a denoiser that samples, for gaps of 100 to 500 ms.",
        show_default="none, they fade",
    ),
]
GapStrength = Annotated[
    float,
    _option(
        MODEL, "--strength", min=0, max=1, help="How much of a first filling a model makes anew: 0 keeps it, 1 is all."
    ),
]
ExtendSteps = Annotated[
    int | None,
    _option(MODEL, "--steps", "-n", help="Sampler steps, of models that sample.", show_default="the model's"),
]
Guidance = Annotated[
    float | None,
    _option(
        MODEL,
        min=0,
        metavar="W",
        help="Weight of the input against the usual; 1 halves the network calls.",
        show_default="the model's",
    ),
]
Seed = Annotated[int, _option(MODEL, min=0, help="Seed of stochastic samplers.")]

# Output and model, of stems
Stem = Annotated[
    list[str] | None,
    _option(
        OUTPUT,
        "--stem",
        "-s",
        metavar="NAME,...",
        help="drums, bass, ... as the model has them, or all.",
        show_default="all",
    ),
]
Residual = Annotated[
    bool, _option(OUTPUT, "--residual/--no-residual", help="Also write the mix less the stems asked for.")
]
NoiseResidual = Annotated[
    bool,
    _option(
        OUTPUT,
        "--residual/--no-residual",
        help="Also write the part that was taken away, to NAME_residual beside NAME_denoised.",
    ),
]
StemSteps = Annotated[
    int | None,
    _option(MODEL, "--steps", "-n", min=0, help="Steps of refinement; 0 for none.", show_default="the model's"),
]
Sigma = Annotated[
    float | None, _option(MODEL, min=0, help="Noise level that the refinement starts at.", show_default="the model's")
]

# Model, of speaker embeddings
Time = Annotated[
    float | None,
    _option(
        MODEL, "--time", "--t", "-t", min=0, max=999, help="Noise time to start from.", show_default="the model's, 50"
    ),
]
RepairSteps = Annotated[
    int | None, _option(MODEL, "--steps", "-n", help="Steps: 1, or more by DDIM.", show_default="the model's, 1")
]
Draws = Annotated[int, _option(MODEL, min=0, help="Average over this many draws of noise; 0 draws none.")]
Ensemble = Annotated[
    float | None,
    _option(
        MODEL,
        min=0,
        max=1,
        help="Weight of the embedding as it came, beside the repaired one.",
        show_default="the model's",
    ),
]
Extractor = Annotated[
    str | None,
    _option(
        MODEL, metavar="NAME", help="Speaker network, or the one that made the embeddings.", show_default="the model's"
    ),
]
VoiceActivity = Annotated[bool, _option(MODEL, "--vad/--no-vad", help="Leave the silence of recordings out.")]
VoiceChannel = Annotated[
    str | None,
    _option(
        MODEL,
        "--channel",
        metavar="N|mix",
        help="Of recordings with several channels, the one to embed, or the mean of all.",
        show_default="the mean, unless it cancels them",
    ),
]
Segment = Annotated[
    float | None,
    _option(
        MODEL,
        min=0.5,
        metavar="SECONDS",
        help="Embed pieces of this length.",
        show_default="as the extractor was trained",
    ),
]
Normalize = Annotated[
    Length, _option(MODEL, help="Length of the results: unit, or keep that of the input.", show_default="unit")
]

# Running
Device = Annotated[str, _option(RUNNING, "--device", "-d", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str, _option(RUNNING, help="auto, fp32 (on a GPU without TF32), bf16 or fp16.")]
RuntimeChoice = Annotated[
    Runtime,
    _option(RUNNING, "--runtime", help="onnx on CPUs where the model allows it, which starts quickly; else torch."),
]
BatchSize = Annotated[str, _option(RUNNING, metavar="auto|N", help="Windows run at once on a GPU.")]
Threads = Annotated[
    int | None, _option(RUNNING, min=1, help="CPU threads, of each process.", show_default="all cores, shared out")
]
Workers = Annotated[
    int | None,
    _option(RUNNING, min=1, help="Processes that share the files.", show_default="one for each GPU"),
]
EngineChoice = Annotated[
    Engine, _option(RUNNING, "--engine", help="Work on this machine, or on those of a Ray cluster (pip extra: ray).")
]
RayAddress = Annotated[
    str | None,
    _option(RUNNING, "--ray-address", metavar="HOST:PORT", help="Where Ray is.", show_default="RAY_ADDRESS, or here"),
]
DryRun = Annotated[bool, _option(RUNNING, "--dry-run", help="Check everything and list the outputs; write nothing.")]
Json = Annotated[bool, _option(RUNNING, "--json/--no-json", help="One JSON record per file on stdout.")]
ReportFile = Annotated[
    Path | None, _option(RUNNING, "--report", metavar="FILE.jsonl", help="Append the records to a file.")
]
ProgressChoice = Annotated[
    Progress,
    _option(RUNNING, "--progress", help="On stderr: a bar on a terminal, else a line now and then; or lines of JSON."),
]
Quiet = Annotated[bool, _option(RUNNING, "--quiet/--no-quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[bool, _option(RUNNING, "--verbose/--no-verbose", "-v", help="Say more; tracebacks with errors.")]

# Running, of all commands that remember settings
Config = Annotated[
    Path | None,
    _option(
        RUNNING,
        "--config",
        metavar="FILE.toml",
        envvar="ENHANCE_CONFIG",
        help="File of settings.",
        show_default="yours, see `enhance config path`",
    ),
]
Preset = Annotated[
    list[str] | None,
    _option(
        RUNNING, "--preset", metavar="NAME,...", help="podcast, broadcast, dataset, gentle, or of the file of settings."
    ),
]

# Expert: settings of one family of models, SGMSE
CorrectorSteps = Annotated[
    int | None, _option(EXPERT, min=0, help="Corrector calls per step.", show_default="the model's")
]
Snr = Annotated[float | None, _option(EXPERT, min=0, help="Step size of the corrector.", show_default="the model's")]
StepSpacing = Annotated[
    Spacing | None,
    _option(
        EXPERT,
        "--spacing",
        help="Where steps lie: trailing starts at pure noise, uniform is as published.",
        show_default="the model's",
    ),
]
SamplerStart = Annotated[
    float | None,
    _option(EXPERT, min=0, max=1, metavar="T", help="Process time to start from, of 1 (noisy) to 0 (clean)."),
]
Rounds = Annotated[
    int, _option(EXPERT, min=1, max=100, help="Calls per step: more of them agree better with the sound around a gap.")
]
SDEdit = Annotated[
    float | None,
    _option(
        EXPERT,
        "--sdedit",
        min=0,
        max=1,
        metavar="SHARE",
        help="Noise the input this far, and sample from there: 0 is the input, 1 the whole path.",
    ),
]

# Training
Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a .toml file.")]
Data = Annotated[Path, typer.Option("--data", help="Folder that the recipe's folders are relative to.")]
RunFolder = Annotated[Path | None, typer.Option("--run", "-o", help="Run folder.", show_default="runs/MODEL")]
PackedAudio = Annotated[
    Path | None, typer.Option("--cache", help="Where packed audio is kept.", show_default="RUN/cache")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting of the recipe.")
]
DryTraining = Annotated[bool, typer.Option("--dry-run", help="Pack the data, print the plan, and stop.")]
