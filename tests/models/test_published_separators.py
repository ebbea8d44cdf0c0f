"""Separators of the published sizes, pulled from a local hub and run by the command, with weights by formula.

A film-like mixture (dialogue, music, the noise of a street) goes through, which proves the plumbing and nothing else: with such
weights the parts are not what their names say. On one free core each takes one to two minutes, most of it in the network: a
short file costs a whole window.
"""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from enhance_cli.audio.resample import Resampler
from enhance_cli.models import registry
from enhance_cli.models.spec import file_sha256
from enhance_cli.networks import NETWORKS
from tests import golden_numbers as golden
from tests.benchmarks.separator_speed import SEPARATORS
from tests.models.hub.local_hub import LocalHub

pytestmark = pytest.mark.large

GIGABYTES = {
    "bs-roformer-musdb": 4.5,
    "mel-roformer-vocals": 4.5,
    "tiger-dnr": 2.0,
    "scnet-small": 2.5,
    "scnet-large": 4.0,
    "scnet-xl-ihf": 4.0,
}
"""Most memory of the process, the weights included."""
RUN = """
import atexit, sys
status = lambda: open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]
atexit.register(lambda: open({peak!r}, "w").write(status()))
from enhance_cli.models import registry
registry._weights_toml = lambda: open({table!r}).read()
sys.argv = ["enhance", *sys.argv[1:]]
from enhance_cli.cli import main
main()
"""


@pytest.fixture
def pulled(tmp_path, start_python):
    """`enhance ARGUMENTS` whose hub serves a file of formula weights in place of the published one."""
    hubs = []

    def serve(name):
        text = registry._weights_toml()
        table = next(entry for entry in registry.published() if entry.name == name)
        path = tmp_path / ("published." + (table.source.file or table.source.url).rpartition(".")[2])
        network, settings, *_ = SEPARATORS[name]
        state = golden.weights(NETWORKS[network](**settings).state_dict())
        (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
        where = f"{table.source.repo}/{table.source.file}" if table.source.repo else "files/published.ckpt"
        hubs.append(LocalHub({where: path.read_bytes()}))
        begin = text.index(f"[{name}]\n")
        end = text.find("\n[", begin + 1)
        entry = re.sub(r'sha256 = ".*"', f'sha256 = "{file_sha256(path)}"', text[begin:end])
        entry = re.sub(r"(size|about) = .*", f"size = {path.stat().st_size}", entry)
        entry = re.sub(r'url = ".*"', f'url = "{hubs[0].url}/{where}"', entry)
        known = tmp_path / "weights.toml"
        known.write_text(text[:begin] + entry + text[end:])
        env = {"HF_ENDPOINT": hubs[0].url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        env["ENHANCE_HOME"] = str(tmp_path / "home")

        def run(*arguments):
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with start_python(
                "-c", RUN.format(table=str(known), peak=str(tmp_path / "peak")), *arguments, env=env, **pipes
            ) as process:
                stdout, stderr = process.communicate(timeout=3600)
            return process.returncode, stdout.decode().splitlines(), stderr.decode()

        return path.stat().st_size, run

    yield serve
    for hub in hubs:
        hub.close()


def film(rate: int) -> np.ndarray:
    """Half a second (N, 2) as of a film: speech in the middle, in the noise of a street, and music at one side."""
    files = Path(__file__).parents[1] / "audio_files"
    speech, music = (soundfile.read(files / name) for name in ("noisy_speech_48k.flac", "music/mixture.flac"))
    half = [
        Resampler(own, rate, 1).push(x[None, own : 2 * own].astype(np.float32), last=True)[0]
        for x, own in (speech, music)
    ]
    speech, music = (x[: rate // 2] for x in half)
    return np.stack([speech + 0.5 * music, speech + 0.1 * music], axis=1)


@pytest.mark.parametrize("name, rate", [(name, 44100 if name == "scnet-small" else 48000) for name in SEPARATORS])
def test_pulled_and_run_at_the_published_size(pulled, tmp_path, name, rate):
    size, enhance = pulled(name)
    published = next(entry for entry in registry.published() if entry.name == name)
    known = published.source.size or published.source.about
    assert abs(size - known) < 0.02 * known, "the file of formula weights is as large as the published one"
    code, _, stderr = enhance("models", "pull", name)
    assert code == 0 and stderr.startswith(f"{name}: {size / 1e6:,.1f} MB, license {published.licence}\n"), stderr
    mix = film(rate)
    soundfile.write(tmp_path / "mix.wav", mix, rate, subtype="FLOAT")
    stem = {"mel-roformer-vocals": "vocals", "tiger-dnr": "dialogue"}.get(name, "bass")
    code, lines, stderr = enhance(
        "extract-stem", "mix.wav", "-m", name, "-s", stem, "--residual", "--threads", "1", "--json"
    )
    assert code == 0, stderr
    print(name, "seconds", json.loads(lines[0])["seconds_work"])
    parts = [soundfile.read(tmp_path / f"mix_{part}.wav")[0] for part in (stem, "residual")]
    largest = np.abs(parts[0]).max()
    assert parts[0].shape == mix.shape and largest > 1e-3
    np.testing.assert_allclose(sum(parts), mix, atol=1e-6 * max(1, largest))
    gigabytes = int((tmp_path / "peak").read_text()) * 1.024e-6
    print(name, "gigabytes", gigabytes)
    assert gigabytes < GIGABYTES[name]
