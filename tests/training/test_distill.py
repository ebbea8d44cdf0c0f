"""Distillation end to end, tiny: a teacher is trained, a student learns from it, and `denoise` runs the student."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.models.spec import read_spec
from enhance_cli.training.recipe import load
from enhance_cli.training.start import run

DATA = [
    "data.rooms=0", 'data.speech=[{ folder = "speech", groups = "folder", held_out = 0.5 }]',
    'data.noise=[{ folder = "noise", held_out = 0.5 }]', "mix.seconds=0.512", "train.batch_size=2",
    'train.precision="fp32"', "train.validation_items=2", "train.validate_every=6", "train.samples=0",
    "stage.0.steps=12", "stage.0.warmup=2", "stage.0.lr=1e-3", "stage.0.ema=0.8",
]  # fmt: skip


class Quiet:
    def __init__(self):
        self.lines = []

    def report(self, line):
        self.lines.append(line)

    def log(self, line):
        pass


@pytest.fixture
def teacher(recipe_file, corpus_root, packed, tmp_path):
    import torch

    recipe = load(str(recipe_file), ["stage.0.steps=20"])
    folders = {"data": corpus_root, "folder": tmp_path / "teacher", "cache": packed}
    return run(recipe, **folders, device=torch.device("cpu"), reporter=Quiet())


def test_a_student_starts_as_its_teacher_and_does_in_one_call_what_denoise_can_run(
    enhance, teacher, corpus_root, packed, tmp_path
):
    sets = [part for setting in DATA for part in ("--set", setting)]
    command = [
        "distill",
        "consistency",
        "--teacher",
        teacher,
        "--data",
        str(corpus_root),
        "--cache",
        str(packed),
    ]
    done = enhance(*command, "--run", str(tmp_path / "student"), "--quiet", *sets)
    assert done.code == 0, done.stderr
    student = done.lines[-1]
    spec = read_spec(Path(student))
    assert spec.name == "tiny-consistency" and spec.samplers == ("consistency",) and spec.max_steps == 4
    assert spec.training["teacher"] == "tiny" and spec.network_args == read_spec(Path(teacher)).network_args
    assert "Trained with `enhance distill consistency --teacher tiny" in Path(student).with_suffix(".md").read_text()
    noisy = tmp_path / "noisy.wav"
    soundfile.write(noisy, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    for steps in ("1", "4"):
        assert enhance("denoise", str(noisy), "-m", student, "-n", steps, "--existing", "overwrite").code == 0
    assert soundfile.info(tmp_path / "noisy_denoised.wav").frames == 16000
    assert enhance("denoise", str(noisy), "-m", student, "-n", "5").code == 2


def test_distilling_without_a_teacher_is_refused(enhance, corpus_root, recipe_file, tmp_path):
    done = enhance(
        "train",
        str(recipe_file),
        "--data",
        str(corpus_root),
        "--run",
        str(tmp_path / "run"),
        "--set",
        "stage.0.loss=consistency",
    )
    assert done.code == 2 and len(done.errors) == 1 and "--teacher" in done.errors[0]
