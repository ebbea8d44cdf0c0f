"""Read and write the JSON header of a .safetensors model file, without loading any weight.

The header holds everything needed to run the model. Names in it are looked up in our catalogues, so a file from a stranger
cannot import other code.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from enhance_cli.audio.spectra.frontend_settings import FrontendSettings
from enhance_cli.errors import ModelError, UsageError
from enhance_cli.ranges import OutOfRange, in_range

if TYPE_CHECKING:
    import numpy as np

HEADER_KEY = "enhance"
FIRST_STAGE_RATE = 48000  # Hz, of every first stage
# A header must state these. Their defaults below are for recipes.
REQUIRED_FIELDS = ("task", "sample_rate", "level", "network_args", "process_args", "frontend")


@dataclass(frozen=True)
class Spec:
    """Describe a model, as the header of its file.

    Args:
        network, network_args: member of networks.NETWORKS, and its arguments.
        process, process_args: member of processes.PROCESSES, and its fields. "" for networks that are called once.
        task: "denoise", "inpaint", "extend-bandwidth", "extract-stem", "enhance-embedding", "embed-speaker" or "guide".
        frontend: fields of audio.spectra.stft.Frontend. None for models of waveforms or embeddings.
        sample_rate: in Hz.
        normalise: how a recording is brought to the level that the network was trained with.
            "level": its active level becomes `level`.
            "peak": it is divided by its largest magnitude.
            "window-peak": each channel of a window, less its mean, gets a peak of `level`.
            "deviation": it is divided by the standard deviation of the mean of its channels (stems).
            "raise": a quiet recording is raised to an RMS of `level` (speaker networks).
            "unit-rms": an embedding gets the length sqrt(D) (repair of embeddings).
            "none": it stays as it is.
        default_steps, min_steps, max_steps: number of sampler steps. A `min_steps` of 0 allows the extractor of a stem
            model alone, and a `max_steps` of 0 means that there is no refiner.
        samplers: the allowed ones, the default first.
        sampler_args: for each sampler, the settings that differ from its own defaults.
        prediction: the quantity that the network predicts, as fields of models.prediction.Prediction.
        guidance: default weight of the condition (models.guidance), None for models that are not guided.
        frames_multiple, frame_padding: the frames of a spectrogram (the samples of a window of waveforms) are padded to a
            multiple of this number, with zeros ("zero") or by reflection ("reflect").
        window_seconds: length of a window, for networks without a finite receptive field. None for the task's own.
        overlap: for models whose overlapping windows are averaged, the arguments of tasks.overlap.OverlapPlan.of_model.
        guides: the guides that the network was trained with (models.guide), the default first.
        first_stage: name of a shipped model. Sampling starts from its estimate, at the time that the sampler's setting
            `start` gives, and the network sees the noisy signal besides. The first stage runs at its own rate. Above the band
            of this model its estimate is kept.
        refinement: 0 to 1, weight of this model's estimate beside that of its first stage.
        extractor: "id" and "dimension" of the speaker embeddings that the model makes or repairs.
        default_time: process time from which a repair in a single step starts.
        ensemble: default weight of an embedding as it came, beside the repaired one.
        stems: names of the stems in the order of the network's one-hot vector.
        channels: number of channels of a file that a stem network takes at once.
        complete: whether the stems together are the whole mix.
        start_sigma: noise level at which a refinement of stems starts, by the number of steps as text. Numbers between two
            keys take that of the lower one.
        licence: of the weights.
        training: facts about the training, or about the file that a converter has read.

    A stem model is one file with two networks (networks.stem_pair): an extractor and perhaps a refiner, whose process is
    "edm" with the noise level as its time.
    """

    name: str
    network: str
    process: str
    task: str = "denoise"
    network_args: dict = field(default_factory=dict)
    process_args: dict = field(default_factory=dict)
    frontend: dict | None = field(default_factory=dict)
    sample_rate: int = 16000
    level: float = 0.1
    max_steps: int = 5
    default_steps: int = 1
    samplers: tuple[str, ...] = ("bridge_ode", "bridge_sde")
    sampler_args: dict[str, dict] = field(default_factory=dict)
    prediction: dict = field(default_factory=lambda: {"kind": "data"})
    guidance: float | None = None
    normalise: str = "level"
    frames_multiple: int = 1
    frame_padding: str = "zero"
    window_seconds: float | None = None
    overlap: dict = field(default_factory=dict)
    guides: tuple[str, ...] = ()
    first_stage: str = ""
    refinement: float = 1.0
    extractor: dict = field(default_factory=dict)
    default_time: float | None = None
    ensemble: float = 0.0
    stems: tuple[str, ...] = ()
    channels: int = 1
    complete: bool = False
    min_steps: int = 1
    start_sigma: dict[str, float] = field(default_factory=dict)
    licence: str = "MIT"
    training: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        in_range(self, sample_rate=(1, 384_000), level=(1e-9, 1e9), frames_multiple=(1, 1 << 24))
        in_range(self, window_seconds=(1e-3, 3600), default_steps=(0, 10_000), max_steps=(0, 10_000))

    @property
    def working_rate(self) -> int:
        """Return the rate in Hz of the model's input: that of its first stage, if it has one."""
        return FIRST_STAGE_RATE if self.first_stage else self.sample_rate

    @property
    def converted(self) -> bool:
        """Return whether this is a published model, whose results are those of its own program."""
        return "converter" in self.training

    @property
    def extractor_id(self) -> str:
        """Return the id of the embeddings that the model makes or repairs."""
        return self.extractor["id"]

    @property
    def embedding_dimension(self) -> int:
        """Return the length of the embeddings that the model makes or repairs."""
        return self.extractor["dimension"]

    def choose(self, steps: int | None, sampler: str | None) -> tuple[int, str]:
        """Return the requested steps and sampler, or the model's own.

        Raises UsageError for values that the model does not allow.
        """
        steps = self.default_steps if steps is None else steps
        if sampler and not self.samplers:
            raise UsageError(f"--sampler {sampler}: {self.name} has no sampler", "leave it out")
        sampler = sampler or (self.samplers[0] if self.samplers else "")
        if steps and not self.max_steps and not self.min_steps:
            raise UsageError(f"--steps {steps}: {self.name} has nothing that refines", "leave it out, or use --steps 0")
        if not self.min_steps <= steps <= self.max_steps:
            allowed = f"{self.min_steps} to {self.max_steps}" if self.max_steps > self.min_steps else self.max_steps
            noun = "step" if allowed == 1 else "steps"
            raise UsageError(f"--steps {steps}: {self.name} takes {allowed} {noun}", "choose one of these")
        if sampler and sampler not in self.samplers:
            raise UsageError(
                f"--sampler {sampler}: {self.name} does not run with it", f"choose from {', '.join(self.samplers)}"
            )
        return steps, sampler

    def scale_for(self, level: "np.ndarray") -> "np.ndarray":
        """Return the factors (n,) that a recording is multiplied by for the model. `level` (n,): its level, linear."""
        return (self.level if self.normalise == "level" else level) / level

    def choose_guidance(self, weight: float | None) -> float | None:
        """Return the requested weight of the condition, or the model's own. Raises UsageError for models without guidance."""
        if weight is not None and self.guidance is None:
            raise UsageError(f"--guidance {weight:g}: {self.name} has no guidance", "leave it out")
        return self.guidance if weight is None else weight

    def choose_guide(self, guide: str | None) -> str:
        """Return the requested guide, or the model's own, or "none".

        Raises UsageError for one it was not trained with.
        """
        if guide is None:
            return self.guides[0] if self.guides else "none"
        if guide == "none" or guide in self.guides:
            return guide
        if not self.guides:
            raise UsageError(
                f"--guide {guide}: {self.name} was not trained with a guide",
                "leave it out, or use a model that was, as the recipe denoise-s-guided makes",
            )
        raise UsageError(
            f"--guide {guide}: {self.name} was not trained with it", f"choose from {', '.join([*self.guides, 'none'])}"
        )

    def choose_stems(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return the stems as asked, in the model's order.

        "all" stands for each of them. Raises UsageError with the known ones.
        """
        if not self.stems:
            raise ModelError(f"{self.name}: a model for {self.task}, it has no stems", "see `enhance models list`")
        if not any(wanted):
            raise UsageError("--stem names no stem", f"choose from {', '.join([*self.stems, 'all'])}")
        for stem in wanted:
            if stem not in (*self.stems, "all"):
                choice = f"choose from {', '.join([*self.stems, 'all'])}"
                others = "see `enhance models list --task extract-stem` for models of other stems"
                raise UsageError(f"--stem {stem}: {self.name} does not extract it", f"{choice}, or {others}")
        return tuple(stem for stem in self.stems if stem in wanted or "all" in wanted)

    def sigma_for(self, steps: int) -> float | None:
        """Return the noise level at which a refinement of `steps` starts, or None for the process's own."""
        known = {int(count): sigma for count, sigma in self.start_sigma.items()}
        below = [count for count in known if count <= steps]
        return known[max(below)] if below else known.get(min(known, default=0))

    def to_metadata(self) -> dict[str, str]:
        return {HEADER_KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str] | None, path: Path) -> "Spec":
        """Return the header in a file's metadata. Raises ModelError for a file that is not one of ours."""
        try:
            fields = json.loads((metadata or {})[HEADER_KEY])
            if missing := [name for name in REQUIRED_FIELDS if name not in fields]:
                raise KeyError(*missing)
            spec = cls(**fields | {name: tuple(fields.get(name, ())) for name in ("samplers", "guides", "stems")})
            FrontendSettings(**spec.frontend or {})
            return spec
        except OutOfRange as error:
            raise ModelError(
                f"{path}: its header cannot be meant ({error.key}: {error})", "use another model"
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{path}: not an enhance model (no readable header)", "see `enhance models list`"
            ) from error


def read_spec(path: Path) -> Spec:
    """Return the header of a .safetensors file, or of an .onnx file that we exported. Raises ModelError."""
    if path.suffix == ".onnx":
        from enhance_cli.models.graphs.header import read_metadata

        return Spec.from_metadata(read_metadata(path), path)
    try:
        with safe_open(path, framework="numpy") as file:
            return Spec.from_metadata(file.metadata(), path)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file", "see `enhance models list`") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error})", "see `enhance models list`") from error


def check_sha256(path: Path, sha256: str | None) -> None:
    """Raise ModelError if the file is missing, or if it does not have this SHA-256. None is not checked."""
    if sha256 is not None and file_sha256(path) != sha256:
        raise ModelError(
            f"{path}: the file is damaged (its SHA-256 is not the recorded one)", "reinstall or pull it again"
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file. Raises ModelError if it is missing or cannot be read."""
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
