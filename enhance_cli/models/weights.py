"""Read a network from a .safetensors model file, and write one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from enhance_cli.atomic import replace_file
from enhance_cli.errors import ModelError, one_line
from enhance_cli.models.spec import Spec, check_sha256, read_spec
from enhance_cli.networks import NETWORKS


def load_network(path: Path, sha256: str | None = None, fold: bool = True) -> tuple[Spec, torch.nn.Module]:
    """Return the header and the network in `path`, in evaluation mode on the CPU.

    Normalizations are folded if `fold` is set and the network can. Raises ModelError if the file is damaged, or if its weights
    do not fit the network.
    """
    check_sha256(path, sha256)
    spec = read_spec(path)
    try:
        with _no_larger_than(path.stat().st_size):
            network = NETWORKS[spec.network](**spec.network_args)
    except Exception as error:  # a header can ask for anything
        raise unbuildable(path, error) from error
    try:
        _copy_weights(network, path)
    except (RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{path}: the weights do not fit {spec.network} ({reason})", "use another model") from error
    network.eval().requires_grad_(False)
    if fold and hasattr(network, "fold"):
        network.fold()
    return spec, network


@contextmanager
def _no_larger_than(size: int) -> Iterator[None]:
    """Raise ValueError while a network is built if it has more weights than a file of `size` bytes can hold.

    A header could otherwise ask for all of the memory. Four weights for each byte leave room for weights that are built several
    times, as by a weight normalization.
    """
    count, thread = 0, get_ident()

    def add(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> None:
        nonlocal count
        if get_ident() == thread:  # the hook is that of all threads, which may build other networks
            count += parameter.numel()
            if count > 4 * size:
                raise ValueError("it asks for more weights than the file holds")

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        hook.remove()


def begin_from(network: torch.nn.Module, other: torch.nn.Module, name: str, optional: tuple[str, ...] = ()) -> None:
    """Copy the weights of `other`, the network of the model called `name`, to `network`.

    `optional`: beginnings of the names of weights that `other` need not have. Raises ModelError if the weights do not fit.
    """
    hint = "start from a model of the same kind"
    try:
        missing, unknown = network.load_state_dict(other.state_dict(), strict=False)
    except RuntimeError as error:
        raise ModelError(f"{name} is a network of other sizes", hint) from error
    if wrong := [key for key in missing if not key.startswith(optional)] + unknown:
        raise ModelError(f"{name} is another network ({wrong[0]})", hint)
    begin_guides: Callable[[], None] | None = getattr(network, "begin_guides", None)
    if missing and begin_guides is not None:
        begin_guides()


def _copy_weights(network: torch.nn.Module, path: Path) -> None:
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
            if tensor.is_floating_point() and not stored.is_floating_point():
                raise RuntimeError(f"{name} holds {stored.dtype}, not {tensor.dtype}")
            tensor.copy_(stored)


def unbuildable(path: Path, error: Exception) -> ModelError:
    """Return the error for a header that this version cannot follow."""
    reason = one_line(error)
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
    """Return a matrix in half precision whose last four bits are zero, which makes the package a fifth smaller.

    Numbers change by at most a 128th of themselves. The difference in the sound is more than 40 dB below it.
    """
    return ((matrix.half().contiguous().view(torch.int16) + 8) & ~15).view(torch.half)
