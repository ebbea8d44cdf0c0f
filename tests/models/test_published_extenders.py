"""AudioSR and FlashSR at the published sizes, pulled from a local hub and run by the command, with weights by formula.

That proves the plumbing, the time and the memory, and nothing else: what such weights make is noise. A second of sound costs a
whole window of 5.12 s.
"""

import json
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.models import registry
from tests.models.hub.local_hub import LocalHub
from tests.models.latent_files import FULL_BIGVGAN, FULL_HIFIGAN, FULL_SIZES, save_audiosr, save_flashsr

pytestmark = pytest.mark.large

BEYOND = 1.5
"""Gigabytes beyond the files, whose pages count while they are mapped, and beyond the network that is filled from one."""
RUN = """
import atexit, os, sys
status = lambda: open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]
atexit.register(lambda: open({peak!r}, "w").write(f"{{status()}} {{sum(os.times()[:2]):.0f}}"))
from enhance_cli.models import registry
tables = open({table!r}).read()
registry._weights_toml = lambda: tables
sys.argv = ["enhance", *sys.argv[1:]]
from enhance_cli.cli import main
main()
"""


def mapped(path: Path) -> memoryview:
    """The bytes of a file, which stay on the disk."""
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@pytest.mark.parametrize("name, settings", [("flashsr", []), ("audiosr-basic", ["--steps", "1", "--guidance", "1"])])
def test_pulled_and_run_at_the_published_size(tmp_path, name, settings):
    source = next(entry.source for entry in registry.published() if entry.name == name)
    if name == "flashsr":
        files = [save_flashsr(tmp_path, FULL_BIGVGAN, **FULL_SIZES), tmp_path / "vae.pth", tmp_path / "sr_vocoder.pth"]
    else:
        files = [save_audiosr(tmp_path / "pytorch_model.bin", FULL_HIFIGAN, **FULL_SIZES)]
    hub = LocalHub({f"{source.repo}/{path.name}": mapped(path) for path in files})
    for content in hub.files.values():
        hub.tag(content)  # before anybody waits for it
    table = tmp_path / "weights.toml"
    table.write_text(re.sub(r'(?m)^sha256 = "8a3506b9.*\n', "", registry._weights_toml()))
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "120"}  # of a disk that others write to
    environment |= {"ENHANCE_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[2])}

    def enhance(*arguments: str) -> subprocess.CompletedProcess:
        code = RUN.format(table=str(table), peak=str(tmp_path / "peak"))
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, env=environment, capture_output=True
        )

    def gigabytes() -> float:
        peak, seconds = (tmp_path / "peak").read_text().split()
        print(f"{name}: {int(peak) * 1.024e-6:.2f} GB at most, {seconds} s of CPUs")
        return int(peak) * 1.024e-6

    done = enhance("models", "pull", name)
    hub.close()
    assert done.returncode == 0, done.stderr.decode()
    assert gigabytes() < sum(path.stat().st_size for path in files) * 1e-9 + BEYOND
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 16000, subtype="FLOAT")
    done = enhance("extend-bandwidth", "a.wav", "-m", name, *settings, "--threads", "1", "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr.decode()
    print(done.stderr.decode(), json.loads(done.stdout)["seconds_work"], "seconds")
    model = (tmp_path / f"home/models/{name}.safetensors").stat().st_size * 1e-9
    assert soundfile.info(tmp_path / "a_extended.wav").frames == 48000 and gigabytes() < 2 * model + BEYOND
