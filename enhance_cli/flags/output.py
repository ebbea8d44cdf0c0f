"""Define the flags of the panel "Output": where results go, and their format."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

from enhance_cli.flags.panel import OUTPUT, option


class Existing(str, Enum):
    skip = "skip"
    overwrite = "overwrite"
    newer = "newer"
    error = "error"


class Dither(str, Enum):
    tpdf = "tpdf"
    none = "none"


class BitDepth(str, Enum):
    b16 = "16"
    b24 = "24"
    b32 = "32"
    float = "float"


Page = Annotated[
    Path | None,
    option(OUTPUT, metavar="FILE.html", help="Also write a page to compare before and after by ear and eye."),
]
PageEmbed = Annotated[
    bool, option(OUTPUT, "--page-embed/--no-page-embed", help="Put sounds and pictures into the page itself.")
]


@dataclass(frozen=True, repr=False, eq=False)
class OutputFlags:
    """Set where results go, and their names."""

    output: Annotated[
        str | None,
        option(
            OUTPUT,
            "--output",
            "-o",
            help="File, folder, or - for standard output.",
            show_default="beside the input",
        ),
    ] = None
    name: Annotated[str | None, option(OUTPUT, help="Template for names, e.g. '{stem}_{model}{ext}'.")] = None
    existing: Annotated[
        Existing,
        option(OUTPUT, help="If an output exists: skip it, overwrite it, redo it if its input is newer, or stop."),
    ] = Existing.skip


@dataclass(frozen=True, repr=False, eq=False)
class AudioOutputFlags(OutputFlags):
    """Set where audio goes, and its format."""

    format: Annotated[
        str | None, option(OUTPUT, help="wav, flac, ogg, opus, mp3, m4a, mkv, mp4, ...", show_default="as the input")
    ] = None
    bit_depth: Annotated[BitDepth | None, option(OUTPUT, help="Bits per sample.", show_default="as the input")] = None
    dither: Annotated[
        Dither, option(OUTPUT, help="Noise that is added before samples are rounded to 16 or fewer bits.")
    ] = Dither.tpdf
    sample_rate: Annotated[
        int | None,
        option(
            OUTPUT,
            min=1000,
            max=768000,
            metavar="HZ",
            help="Resample the results to this rate.",
            show_default="as the input",
        ),
    ] = None
    loudness: Annotated[
        str, option(OUTPUT, metavar="keep|LUFS", help="keep, or an integrated loudness such as -16.")
    ] = "keep"
    true_peak: Annotated[
        float, option(OUTPUT, min=-20, max=0, metavar="DBTP", help="With --loudness: highest true peak.")
    ] = -1.0
    limiter: Annotated[
        float,
        option(
            OUTPUT, min=0, max=40, metavar="DB", help="With --loudness: lower peaks by up to DB where it needs that."
        ),
    ] = 0.0
    keep_original: Annotated[
        bool,
        option(
            OUTPUT,
            "--keep-original/--no-keep-original",
            help="In a video: also keep the original sound track, after the new one.",
        ),
    ] = False
    plot: Annotated[
        bool, option(OUTPUT, "--plot/--no-plot", help="Also draw before and after as spectrograms, in OUTPUT.png.")
    ] = False
    page: Page = None
    page_embed: PageEmbed = False


@dataclass(frozen=True, repr=False, eq=False)
class StemOutputFlags(AudioOutputFlags):
    """Set where the stems of a mix go, and their format."""

    name: Annotated[
        str | None,
        option(OUTPUT, help="Template for names, e.g. '{part}/{stem}{ext}'.", show_default="{stem}_{part}{ext}"),
    ] = None


@dataclass(frozen=True, repr=False, eq=False)
class WideOutputFlags(AudioOutputFlags):
    """Set where recordings with a wider band go, and their format."""

    sample_rate: Annotated[
        int | None,
        option(
            OUTPUT,
            "--rate",
            "--sample-rate",
            min=8000,
            max=768000,
            metavar="HZ",
            help="Sample rate of the results, at least the input's.",
            show_default="48000, or the input's if nothing is missing",
        ),
    ] = None


@dataclass(frozen=True, repr=False, eq=False)
class VectorOutputFlags(OutputFlags):
    """Set where speaker embeddings go, and their format."""

    format: Annotated[
        str | None,
        option(
            OUTPUT,
            metavar="npz|npy|safetensors|ark|scp|parquet|csv",
            help="Format of the results.",
            show_default="as the input; npz for audio",
        ),
    ] = None
