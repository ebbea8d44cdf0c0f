"""What all tests share: two small models, and `enhance` run as a user runs it or, faster, inside this process.

`identity_model` is denoise-s before its training, which returns its input; whatever it changes is a fault of ours.
`tiny_model` has random weights that change every sample a lot, so that a seam between windows cannot hide.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the files are short; more threads only wait for each other

PACKAGE_ROOT = str(Path(__file__).parents[1])
TINY = {"channels": [4, 6], "blocks": 1, "dilations": [1], "temporal": 8, "temporal_dilations": [1, 2], "embedding": 8}


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it wrote."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def lines(self) -> list[str]:
        """Standard output by lines, as a script would read it."""
        return self.stdout.decode().splitlines()

    @property
    def errors(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="session")
def identity_model(tmp_path_factory) -> Path:
    from enhance_cli.models.load import save_model
    from enhance_cli.networks import NETWORKS
    from enhance_cli.training.recipe import load

    recipe = load("denoise-s").model
    path = tmp_path_factory.mktemp("models") / "identity.safetensors"
    save_model(path, recipe, NETWORKS[recipe.network](**recipe.network_args))
    return path


@pytest.fixture(scope="session")
def tiny_network():
    """A bridge_unet of 6,000 weights, all of them random, also those that make a new network the identity."""
    import torch

    from enhance_cli.networks import NETWORKS

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS["bridge_unet"](**TINY)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.0)
                torch.nn.init.normal_(module.bias, std=0.1)
        for layer in (network.head[0], network.widen):
            torch.nn.init.normal_(layer.weight, std=0.1)
    return network.eval()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, tiny_network) -> Path:
    from enhance_cli.models.load import save_model
    from enhance_cli.models.spec import Spec

    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    spec = Spec("tiny", "bridge_unet", "brownian_bridge", network_args=TINY)
    save_model(path, spec, tiny_network)
    return path


@pytest.fixture
def start_python(tmp_path) -> Callable[..., subprocess.Popen]:
    """Start this Python on a module or on code, in `tmp_path`, with our package importable and one thread."""

    def start(*arguments, env=None, **streams) -> subprocess.Popen:
        path = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **(env or {})}
        command = [sys.executable, *map(os.fspath, map(_text, arguments))]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, **streams)

    return start


@pytest.fixture
def run_python(start_python) -> Callable[..., Finished]:
    """As `start_python`, to its end."""

    def run(*arguments, input: bytes | None = None, env=None) -> Finished:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with start_python(*arguments, env=env, **pipes) as process:
            stdout, stderr = process.communicate(input, timeout=120)
        return Finished(process.returncode, stdout, stderr.decode())

    return run


@pytest.fixture
def run_enhance(run_python) -> Callable[..., Finished]:
    """`enhance ARGUMENTS` as a process of its own, in `tmp_path`."""
    return lambda *arguments, **options: run_python("-m", "enhance_cli", *arguments, **options)


@pytest.fixture
def enhance(tmp_path, monkeypatch, capfdbinary) -> Callable[..., Finished]:
    """`enhance ARGUMENTS` by the same entry point inside this process: no waiting for torch to load."""
    from enhance_cli.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> Finished:
        monkeypatch.setattr(sys, "argv", ["enhance", *(_text(argument) for argument in arguments)])
        capfdbinary.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        written = capfdbinary.readouterr()
        return Finished(code, written.out, written.err.decode())

    return run


def _text(argument) -> str:
    return os.fspath(argument) if isinstance(argument, os.PathLike) else str(argument)
