"""State the contracts between networks, processes, samplers, losses and metrics.

The protocols are for readers and type checkers. Nothing here runs. States have the shape (B, ...) of the model, with the batch
size B: spectrograms (B, 2, T, F), waveforms (B, C, N) or speaker embeddings (B, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union

if TYPE_CHECKING:
    from torch import Tensor

Draw = Callable[[], "Tensor"]  # one draw of noise like y: standard normal times the process's `noise_scale`
Distance = Callable[["Tensor", "Tensor"], "Tensor"]  # of an estimate and its target, a scalar
Log = Callable[[str], None]  # takes a line for the user
Time = Union["Tensor", float]  # noqa: UP007 - the name of a tensor is a string here, so that torch is not loaded
TimeT = TypeVar("TimeT", "Tensor", float)


class Network(Protocol):
    """Map a noisy state to the model's prediction. A network uses torch only: no files, no flags, no choice of a device."""

    def __call__(self, x: Tensor, y: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
        """Return the prediction, shaped like x, for the state x at the times t (B,) and the observation y."""


class Estimate(Protocol):
    """Estimate the clean signal. This is a model that is bound to an observation (models.load.Model.bind)."""

    def __call__(self, x: Tensor, t: Time) -> Tensor:
        """Return the clean estimate, shaped like x, for the state x at the time t, or at times (B,)."""


class Process(Protocol):
    """Describe a Gaussian path from clean to noisy (processes.process documents each method)."""

    @property
    def noise_scale(self) -> float: ...
    @property
    def t_clean(self) -> float: ...
    @property
    def t_max(self) -> float: ...
    @property
    def t_eps(self) -> float: ...
    def std(self, t: Tensor) -> Tensor: ...
    def drift(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor: ...
    def diffusion(self, t: Tensor) -> Tensor: ...
    def mean(self, x0: Tensor, y: Tensor, t: Time) -> Tensor: ...
    def sample(self, x0: Tensor, y: Tensor, t: Time, noise: Tensor) -> Tensor: ...
    def score(self, x: Tensor, x0: Tensor, y: Tensor, t: Time) -> Tensor: ...
    def deterministic_step(self, x: Tensor, x0: Tensor, y: Tensor, t: Time, r: Time) -> Tensor: ...
    def start(self, y: Tensor, noise: Tensor, t: float | None = None) -> Tensor: ...
    def levels(self, steps: int, start: float | None = None) -> list[float]: ...
    def consistency_times(self, steps: int, start: float | None = None) -> list[float]: ...
    def renoise(self, x0: Tensor, y: Tensor, t: Tensor, noise: Tensor) -> Tensor: ...


class Bridge(Process, Protocol):
    """Describe a process that is y itself at t = 1 (processes.process.Bridge)."""

    @property
    def scale(self) -> float: ...
    def variance(self, t: TimeT) -> TimeT: ...
    def alpha(self, t: TimeT) -> TimeT: ...


class Sampler(Protocol):
    """Run a process backwards, with the settings of the sampler bound."""

    def __call__(self, estimate: Estimate, process: Any, y: Tensor, steps: int, noise: Draw) -> Tensor:
        """Return the clean estimate, shaped like y."""


class Frontend(Protocol):
    """Turn waveforms into compressed spectrograms and back (audio.spectra.stft.Frontend documents each method)."""

    @property
    def hop(self) -> int: ...
    def analyze(self, wave: Tensor) -> Tensor: ...
    def synthesize(self, compressed: Tensor, samples: int) -> Tensor: ...
    def recompress(self, compressed: Tensor, exponent: float) -> tuple[Tensor, Tensor]: ...
