"""A real, tiny training run: the loss falls, the export works, and a killed run goes on as if nothing had happened."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import enhance_cli
from enhance_cli.errors import EnhanceError
from enhance_cli.training.loop import Trainer, schedule
from enhance_cli.training.recipe import Stage, load


@pytest.fixture
def trainer(recipe_file, corpus_root, tmp_path):
    def make(run="run", overrides=()):
        lines = []
        made = Trainer(
            load(str(recipe_file), list(overrides)),
            corpus_root,
            tmp_path / run,
            tmp_path / "cache",
            torch.device("cpu"),
            lines.append,
            lambda line: None,
        )
        return made, lines

    return make


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_its_export_denoises(trainer, tmp_path):
    made, lines = trainer()
    path = made.train()
    curve = losses(tmp_path / "run")
    assert curve[-1] < curve[0]
    assert {"si_sdr", "pesq"} & set(lines[-1])
    assert enhance_cli.load_model(str(path)).spec.training["steps"] == 40, "the export is of an earlier stage"
    audio = np.random.default_rng(0).standard_normal((1, 8000)) * 0.1
    assert enhance_cli.denoise(audio, 16000, model=str(path)).shape == audio.shape
    card = enhance_cli.load_model(str(path)).spec.training
    text = (tmp_path / "run" / "tiny.md").read_text()
    assert "# tiny" in text and "CC BY 4.0" in text and f"{card['validation']['si_sdr']:.3f}" in text
    assert card["licences"] == "CC BY 4.0" and card["validation"]["si_sdr"] and card["recipe"]["stage"]


def test_a_finished_run_is_left_alone(trainer, tmp_path):
    trainer()[0].train()
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    trainer()[0].train()
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_a_run_killed_and_resumed_has_the_same_curve(recipe_file, corpus_root, trainer, tmp_path):
    """kill -9 right after a save; the curve must equal that of an undisturbed run, to the bit."""
    trainer("whole")[0].train()
    code = (
        "import sys, torch; from pathlib import Path; from enhance_cli.training import loop; "
        "from enhance_cli.training.recipe import load; loop.SAVE_SECONDS = 0; "
        "r, d, o, c = map(Path, sys.argv[1:]); "
        "loop.Trainer(load(str(r)), d, o, c, torch.device('cpu'), print, print).train()"
    )
    run = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", code, recipe_file, corpus_root, run, tmp_path / "cache"], stdout=subprocess.DEVNULL
    )
    while not (run / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    trainer("killed")[0].train()
    assert losses(run) == losses(tmp_path / "whole")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state(trainer, tmp_path):
    made, _ = trainer(overrides=["train.validate_every=1000"])
    with torch.no_grad():
        made.model.network.head[0].weight.fill_(float("nan"))
    with pytest.raises(EnhanceError, match="not finite at batch 0"):
        made.train()
    assert not (tmp_path / "run" / "state.pt").exists()


def test_learning_rate_warms_up_and_falls_in_every_stage():
    stages = [Stage("a", 100, lr=1.0, lr_end=0.1, warmup=10), Stage("b", 50, lr=0.5, lr_end=0.0, warmup=1)]
    rates = [schedule(stages, step)[1] for step in range(150)]
    assert rates[0] < 0.2 and max(rates[:100]) > 0.9 and rates[99] == pytest.approx(0.1, abs=0.01)
    assert rates[100] == 0.5 and rates[149] < 0.01
    assert schedule(stages, 100)[0].loss == "b"


def test_the_command_trains_from_a_recipe(recipe_file, corpus_root, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "enhance_cli", "train", recipe_file, "--data", corpus_root, "--run", run]
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True)
    facts = json.loads(dry.stdout)
    assert facts["parameters"] > 0 and facts["batches"] == 40 and not (run / "state.pt").exists()
    settings = ["--set", "stage.0.steps=3", "--set", "stage.1.steps=2"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(run / "tiny.safetensors")
