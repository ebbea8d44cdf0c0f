"""A real, tiny training run: the loss falls, the export works, and a killed run goes on as if nothing had happened."""

import json
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

import enhance_cli
from enhance_cli.errors import AudioError, EnhanceError, UsageError
from enhance_cli.training import loop
from enhance_cli.training.recipe import load
from enhance_cli.training.stage import Stage, schedule
from enhance_cli.training.start import make_trainer

pytestmark = pytest.mark.slow


@pytest.fixture
def trainer(trainer_in, recipe_file, tmp_path):
    def make(run="run", overrides=()):
        lines = []
        return trainer_in(tmp_path, load(str(recipe_file), overrides), run=run, report=lines.append), lines

    return make


@pytest.fixture(scope="module")
def whole(recipe_text, corpus_root, packed, tmp_path_factory):
    """The folder of a run that nothing disturbed, and the lines it reported; (trainer, folder, lines)."""
    folder, lines = tmp_path_factory.mktemp("whole"), []
    (folder / "tiny.toml").write_text(recipe_text)
    recipe, device, silent = load(str(folder / "tiny.toml")), torch.device("cpu"), lambda line: None
    settings = {"cache": packed, "device": device, "report": lines.append, "log": silent}
    make = lambda: make_trainer(recipe, corpus_root, folder, **settings)
    make().train()
    return make, folder, lines


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_its_export_denoises(whole):
    _, folder, lines = whole
    path = folder / "tiny.safetensors"
    curve = losses(folder)
    assert curve[-1] < curve[0]
    assert {"si_sdr", "pesq"} & set(lines[-1])
    assert enhance_cli.load_model(str(path)).spec.training["steps"] == 40, "the export is of an earlier stage"
    audio = np.random.default_rng(0).standard_normal((1, 8000)) * 0.1
    assert enhance_cli.denoise(audio, 16000, model=str(path)).shape == audio.shape
    card = enhance_cli.load_model(str(path)).spec.training
    text = (folder / "tiny.md").read_text()
    assert "# tiny" in text and "CC BY 4.0" in text and f"{card['validation']['si_sdr']:.3f}" in text
    assert card["licences"] == "CC BY 4.0" and card["validation"]["si_sdr"] and card["recipe"]["stage"]


def test_a_finished_run_is_left_alone(whole):
    again, folder, _ = whole
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    before = [path.read_bytes() for path in files]
    assert again().train() == folder / "tiny.safetensors"
    assert [path.read_bytes() for path in files] == before


def test_a_run_killed_and_resumed_has_the_same_curve(recipe_file, corpus_root, packed, trainer, whole, tmp_path):
    """kill -9 right after a save; the curve must equal that of an undisturbed run, to the bit."""
    code = (
        "import sys, torch; from pathlib import Path; from enhance_cli.training import loop, start; "
        "from enhance_cli.training.recipe import load; loop.SAVE_SECONDS = 0; "
        "r, d, o, c = map(Path, sys.argv[1:]); "
        "make = start.make_trainer; device = torch.device('cpu'); "
        "make(load(str(r)), d, o, cache=c, device=device, report=print, log=print).train()"
    )
    run = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", code, recipe_file, corpus_root, run, packed], stdout=subprocess.DEVNULL
    )
    while not (run / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    trainer("killed")[0].train()
    assert losses(run) == losses(whole[1])


def test_an_interrupted_run_says_how_it_is_continued(trainer, monkeypatch):
    def stop(line: dict) -> None:
        raise KeyboardInterrupt

    for saved, message in ((False, "stopped before anything was saved: the same command begins anew"),
                           (True, "after saving: the same command continues there")):  # fmt: skip
        stopped, said = trainer("stopped", overrides=["train.validate_every=2"])[0], []
        stopped.report, stopped.log = stop, said.append
        monkeypatch.setattr(loop, "SAVE_SECONDS", 0 if saved else 1000)
        with pytest.raises(KeyboardInterrupt):
            if saved:
                stopped.report = lambda line: stop(line) if line["step"] == 4 else None
            stopped.train()
        assert message in said[-1]


def test_a_run_goes_on_with_more_stages_and_smaller_rates_but_not_as_another(recipe_file, trainer, tmp_path):
    trainer("grown")[0].train()
    for setting, before in (("mix.seconds=1", "mix.seconds = 0.5"), ("stage.0.steps=5", "stage.0.steps = ")):
        with pytest.raises(UsageError, match=f"this run was begun with {before}.*--run"):
            trainer("grown", overrides=[setting])[0].train()
    more = recipe_file.read_text() + '\n[[stage]]\nloss = "data_prediction"\nsteps = 4\nlr = 1e-4\n'
    recipe_file.write_text(more)
    later = ["stage.0.lr=1e-4", "train.validate_every=2", "model.refinement=0.8"]
    trainer("grown", overrides=later)[0].train()
    spec = enhance_cli.load_model(str(tmp_path / "grown" / "tiny.safetensors")).spec
    assert spec.training["steps"] > 40 and spec.refinement == 0.8
    assert "--set " + " --set ".join(later) in (tmp_path / "grown" / "tiny.md").read_text()


def test_a_setting_that_came_with_a_newer_version_is_no_other_setting(trainer, tmp_path):
    short = ["stage.0.steps=2", "stage.1.steps=1"]
    trainer(overrides=short)[0].train()
    path = tmp_path / "run" / "state.pt"
    state = torch.load(path)
    del state["recipe"]["mix"]["codec"], state["recipe"]["stage"][0]["unguided"], state["recipe"]["train"]["start"]
    torch.save(state, path)
    assert trainer(overrides=short)[0].train().exists()
    with pytest.raises(UsageError, match="begun with mix.codec = 0.06, not 0.5"):
        trainer(overrides=[*short, "mix.codec=0.5"])[0].train()


def test_a_worker_that_is_spawned_maps_the_recordings_itself_instead_of_being_sent_them(trainer):
    """As workers are on macOS and Windows: a corpus may be larger than the memory."""
    source = trainer()[0].task.source
    assert source.speech.audio.nbytes > 200_000
    sent = bytes(ForkingPickler.dumps(source.speech))
    assert len(sent) < 20_000
    there = pickle.loads(sent)
    assert isinstance(there.audio, np.memmap) and np.array_equal(there.audio, source.speech.audio)
    part = pickle.loads(ForkingPickler.dumps(source.speech.audio[100:200]))
    assert np.array_equal(part, source.speech.audio[100:200])
    twin = pickle.loads(ForkingPickler.dumps(source))
    assert all(np.array_equal(a, b) for a, b in zip(twin.batch(3, 2), source.batch(3, 2), strict=True))


def poisoned(made, number: int, value: float) -> None:
    """Batch `number` has one sample of that value."""
    draw = made.task.source.batch

    def batch(which, size):
        noisy, clean = draw(which, size)
        if which == number:
            noisy[0, 100] = value
        return noisy, clean

    made.task.source.batch = batch


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(trainer, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    made, _ = trainer()
    poisoned(made, 25, float("nan"))
    with pytest.raises(
        EnhanceError, match=r"not finite at batch 25: lower .*stage.0.lr=0.0015.*last good state is kept"
    ):
        made.train()
    kept = torch.load(tmp_path / "run" / "state.pt")
    assert kept["progress"]["step"] == 25 and all(value.isfinite().all() for value in kept["network"].values())
    assert enhance_cli.load_model(str(tmp_path / "run" / "tiny.safetensors")).spec.training["steps"] == 20
    trainer()[0].train()
    assert losses(tmp_path / "run") == losses(whole[1])


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(trainer, tmp_path):
    made, _ = trainer(overrides=["train.accumulate=2"])
    draw = made.task.loss
    made.task.loss = lambda *batch: (loss := draw(*batch)) + (loss - loss.detach()).abs().sqrt()  # 0, of infinite slope
    before = {name: value.clone() for name, value in made.task.model.network.named_parameters()}
    with pytest.raises(EnhanceError, match=r"not finite at step 0 \(batches 0 to 1\).*nothing had been saved yet"):
        made.train()
    assert all(torch.equal(value, before[name]) for name, value in made.task.model.network.named_parameters())
    assert not (tmp_path / "run" / "state.pt").exists()


def test_batches_from_worker_processes_are_the_same_and_so_are_their_errors(trainer, tmp_path):
    short = ["stage.0.steps=4", "stage.1.steps=2", "train.accumulate=2", "train.validate_every=3"]
    trainer("here", short)[0].train()
    trainer("there", [*short, "train.workers=1"])[0].train()
    assert losses(tmp_path / "here") == losses(tmp_path / "there")
    made, _ = trainer("broken", [*short, "train.workers=1"])
    made.task.source.batch = broken
    with pytest.raises(AudioError, match="^a.wav: cannot be read$"):
        made.train()


def broken(number, size):
    raise AudioError("a.wav: cannot be read")


def test_a_run_folder_of_another_network_is_refused(trainer):
    short = ["stage.0.steps=2", "stage.1.steps=1"]
    trainer(overrides=short)[0].train()
    with pytest.raises(UsageError, match=r"begun with model.network_args.temporal = 16, not 8: .*--run"):
        trainer(overrides=[*short, "model.network_args.temporal=8"])[0].train()


def test_what_a_crash_of_the_machine_left_half_written_is_no_traceback(trainer, tmp_path):
    short = ["stage.0.steps=4", "stage.1.steps=2", "train.validate_every=3"]
    trainer(overrides=short)[0].train()
    metrics, state = tmp_path / "run" / "metrics.jsonl", tmp_path / "run" / "state.pt"
    whole = metrics.read_text()
    metrics.write_text(whole + '{"step": 6, "lo')
    made, _ = trainer(overrides=short)
    said = []
    made.log = said.append
    made.train()
    assert metrics.read_text() == whole and "finished before, at step 6" in said[0]
    good = state.read_bytes()
    for length in (0, 10, 1000, len(good) - 1):
        state.write_bytes(good[:length])
        with pytest.raises(UsageError, match="state.pt: damaged, it cannot be read: delete it, or name another"):
            trainer(overrides=short)[0].train()


@pytest.mark.parametrize(
    "change, message",
    [
        ("model.network_args.channels=8", "model.network_args: bridge_unet cannot be built"),
        ("stage.0.loss=consistency", "consistency distillation needs a teacher"),
        ("train.precision=fp8", "train.precision: 'fp8' is none of auto, fp32, bf16"),
    ],
)
def test_what_cannot_be_trained_is_said_before_training(trainer, change, message):
    with pytest.raises(UsageError, match=message):
        trainer(overrides=[change, "data.pairs=nowhere"])  # nor was the data asked for


def test_learning_rate_warms_up_and_falls_in_every_stage():
    stages = [Stage("a", 100, lr=1.0, lr_end=0.1, warmup=10), Stage("b", 50, lr=0.5, lr_end=0.0, warmup=1)]
    rates = [schedule(stages, step)[1] for step in range(150)]
    assert rates[0] < 0.2 and max(rates[:100]) > 0.9 and rates[99] == pytest.approx(0.1, abs=0.01)
    assert rates[100] == 0.5 and rates[149] < 0.01
    assert [schedule(stages, step)[0] for step in (0, 99, 100, 149, 150)] == [0, 0, 1, 1, 1]


def test_the_command_trains_from_a_recipe(enhance, recipe_file, corpus_root, packed, tmp_path):
    run = tmp_path / "run"
    command = ["train", recipe_file, "--data", corpus_root, "--cache", packed, "--run", run]
    dry = enhance(*command, "--dry-run")
    facts = json.loads(dry.stdout)
    assert facts["parameters"] > 0 and facts["batches"] == 40 and not (run / "state.pt").exists()
    assert facts["audio_hours_seen"] == 0.0222 and "audio seen 1.33 min" in dry.stderr  # 40 batches of 4 x 0.5 s
    done = enhance(*command, "--set", "stage.0.steps=3", "--set", "stage.1.steps=2")
    assert done.code == 0, done.stderr
    assert done.lines == [str(run / "tiny.safetensors")]
