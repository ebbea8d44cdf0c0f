"""The wheel that users install holds everything: it denoises from an empty folder, far from the source tree."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from enhance_cli.batch.page.document import SCRIPTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NOISY = ROOT / "tests" / "audio_files" / "noisy_speech.flac"


def build(root: Path, folder: Path, before: str = "") -> Path:
    code = f"{before}\nfrom hatchling.cli import hatchling\nhatchling()"
    command = [sys.executable, "-c", code, "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_is_small_and_complete(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "weights.toml",
        "presets.toml",
        "checkpoints/denoise-s.safetensors",
        "checkpoints/denoise-48k.safetensors",
    ):
        assert f"enhance_cli/{needed}" in names
    assert {f"enhance_cli/batch/page/{name}" for name in ("page.html", "page.css", *SCRIPTS)} <= set(names)
    assert {f"enhance_cli/checkpoints/ge2e.{kind}" for kind in ("safetensors", "md", "LICENSE")} <= set(names)
    graphs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "enhance_cli/checkpoints/graphs").glob("*.onnx")}
    assert graphs and graphs == {name for name in names if name.startswith("enhance_cli/checkpoints/graphs/")}
    assert any(name.startswith("enhance_cli/training/recipes/") for name in names)
    assert not any(name.startswith("tests/") for name in names)
    assert "enhance_cli/py.typed" in names
    assert any(name.endswith(".data/data/share/man/man1/enhance.1") for name in names), "`man enhance` finds nothing"
    assert any(name.endswith("licenses/LICENSE_weights") for name in names)
    assert wheel.stat().st_size < 40e6


def test_the_image_installs_the_same_package(wheel, tmp_path):
    """The build needs a Docker daemon and its base image; this copies as the Dockerfile does, and builds from that alone."""
    for line in re.findall(r"^COPY (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        *sources, target = line.split()
        (tmp_path / "src" / target).mkdir(parents=True, exist_ok=True)
        for source in sources:
            if (ROOT / source).is_dir():  # COPY takes what is in it
                shutil.copytree(ROOT / source, tmp_path / "src" / target, dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / source, tmp_path / "src" / target)
    uncompressed = "import zlib\nzlib.Z_DEFAULT_COMPRESSION = 0"  # its names count, not its size
    copied = build(tmp_path / "src", tmp_path / "wheel", uncompressed)
    assert zipfile.ZipFile(copied).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_installed_wheel_denoises_with_every_shipped_model(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    for model in ("denoise-s", "denoise-48k", "deepfilternet3", "deepfilternet3-tuned"):
        command = [sys.executable, "-m", "enhance_cli", "denoise", str(NOISY), "-o", f"{model}.wav", "--model", model]
        command += ["--duration", "2"]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"{model}.wav").stat().st_size > 50_000
    where = "import enhance_cli; print(enhance_cli.__file__)"
    env = os.environ | {"PYTHONPATH": str(site)}
    found = subprocess.run([sys.executable, "-c", where], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert found.stdout.startswith(str(site))
