"""A corpus of a few seconds and a recipe that trains on it in seconds, with a network small enough to run anywhere."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.training.loop import Trainer
from enhance_cli.training.start import make_trainer

CLIPS = Path(__file__).parents[1] / "audio_files" / "pairs" / "clean"

RECIPE = """
[model]
name = "tiny"
network = "bridge_unet"
process = "brownian_bridge"
network_args = { channels = [8, 12], blocks = 1, dilations = [1], temporal = 16, temporal_dilations = [1], embedding = 8 }

[train]
batch_size = 4
precision = "fp32"
validate_every = 20
validation_items = 2
samples = 0

[mix]
seconds = 0.5

[[stage]]
loss = "data_prediction"
steps = 30
lr = 3e-3
warmup = 2
ema = 0.9

[[stage]]
loss = "reverse_process"
loss_args = { steps = 3 }
steps = 10
lr = 1e-4
warmup = 2
ema = 0.9
fixed_statistics = true

[data]
rooms = 4
licences = "CC BY 4.0"

[[data.speech]]
folder = "speech"
groups = "folder"
held_out = 0.5

[[data.noise]]
folder = "noise"
held_out = 0.5
"""


@pytest.fixture(scope="session")
def corpus_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    for clip in CLIPS.glob("*.flac"):
        audio, rate = soundfile.read(clip)
        folder = root / "speech" / clip.stem
        folder.mkdir(parents=True)
        soundfile.write(folder / "clip.flac", audio[: 2 * rate], rate)
    (root / "noise").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        soundfile.write(root / "noise" / f"{number}.wav", 0.1 * rng.standard_normal(16000), 16000)
    return root


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> Path:
    """Where runs keep packed recordings and simulated rooms, so that these are made once for all."""
    return tmp_path_factory.mktemp("packed")


@pytest.fixture(scope="session")
def recipe_text() -> str:
    return RECIPE


@pytest.fixture
def recipe_file(tmp_path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def pairs_root(tmp_path_factory) -> Path:
    """Recordings in pairs, as data sets of noisy speech lie."""
    root = tmp_path_factory.mktemp("pairs")
    for part in ("train", "valid"):
        shutil.copytree(CLIPS.parent, root / part)
    return root


@pytest.fixture(scope="session")
def trainer_in(corpus_root, packed):
    """Make the trainer of a recipe on the CPU, with its run below a folder."""

    def make(folder: Path, recipe, *, run: str = "run", report=lambda line: None) -> Trainer:
        return make_trainer(
            recipe, corpus_root, folder / run,
            cache=packed, device=torch.device("cpu"), report=report, log=lambda line: None,
        )  # fmt: skip

    return make
