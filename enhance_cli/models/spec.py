"""What a model file says about itself: the JSON header of a .safetensors file, read without loading any weight.

The header holds everything needed to run the model, so a file alone is enough; a stranger's file can only name things
that stand in our catalogues.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open

from enhance_cli.errors import ModelError, UsageError

HEADER_KEY = "enhance"
STATED = ("task", "sample_rate", "level", "network_args", "process_args", "frontend")  # defaults are for recipes


@dataclass(frozen=True)
class Spec:
    """A model's header.

    `max_steps` is the largest allowed number of steps, `samplers` lists the allowed ones, default first, and
    `sampler_args` their settings where they differ from the sampler's own. `prediction` says what the network gives
    (models.prediction). `normalise` is "level" (active level at `level`) or "peak" (the file divided by max|y|). Frames
    are padded to a multiple of `frames_multiple` with zeros or by reflection. `window_seconds` is for networks without a
    finite context: longer files are done in windows of that length that fade into each other.
    """

    name: str
    network: str
    process: str
    task: str = "denoise"
    network_args: dict = field(default_factory=dict)
    process_args: dict = field(default_factory=dict)
    frontend: dict = field(default_factory=dict)
    sample_rate: int = 16000
    level: float = 0.1
    max_steps: int = 5
    default_steps: int = 1
    samplers: tuple[str, ...] = ("bridge_ode", "bridge_sde")
    sampler_args: dict[str, dict] = field(default_factory=dict)
    prediction: dict = field(default_factory=lambda: {"kind": "data"})
    normalise: str = "level"
    frames_multiple: int = 1
    frame_padding: str = "zero"
    window_seconds: float | None = None
    licence: str = "MIT"
    training: dict = field(default_factory=dict)

    def choose(self, steps: int | None, sampler: str | None) -> tuple[int, str]:
        """Steps and sampler as asked, or the model's own. Raises UsageError for what the model does not allow."""
        steps = self.default_steps if steps is None else steps
        sampler = sampler or self.samplers[0]
        if not 1 <= steps <= self.max_steps:
            raise UsageError(f"--steps {steps}: {self.name} takes 1 to {self.max_steps} steps", "choose one of these")
        if sampler not in self.samplers:
            raise UsageError(
                f"--sampler {sampler}: {self.name} does not run with it", f"choose from {', '.join(self.samplers)}"
            )
        return steps, sampler

    def to_metadata(self) -> dict[str, str]:
        return {HEADER_KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, path: Path) -> "Spec":
        """Raises ModelError for a file that is not one of ours."""
        try:
            fields = json.loads((metadata or {})[HEADER_KEY])
            for name in STATED:
                fields[name]
            return cls(**fields | {"samplers": tuple(fields["samplers"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{path}: not an enhance model (no readable header)", "see `enhance models list`"
            ) from error


def read_spec(path: Path) -> Spec:
    """The header alone. Raises ModelError."""
    try:
        with safe_open(path, framework="numpy") as file:
            return Spec.from_metadata(file.metadata(), path)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file", "see `enhance models list`") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error})", "see `enhance models list`") from error


def file_sha256(path: Path) -> str:
    """Raises ModelError for a file that is not there or cannot be read."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
            return digest.hexdigest()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file", "see `enhance models list`") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})", "check its permissions") from error
