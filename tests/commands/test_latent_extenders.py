"""AudioSR and FlashSR from a local hub to wider recordings: small networks, weights by formula, files laid out as published."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.resample import resample
from enhance_cli.models import registry
from tests.models.hub.local_hub import LocalHub
from tests.models.latent_files import save_audiosr, save_flashsr

NAMES = ["audiosr-basic", "audiosr-speech", "flashsr"]
_PATCHED = """
import atexit, sys
from enhance_cli.models import registry
tables = open({table!r}).read()
registry._weights_toml = lambda: tables
sys.argv = ["enhance", *sys.argv[1:]]
from enhance_cli.cli import main
main()
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with all three models, and `enhance ARGUMENTS` that knows it, in a process of its own.

    weights.toml is as it is, but for the digest of the real file.
    """
    folder = tmp_path_factory.mktemp("published")
    sources = {entry.name: entry.source for entry in registry.published() if entry.name in NAMES}
    student = save_flashsr(folder)
    files = {"flashsr": [student, folder / "vae.pth", folder / "sr_vocoder.pth"]}
    files |= dict.fromkeys(NAMES[:2], [save_audiosr(folder / "pytorch_model.bin")])
    served = LocalHub(
        {f"{sources[name].repo}/{path.name}": path.read_bytes() for name in NAMES for path in files[name]}
    )
    tables = registry._weights_toml().replace(f'sha256 = "{sources["audiosr-basic"].sha256}"\n', "")
    (folder / "weights.toml").write_text(tables)
    settings = {"HF_ENDPOINT": served.url, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
    environment = (
        os.environ | settings | {"ENHANCE_HOME": str(folder / "home"), "PYTHONPATH": str(Path(__file__).parents[2])}
    )

    def enhance(*arguments):
        code = _PATCHED.format(table=str(folder / "weights.toml"))
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)

    yield folder, served, enhance
    served.close()


@pytest.fixture(scope="module")
def pulled(hub):
    folder, _, enhance = hub
    done = enhance("models", "pull", *NAMES)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr.splitlines()


@pytest.fixture
def known(pulled, monkeypatch):
    """All three models are there, for `enhance` in this process."""
    folder, _ = pulled
    monkeypatch.setattr(registry, "_weights_toml", (folder / "weights.toml").read_text)
    monkeypatch.setenv("ENHANCE_HOME", str(folder / "home"))


def save_voice(path, seconds: float, channels: int = 1) -> np.ndarray:
    """A buzz with pauses at 16 kHz: (N, channels), the second channel quieter."""
    t = np.arange(round(16000 * seconds)) / 16000
    tone = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 55))
    noise = np.random.default_rng(0).standard_normal(t.size)
    mono = 0.05 * (tone + 0.5 * noise) * np.clip(np.sin(3 * t) + 0.3, 0, None)
    audio = np.stack([mono, 0.25 * mono][:channels], axis=1).astype(np.float32)
    soundfile.write(path, audio, 16000, subtype="FLOAT")
    return audio


def spectrum(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    """The band of (N, C) at 48 kHz."""
    found = np.fft.rfft(audio * np.hanning(len(audio))[:, None], axis=0)
    frequency = np.fft.rfftfreq(len(audio), 1 / 48000)
    return found[(frequency >= low) & (frequency < high)]


@pytest.mark.slow
def test_terms_are_shown_before_anything_is_pulled_and_all_files_are_pinned(hub, pulled):
    _, served, _ = hub
    folder, lines = pulled
    wanted = {"audiosr-basic": "Apache-2.0", "audiosr-speech": "none stated", "flashsr": "none stated"}
    for name in NAMES:
        first, second, *_ = (line for line in lines if line.startswith(f"{name}: "))
        assert re.fullmatch(rf"{name}: about (6,180|3,316)\.\d MB, license {wanted[name]}", first), first
        assert ("no licence is stated for these weights" in second) == (wanted[name] == "none stated")
    pin = json.loads((folder / "home/pins/flashsr.json").read_text())
    assert set(pin["beside"]) == {"vae.pth", "sr_vocoder.pth"} and pin["location"].startswith(
        "hub:datasets/jakeoneijk/"
    )
    assert any("/datasets/jakeoneijk/FlashSR_weights/" in path for _, path in served.requests)


def test_a_file_beside_that_has_changed_is_refused(hub, pulled):
    folder, _, enhance = hub
    kept = (folder / "home/models/flashsr.safetensors").rename(folder / "kept")
    (vae,) = (folder / "hf").rglob("vae.pth")
    content = vae.resolve()
    content.write_bytes(content.read_bytes()[:-1] + b"x")
    done = enhance("models", "pull", "flashsr")
    assert done.returncode == 3 and "no longer the file that was pulled" in done.stderr and not vae.exists()
    kept.rename(folder / "home/models/flashsr.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audiosr-basic", "flashsr"])
def test_a_recording_becomes_wider_and_keeps_its_band_its_length_and_its_image(known, enhance, tmp_path, name):
    audio = save_voice(tmp_path / "a.wav", 6.0, channels=2)
    steps = ["--steps", 2] if name != "flashsr" else []
    done = enhance("extend-bandwidth", "a.wav", "-m", name, *steps, "--bit-depth", "float", "--json", "--seed", 3)
    assert done.code == 0, done.stderr
    record, wide = json.loads(done.lines[0]), soundfile.read(tmp_path / "a_extended.wav")[0]
    assert record["steps"] == (1 if name == "flashsr" else 2) and record["sampler"] == "ddim"
    narrow = resample(audio.T, 16000, 48000).T
    assert wide.shape == narrow.shape and record["cutoff_after"] > 15000 and record["made_level"] > -90
    edge = record["cutoff_before"]
    lost = spectrum(wide - narrow, 0, 0.95 * edge)
    assert np.linalg.norm(lost) < 1e-3 * np.linalg.norm(spectrum(narrow, 0, 0.95 * edge))
    left, right = (np.linalg.norm(column) for column in spectrum(wide, edge + 500, 20000).T)
    assert left / right == pytest.approx(4, rel=1e-3)  # one source stays in its place


@pytest.mark.slow
def test_the_settings_of_the_sampler_count(known, enhance, tmp_path):
    save_voice(tmp_path / "in.wav", 1.0)
    other = [["--seed", 1], ["--guidance", 1], ["--spacing", "uniform"], ["--steps", 2]]
    made = []
    for name, settings in zip("abcdef", [[], [], *other]):
        settings = ["--steps", 1, *settings]
        done = enhance("extend-bandwidth", "in.wav", "-m", "audiosr-speech", *settings, "-o", f"{name}.wav")
        assert done.code == 0, done.stderr
        made.append(soundfile.read(tmp_path / f"{name}.wav")[0])
    assert np.array_equal(made[0], made[1]) and all(np.abs(x - made[0]).max() > 1e-5 for x in made[2:])


def test_the_time_is_told_before_a_cpu_starts(known, enhance, tmp_path):
    save_voice(tmp_path / "a.wav", 1.0)
    done = enhance("extend-bandwidth", "a.wav", "-m", "audiosr-basic", "--dry-run", "--device", "cpu")
    assert done.code == 0 and not (tmp_path / "a_extended.wav").exists()
    told = r"audiosr-basic, ddim, 50 steps, about \d+ (second|minute|hour)s? in all"
    told += r" \(about \d+ (second|minute|hour)s? for a minute of one channel on this CPU\), on cpu in fp32"
    assert re.search(told, done.stderr), done.stderr
    assert "minute" not in enhance("extend-bandwidth", "a.wav", "-m", "copy-up", "--dry-run").stderr


@pytest.mark.parametrize(
    "model, options, code, message",
    [
        ("flashsr", ["--steps", 4], 2, "--steps 4: flashsr takes 1 step"),
        ("flashsr", ["--guidance", 2], 2, "--guidance 2: flashsr has no guidance"),
        ("copy-up", ["--guidance", 2], 2, "--guidance 2: copy-up has no guidance"),
        ("copy-up", ["--steps", 2], 2, "--steps 2: copy-up takes 1 step"),
        ("copy-up", ["--spacing", "uniform"], 2, "--spacing uniform: copy-up takes no steps"),
        ("audiosr-basic", ["--steps", 2000], 2, "--steps 2000: audiosr-basic takes 1 to 1000 steps"),
        ("audiosr-basic", ["--steps", 300, "--spacing", "uniform"], 2, "300 steps: the published spacing has no such"),
    ],
)
def test_settings_that_a_model_does_not_have_are_said_in_one_line(
    known, enhance, tmp_path, model, options, code, message
):
    save_voice(tmp_path / "a.wav", 0.3)
    done = enhance("extend-bandwidth", "a.wav", "-m", model, *options)
    assert done.code == code and len(done.errors) == 1 and message in done.errors[0], done.stderr


def test_silence_passes_through_and_short_files_are_done(known, enhance, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros((8000, 2), np.float32), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "one.wav", np.full((1, 1), 0.5, np.float32), 8000, subtype="FLOAT")
    save_voice(tmp_path / "short.wav", 0.2)
    done = enhance("extend-bandwidth", "silence.wav", "one.wav", "short.wav", "-m", "flashsr", "-o", "out")
    assert done.code == 0, done.stderr
    assert not soundfile.read(tmp_path / "out/silence.wav")[0].any()
    assert soundfile.info(tmp_path / "out/short.wav").frames == 9600
