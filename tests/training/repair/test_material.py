"""From folders of audio to stored embeddings and trials, with the shipped extractor, by the command a user types."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.data.degraded import CONDITIONS

CLIPS = Path(__file__).parents[2] / "audio_files" / "pairs" / "clean"
SOURCES = [
    'data.speech=[{ folder = "speech", groups = "folder", held_out = 0.5 }]',
    'data.noise=[{ folder = "noise", held_out = 0.5 }]', "data.music=[]", "data.rooms=4", "views.seconds=1.6",
    'embedding.precision="fp32"', "embedding.crops=6", "train.batch_size=8", "stage.0.steps=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Four voices with two recordings each, and four noises."""
    root = tmp_path_factory.mktemp("corpus")
    for clip in CLIPS.glob("*.flac"):
        audio, rate = soundfile.read(clip)
        (root / "speech" / clip.stem).mkdir(parents=True)
        for half, part in enumerate(np.array_split(audio, 2)):
            soundfile.write(root / "speech" / clip.stem / f"{half}.flac", part, rate)
    (root / "noise").mkdir()
    for number in range(4):
        noise = 0.1 * np.random.default_rng(number).standard_normal(16000)
        soundfile.write(root / "noise" / f"{number}.wav", noise, 16000)
    return root


@pytest.fixture
def train(enhance, root, tmp_path):
    pytest.importorskip("pyroomacoustics")

    def run(*more, sets=()):
        settings = [part for setting in (*SOURCES, *sets) for part in ("--set", setting)]
        return enhance("train", "seed-ge2e", "--data", str(root), "--run", str(tmp_path / "run"), *settings, *more)

    return run


def test_the_corpora_are_embedded_once_and_a_broken_off_run_goes_on(train, tmp_path):
    first = train()
    assert first.code in (0, 1), first.stderr  # three batches may help or not; if not, it says so and keeps nothing
    assert first.code == 0 or (len(first.errors) == 1 and "no model was kept" in first.errors[0])
    (folder,) = (tmp_path / "run" / "cache").glob("embeddings-*")
    stored, trials = np.load(folder / "0-6.npy"), np.load(folder / "trials.npy")
    assert stored.shape == (6, 1 + len(CONDITIONS), 1, 256) and trials.shape == (4, len(CONDITIONS), 1, 256)
    assert np.linalg.norm(stored.astype(np.float32), axis=-1) == pytest.approx(np.ones(stored.shape[:-1]), abs=2e-3)
    to_target = np.einsum("kcd,kd->kc", stored[:, 1:, 0].astype(float), stored[:, 0, 0].astype(float)).mean(axis=0)
    assert to_target[0] > 0.8 and to_target[0] > to_target[1:].max()  # clean speech is nearest, whatever its level
    again = train(sets=["stage.0.steps=4"])
    assert "embedding" not in again.stderr and "resuming at step 3" in again.stderr


def test_a_dry_run_tells_what_there_is_and_embeds_nothing(train, tmp_path):
    done = train("--dry-run")
    assert done.code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["trial_speakers"] == 2 and facts["trial_utterances"] == 4 and facts["parameters"] > 2e6
    assert not list((tmp_path / "run" / "cache").glob("embeddings-*"))


def test_trials_need_two_known_voices(train):
    done = train(sets=['data.speech=[{ folder = "speech", held_out = 0.5 }]'])
    assert done.code == 2 and len(done.errors) == 1 and 'groups = "folder"' in done.errors[0]
