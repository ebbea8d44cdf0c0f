"""The skeletons of CONTRIBUTING.md, followed step by step in a copy of the package, as a newcomer would."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SKELETON = re.compile(r"```(?:python|toml)\n# (?P<file>[\w./]+)(?:, (?P<where>[^\n]*))?\n(?P<text>.*?)```", re.DOTALL)
ANCHORS = {  # lines behind which a skeleton goes that is not for the inside of a dictionary
    "at the imports": r"^from enhance_cli\.commands\.\S+ import .*\n",
    "at the end of the table": r"^    app\.command\(.*\n",
    "at the end": r"\Z",
}


def insert(text: str, where: str, lines: str) -> str:
    if where.startswith("in "):
        start = re.search(rf"^{where[3:]}\b.*?\{{\n", text, re.MULTILINE | re.DOTALL)
        assert start, f"no dictionary {where[3:]}"
        return text[: start.end()] + lines + text[start.end() :]
    end = list(re.finditer(ANCHORS[where], text, re.MULTILINE))[-1].end()
    return text[:end] + lines + text[end:]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the project with all skeletons in it, and the model trained for two steps and listed."""
    folder = tmp_path_factory.mktemp("newcomer")
    for name in ("enhance_cli", "tests"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "benchmarks", "golden")
        )
    for name in ("weights.toml", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    tables = ""
    for file, where, text in SKELETON.findall((ROOT / "CONTRIBUTING.md").read_text()):
        path = folder / file
        if file == "weights.toml":
            tables = text
        elif where:
            path.write_text(insert(path.read_text(), where, text))
        else:
            assert not path.exists(), f"{file} is there already"
            path.write_text(text)
    pairs = folder / "pairs"
    for part in ("train", "valid"):
        shutil.copytree(ROOT / "tests" / "audio_files" / "pairs", pairs / part)
    small = [
        "stage.0.steps=2",
        "train.batch_size=2",
        "train.validation_items=2",
        "train.validate_every=2",
        "train.samples=0",
    ]
    sets = [word for setting in (*small, f"data.pairs={pairs}") for word in ("--set", setting)]
    run(folder, "-m", "enhance_cli", "train", "toy", "--data", ".", "--run", "run", "--threads", "1", *sets)
    for name in ("toy.safetensors", "toy.md"):
        shutil.copy(folder / "run" / name, folder / "enhance_cli" / "checkpoints" / name)
    digest = hashlib.sha256((folder / "run" / "toy.safetensors").read_bytes()).hexdigest()
    listed = folder / "weights.toml"
    listed.write_text(insert(listed.read_text(), "at the end", "\n" + tables.replace("SHA256", digest)))
    return folder


def run(folder: Path, *arguments) -> str:
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_contracts_and_the_own_tests_of_the_skeletons_hold(copy):
    everywhere = "flow_heun or every_file or brothers or clean_matching or frame_mask or duration"
    tests = [
        "test_contracts.py",
        "test_layout.py",
        "losses",
        "models/convert/test_frame_mask.py",
        "commands/test_duration.py",
    ]
    found = run(copy, "-m", "pytest", "-vv", "-k", everywhere, *(f"tests/{name}" for name in tests))
    for case in ("[1-flow_heun-flow_matching", "[clean_matching]", "denoises", "seconds"):
        assert case in found, f"nothing was tested of {case}"


def test_the_model_is_listed_and_denoises(copy):
    assert "toy" in run(copy, "-m", "enhance_cli", "models", "list")
    noisy = ROOT / "tests" / "audio_files" / "noisy_speech.flac"
    out = copy / "toy.wav"
    run(copy, "-m", "enhance_cli", "denoise", noisy, "-o", out, "--model", "toy", "--steps", "2", "--threads", "1")
    assert out.stat().st_size > 100_000


def test_the_skeletons_are_written_as_we_write(copy):
    """Formatted and linted, with imports in order."""
    found = SKELETON.findall((ROOT / "CONTRIBUTING.md").read_text())
    files = [file for file, where, _ in found if file.endswith(".py") and not where]
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *command, *files], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
