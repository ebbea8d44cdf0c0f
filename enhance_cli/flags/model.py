"""Define the flags of the panel "Model" that several commands have."""

from enum import Enum
from typing import Annotated

from enhance_cli.flags.panel import MODEL, option


class FullBand(str, Enum):
    keep = "keep"
    cut = "cut"


ModelName = Annotated[
    str | None, option(MODEL, "--model", "-m", help="Name or .safetensors file; see `enhance models`.")
]
Steps = Annotated[int | None, option(MODEL, "--steps", "-n", help="Sampler steps (network calls).", show_default="1")]
Sampler = Annotated[str | None, option(MODEL, help="Sampler; the model lists those it allows.")]
Seed = Annotated[int, option(MODEL, min=0, help="Seed of stochastic samplers.")]
FullBandChoice = Annotated[
    FullBand,
    option(MODEL, help="Above the model's band: keep the sound that belongs to the result, or cut everything."),
]
