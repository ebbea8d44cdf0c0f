"""Define the flags of the panel "Model" of the commands for speaker embeddings."""

from dataclasses import dataclass
from typing import Annotated

from enhance_cli.flags.model import Seed
from enhance_cli.flags.panel import MODEL, option

Extractor = Annotated[
    str | None,
    option(
        MODEL,
        metavar="NAME",
        help="Speaker network to embed with, or that made the stored embeddings.",
        show_default="the model's",
    ),
]


@dataclass(frozen=True, repr=False, eq=False)
class RepairFlags:
    """Set how embeddings are repaired."""

    steps: Annotated[
        int | None,
        option(MODEL, "--steps", "-n", help="Steps; more than one are taken by DDIM.", show_default="the model's, 1"),
    ] = None
    time: Annotated[
        float | None,
        option(
            MODEL,
            "--time",
            "--t",
            "-t",
            min=0,
            max=999,
            help="Diffusion time to start at.",
            show_default="the model's, 50",
        ),
    ] = None
    draws: Annotated[int, option(MODEL, min=0, help="Average over this many draws of noise; 0: no noise is drawn.")] = 0
    seed: Seed = 0
    ensemble: Annotated[
        float | None,
        option(
            MODEL,
            min=0,
            max=1,
            help="Weight of the original embedding in its mean with the repaired one.",
            show_default="the model's",
        ),
    ] = None


@dataclass(frozen=True, repr=False, eq=False)
class EmbeddingFlags:
    """Set how recordings are embedded."""

    extractor: Extractor = None
    vad: Annotated[bool, option(MODEL, "--vad/--no-vad", help="Skip the silent parts of recordings.")] = False
    segment: Annotated[
        float | None,
        option(
            MODEL,
            min=0.5,
            metavar="SECONDS",
            help="Embed pieces of this length.",
            show_default="as the extractor was trained",
        ),
    ] = None
    channel: Annotated[
        str | None,
        option(
            MODEL,
            "--channel",
            metavar="N|mix",
            help="Channel of a recording to embed, or the mean of all.",
            show_default="the mean, unless it cancels them",
        ),
    ] = None
