"""What all tests share: two small models, and `enhance` run as a user runs it or, faster, inside this process.

`identity_model` is denoise-s before its training, which returns its input; whatever it changes is a fault of ours.
`tiny_model` has random weights that change every sample a lot, so that a seam between windows cannot hide.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ["ENHANCE_CONFIG"] = os.devnull  # the settings of whoever runs the tests are not theirs
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the files are short; more threads only wait for each other

# Hundreds of processes are started: each finds the package compiled, as it is where it is installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A run in the background (nohup, a CI's shell) ignores these, and so would every process that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

NOBODY = 65534  # a user without rights
PACKAGE_ROOT = str(Path(__file__).parents[1])
TINY = {"channels": [4, 6], "blocks": 1, "dilations": [1], "temporal": 8, "temporal_dilations": [1, 2], "embedding": 8}


def pytest_collection_modifyitems(config, items) -> None:
    """Let files with long tests begin where several workers share them out, so that none of these is left alone with one."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items for mark in ("slow", "cluster") if item.get_closest_marker(mark)}
        items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from looking through all that was imported, again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def graphs_are_opened_once():
    """Keep the graphs of shipped models, which no run changes: opening those of the default model takes a fifth of a second."""
    from enhance_cli.models.graphs import packaged

    opened, graphs = packaged.open_graph, {}

    def open_graph(spec, entry, threads=None, name=None):
        if packaged.registry.PACKAGE not in entry.path.parents:
            return opened(spec, entry, threads, name)
        key = entry.path, entry.sha256, packaged.graph_path(spec, name), threads
        if key not in graphs:
            graphs[key] = opened(spec, entry, threads, name)
        return graphs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packaged, "open_graph", open_graph)
        yield


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
    from enhance_cli.models.weights import save_model
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
    from enhance_cli.models.spec import Spec
    from enhance_cli.models.weights import save_model

    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    spec = Spec("tiny", "bridge_unet", "brownian_bridge", network_args=TINY)
    save_model(path, spec, tiny_network)
    return path


@pytest.fixture(scope="session")
def small_cnn14():
    """A Cnn14 for segments, 30 times as thin as the published one, whose random opinions differ from segment to segment."""
    import torch

    from enhance_cli.networks import NETWORKS

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = NETWORKS["cnn14_decision_level"](classes=40, width=2).eval().requires_grad_(False)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        network.fc_audioset.weight.mul_(1e-4)
        opinions = network(0.1 * torch.randn(1, 32000 * 8) * torch.linspace(0.5, 1, 32000 * 8))[0].logit()
    layer, spread = network.fc_audioset, opinions.std(dim=0)
    layer.weight.div_(spread[:, None])
    layer.bias.sub_(opinions.mean(dim=0)).div_(spread).sub_(1)
    return network


@pytest.fixture(scope="session")
def repair_model(tmp_path_factory) -> Path:
    """Repairs embeddings of ge2e with random weights, which turn every vector a little."""
    import torch

    from enhance_cli.models.spec import Spec
    from enhance_cli.models.weights import save_model
    from enhance_cli.networks import NETWORKS

    sizes = {"dimension": 256, "width": 32, "time_width": 16, "blocks": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS["rdm_mlp"](**sizes)
        for layer in (network.res_blocks[0].out_layers[3], network.out[2]):
            torch.nn.init.normal_(layer.weight, std=0.05)
    path = tmp_path_factory.mktemp("models") / "mend.safetensors"
    spec = Spec(
        "mend", "rdm_mlp", "ddpm", "enhance-embedding", sizes, frontend=None, normalise="unit-rms", max_steps=1000,
        prediction={"kind": "data", "skip": "signal"}, samplers=("ddim",), default_time=50.0,
        extractor={"id": "ge2e-resemblyzer", "dimension": 256}, training={"threshold": 0.75},
    )  # fmt: skip
    save_model(path, spec, network)
    return path


@pytest.fixture(scope="session")
def stem_model(tmp_path_factory) -> Path:
    """Four stems by a UNet1d of random weights and a consistency refiner of its kind, at 8 kHz in windows of one second."""
    import torch

    from enhance_cli.models.spec import Spec
    from enhance_cli.models.weights import save_model
    from enhance_cli.networks import NETWORKS

    sizes = {"channels": 32, "multipliers": [1, 1], "factors": [4], "num_blocks": [1], "attentions": [False]}
    sizes |= {"network": "unet1d", "attention_heads": 1, "attention_features": 4, "resnet_groups": 4}
    spec = Spec(
        "stems",
        "stem_pair",
        "edm",
        task="extract-stem",
        network_args={"extractor": sizes, "refiner": sizes | {"time": True}},
        frontend=None,
        sample_rate=8000,
        normalise="none",
        window_seconds=1.024,
        frames_multiple=64,
        stems=("bass", "drums", "guitar", "piano"),
        complete=True,
        min_steps=0,
        max_steps=4,
        samplers=("consistency", "heun"),
        sampler_args={"consistency": {"limit": 1.0}},
        start_sigma={"1": 0.02, "2": 0.2},
        prediction={
            "input_scaling": "edm_in",
            "skip": "consistency_skip",
            "out": "consistency_out",
            "sigma_data": 0.2,
            "sigma_min": 1e-4,
            "time": "ln/4",
        },
    )
    path = tmp_path_factory.mktemp("models") / "stems.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS["stem_pair"](**spec.network_args)
        with torch.no_grad():
            for pair in (network.extractor, network.refiner):
                for layer in (pair.to_out.module_list[0].block.block2.project, pair.to_out.module_list[0].block.to_out):
                    layer.weight *= 0.05
                    layer.bias.zero_()
    save_model(path, spec, network)
    return path


@pytest.fixture
def unprivileged(tmp_path):
    """A context in which permission bits bind us even when the tests run as root. Use relative paths inside
    it.
    """

    @contextlib.contextmanager
    def context():
        if not hasattr(os, "geteuid") or os.geteuid() != 0:
            yield
            return
        tmp_path.chmod(0o777)
        try:
            os.setresuid(NOBODY, NOBODY, 0)
        except OSError:
            pytest.skip("this container has no other user than root")
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return context


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
            stdout, stderr = process.communicate(input, timeout=600)
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
