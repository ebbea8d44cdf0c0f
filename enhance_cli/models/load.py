"""Load a .safetensors file as a model that runs: network, process, front end, and the adapter that gives `estimate`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.contracts import Estimate, Time
from enhance_cli.models import registry
from enhance_cli.models.device import autocast
from enhance_cli.models.latent_windows import LatentWindows
from enhance_cli.models.prediction import Prediction
from enhance_cli.models.sampling import Sampling
from enhance_cli.models.spec import Spec
from enhance_cli.models.streams import STREAMING_NETWORKS
from enhance_cli.models.vector_repairer import VectorRepairer
from enhance_cli.models.weights import load_network, unbuildable
from enhance_cli.models.windowed_denoiser import WindowedDenoiser
from enhance_cli.models.windowed_extender import WindowedExtender
from enhance_cli.models.windowed_inpainter import WindowedInpainter
from enhance_cli.networks import NETWORKS
from enhance_cli.processes import PROCESSES


class LoadedModel:
    """Hold a network with its process, front end and prediction, on a device.

    `process`: None for networks that are called once. `stream_network`: the network with memory that runs as a stream, which is
    the model's own or that of its first stage, or None.
    """

    runtime = "torch"

    def __init__(self, spec: Spec, network: torch.nn.Module, device: torch.device, precision: str = "fp32"):
        self.spec, self.device, self.precision = spec, device, precision
        self.network: Any = network.to(device)  # of the class that `spec.network` names
        self.process: Any = PROCESSES[spec.process](**spec.process_args) if spec.process else None
        self.frontend: Any = None if spec.frontend is None else Frontend(**spec.frontend)
        self.prediction = Prediction(**spec.prediction)
        self.stream_network = network if spec.network in STREAMING_NETWORKS else None

    def _estimate(self, network: Callable[..., Tensor], y: Tensor) -> Estimate:
        """Return `estimate(x, t)` by `network(x, y, t)`, where y is the end of the process or the observation."""

        def estimate(x: Tensor, t: Time) -> Tensor:
            return self.prediction.estimate(partial(self._call, network), self.process, x, y, times_like(t, x))

        return estimate

    def _call(self, network: Callable[..., Tensor], *inputs: Any) -> Tensor:
        with autocast(self.device, self.precision):
            return network(*inputs).float()


class Model(LoadedModel):
    """Sample clean spectrograms or speaker embeddings.

    It is bound to an observation first: compressed spectrograms (B, 2, T, F), or embeddings (B, D), which have no front end.
    """

    def windowed(self, sampling: Sampling, *, guide: str | None = None) -> WindowedDenoiser:
        """Return the model over windows of waveforms. Arguments as in WindowedDenoiser."""
        return WindowedDenoiser(self, sampling, guide=guide)

    def inpainter(self, sampling: Sampling, *, rounds: int = 1) -> WindowedInpainter:
        """Return the model over windows with gaps. Arguments as in WindowedInpainter."""
        return WindowedInpainter(self, sampling, rounds=rounds)

    def extender(self, *, seed: int) -> WindowedExtender:
        """Return the model over windows of waveforms whose band it extends."""
        return WindowedExtender(self, seed=seed)

    def latent_windows(self, **settings: Any) -> LatentWindows:
        """Return the model over windows of one length whose band it extends, with the settings of LatentWindows."""
        return LatentWindows(self, **settings)

    def repairer(self, **settings: Any) -> VectorRepairer:
        """Return the model over blocks of embeddings, with the settings of VectorRepairer."""
        return VectorRepairer(self, **settings)

    def bind(
        self, noisy: Tensor, *, guide: Tensor | None = None, first: Tensor | None = None
    ) -> tuple[Tensor, Estimate]:
        """Return where sampling starts, and `estimate(x, t)` for this observation.

        The time t is a number, or (B,). Sampler arithmetic stays in fp32 whatever the precision.

        Args:
            noisy: compressed spectrogram (B, 2, T, F), or embeddings (B, D).
            guide: (B, 1, T), for networks that take one.
            first: the estimate of the first stage, for models that have one.

        Sampling starts at `first`, at the initial estimate of a network with an `initial_estimate`, or at `noisy`.
        """
        initial_estimate = getattr(self.network, "initial_estimate", None)
        if initial_estimate is not None:
            start = self._call(initial_estimate, noisy)
            return start, self._estimate(partial(self.network, noisy=noisy), start)
        network = self.network if guide is None else partial(self.network, guide=guide)
        return noisy if first is None else first, self._estimate(network, noisy)

    def sample(self, sampler: Callable, noisy: Tensor, steps: int, noise: Callable, **conditions: Tensor) -> Tensor:
        """Run `sampler` on the noisy spectrogram (B, 2, T, F) with the conditions of `bind`."""
        start, estimate = self.bind(noisy, **conditions)
        return sampler(estimate, self.process, start, steps, noise)

    def pad_frames(self, y: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Pad the frame axis of y (B, 2, T, F) to a multiple of `spec.frames_multiple`, as published models are run.

        The guide (B, 1, T) is padded with NaN (unknown). Returns both.
        """
        missing = -y.shape[2] % self.spec.frames_multiple
        reflect = self.spec.frame_padding == "reflect" and missing < y.shape[2]
        y = pad(y, (0, 0, 0, missing), mode="reflect" if reflect else "constant")
        return y, None if guide is None else pad(guide, (0, missing), value=torch.nan)


def times_like(t: Time, x: Tensor) -> Tensor:
    """Return the times (B,) of the items of x (B, ...): t for all of them, or t itself if it is (B,)."""
    return t if isinstance(t, Tensor) else x.real.new_full(x.shape[:1], t)


ModelT = TypeVar("ModelT", bound=LoadedModel)


def load_file(
    path: Path, device: torch.device, precision: str = "fp32", sha256: str | None = None, fold: bool = True
) -> Model:
    """Return the model in `path` (see load_as)."""
    return load_as(Model, path, device, precision, sha256, fold)


def load_as(
    model_class: type[ModelT],
    path: Path,
    device: torch.device,
    precision: str = "fp32",
    sha256: str | None = None,
    fold: bool = True,
) -> ModelT:
    """Return the model in `path`, in evaluation mode, with normalizations folded if `fold` is set and the network can.

    `model_class`: that of its task. Raises ModelError if the file is damaged or does not fit its network.
    """
    spec, network = load_network(path, sha256, fold)
    try:
        model = model_class(spec, network, device, precision)
    except Exception as error:  # a header can ask for anything
        raise unbuildable(path, error) from error
    if spec.first_stage:
        entry = registry.find(spec.first_stage, spec.task)
        _, model.stream_network = load_network(entry.path, entry.sha256)
    return model


def without_weights(spec: Spec) -> Model:
    """Return a model without weights on the device "meta", which has shapes and operations but computes nothing."""
    device = torch.device("meta")
    with device:
        return Model(spec, NETWORKS[spec.network](**spec.network_args).eval(), device)
