"""Load a .safetensors file as a model that runs: network, process, front end, and the adapter that gives `estimate`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import pad

from enhance_cli.atomic import replace_file
from enhance_cli.audio.stft import Frontend
from enhance_cli.contracts import Estimate, Time
from enhance_cli.errors import ModelError
from enhance_cli.models import registry
from enhance_cli.models.device import autocast
from enhance_cli.models.prediction import Prediction
from enhance_cli.models.spec import Spec, check_sha256, read_spec
from enhance_cli.networks import NETWORKS
from enhance_cli.processes import PROCESSES

if TYPE_CHECKING:
    from enhance_cli.models.vector_repairer import VectorRepairer
    from enhance_cli.models.windowed_denoiser import WindowedDenoiser

STREAMING_NETWORKS = ("deepfilternet", "dpdfnet", "fastenhancer")


class Model:
    """Hold a network ready to sample with.

    Bind it to an observation: compressed spectrograms (B, 2, T, F), or speaker embeddings (B, D), which have no front
    end. `process`: None for networks that are called once. `extractor`: network with memory that runs as a stream
    (the model's own or that of its first stage), or None.
    """

    runtime = "torch"

    def __init__(self, spec: Spec, network: torch.nn.Module, device: torch.device, precision: str = "fp32"):
        self.spec, self.device, self.precision = spec, device, precision
        self.network = network.to(device)
        self.process: Any = PROCESSES[spec.process](**spec.process_args) if spec.process else None
        self.frontend: Any = None if spec.frontend is None else Frontend(**spec.frontend)
        self.prediction = Prediction(**spec.prediction)
        self.extractor = network if spec.network in STREAMING_NETWORKS else None

    def windowed(self, **settings: Any) -> "WindowedDenoiser":
        """Return what computes windows of waveforms, with the settings of WindowedDenoiser."""
        from enhance_cli.models.windowed_denoiser import WindowedDenoiser

        return WindowedDenoiser(self, **settings)

    def repairer(self, **settings: Any) -> "VectorRepairer":
        """Return what repairs blocks of embeddings, with the settings of VectorRepairer."""
        from enhance_cli.models.vector_repairer import VectorRepairer

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

    def _estimate(self, network: Callable[..., Tensor], y: Tensor) -> Estimate:
        """Return `estimate(x, t)` by `network(x, y, t)`, where y is the end of the process or the observation."""

        def estimate(x: Tensor, t: Time) -> Tensor:
            return self.prediction.estimate(partial(self._call, network), self.process, x, y, times_like(t, x))

        return estimate

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

    def _call(self, network: Callable, *inputs: Tensor | None) -> Tensor:
        with autocast(self.device, self.precision):
            return network(*inputs).float()


def times_like(t: Time, x: Tensor) -> Tensor:
    """Return the times (B,) of the items of x (B, ...): t for all of them, or t itself if it is (B,)."""
    return t if isinstance(t, Tensor) else x.real.new_full(x.shape[:1], t)


def load_file(
    path: Path,
    device: torch.device,
    precision: str = "fp32",
    sha256: str | None = None,
    fold: bool = True,
    kind: type[Model] = Model,
) -> Model:
    """Return the model in `path`, in evaluation mode, with normalizations folded if `fold` is set and the network can.

    `kind`: class of the model, if its task needs another. Raises ModelError if the file is damaged or does not fit its
    network.
    """
    spec, network = load_network(path, sha256, fold)
    try:
        model = kind(spec, network, device, precision)
    except Exception as error:  # a header can ask for anything
        raise _unbuildable(path, error) from error
    if spec.first_stage:
        entry = registry.find(spec.first_stage, spec.task)
        _, model.extractor = load_network(entry.path, entry.sha256)
    return model


def load_network(path: Path, sha256: str | None = None, fold: bool = True) -> tuple[Spec, torch.nn.Module]:
    """Return the header and the network alone, on the CPU (see load_file)."""
    check_sha256(path, sha256)
    spec = read_spec(path)
    try:
        network = NETWORKS[spec.network](**spec.network_args)
    except Exception as error:  # a header can ask for anything
        raise _unbuildable(path, error) from error
    try:
        _fill(network, path)
    except (RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{path}: the weights do not fit {spec.network} ({reason})", "use another model") from error
    network.eval().requires_grad_(False)
    if fold and hasattr(network, "fold"):
        network.fold()
    return spec, network


def begin_from(network: torch.nn.Module, other: torch.nn.Module, name: str, may_lack: tuple[str, ...] = ()) -> None:
    """Give `network` the weights of `other`, that of the model called `name`, which may lack weights whose names begin with one
    of `may_lack`. Raises ModelError if they do not fit."""
    hint = "start from a model of the same kind"
    try:
        missing, unknown = network.load_state_dict(other.state_dict(), strict=False)
    except RuntimeError as error:
        raise ModelError(f"{name} is a network of other sizes", hint) from error
    if wrong := [key for key in missing if not key.startswith(may_lack)] + unknown:
        raise ModelError(f"{name} is another network ({wrong[0]})", hint)
    begin_guides: Callable[[], None] | None = getattr(network, "begin_guides", None)
    if missing and begin_guides is not None:
        begin_guides()


def _fill(network: torch.nn.Module, path: Path) -> None:
    """Copy the file's weights into the network one by one, so that memory holds a large model once."""
    state = network.state_dict()
    with safe_open(path, framework="pt") as file:
        different = set(state) ^ set(file.keys())
        if different:
            raise KeyError(min(different))
        for name, tensor in state.items():
            stored = file.get_tensor(name)
            if stored.shape != tensor.shape:
                raise RuntimeError(f"{name} is {list(stored.shape)}, not {list(tensor.shape)}")
            tensor.copy_(stored)


def _unbuildable(path: Path, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())
    return ModelError(f"{path}: this version cannot build it ({reason})", "update enhance-cli, or use another")


def save_model(path: Path, spec: Spec, network: torch.nn.Module) -> None:
    """Write the header and the weights: matrices in rounded half precision, vectors (biases, gains, frequencies) unchanged.

    An earlier file stays until the new one is complete.
    """
    weights = {
        k: (_rounded(v) if v.is_floating_point() and v.dim() > 1 else v).contiguous().cpu()
        for k, v in network.state_dict().items()
    }
    with replace_file(path) as file:
        file.write(save(weights, metadata=spec.to_metadata()))


def _rounded(matrix: Tensor) -> Tensor:
    """Return a matrix in half precision with two zeros as its last bits, so that the package is an eighth smaller.

    Numbers are off by at most a 400th of themselves.
    """
    return ((matrix.half().contiguous().view(torch.int16) + 2) & ~3).view(torch.half)
