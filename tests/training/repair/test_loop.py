"""Training of a repair, for real but tiny: it lowers the error rate of voices it never heard, resumes, or is refused."""

import json

import numpy as np
import pytest
import torch

from enhance_cli.data.degraded import CONDITIONS
from enhance_cli.errors import EnhanceError, UsageError
from enhance_cli.metrics.condition_eer import error_rates
from enhance_cli.models.load import load_file
from enhance_cli.tasks.repair import Repairer
from enhance_cli.training import loop
from enhance_cli.training.loop import Trainer
from enhance_cli.training.parallel import Ranks
from enhance_cli.training.recipe import load
from enhance_cli.training.repair.task import Repair, VectorPairs, harmless

pytestmark = pytest.mark.slow

SIZE = 16
SETS = [
    f"model.network_args={{ dimension = {SIZE}, blocks = 1 }}", f"model.extractor={{ id = 'toy', dimension = {SIZE} }}",
    "train.batch_size=64", "train.validate_every=60", "stage.0.steps=120", "stage.0.lr=3e-3", "stage.0.ema=0.9",
]  # fmt: skip


class Toy:
    """Voices in half of the directions; every bad condition pushes along one of its own in the other half."""

    def __init__(self, harm: float = 2.0):
        rng, count = np.random.default_rng(0), len(CONDITIONS)
        push = np.zeros((count, SIZE))
        push[range(1, count), range(SIZE // 2, SIZE // 2 + count - 1)] = harm

        def make(*shape):
            voice = np.zeros((*shape, 1, SIZE))
            voice[..., : SIZE // 2] = rng.standard_normal((*shape, 1, SIZE // 2))
            pushed = rng.uniform(0, 2, (*shape, count, 1)) * push
            return voice, voice + pushed + 0.2 * rng.standard_normal((*shape, count, SIZE))

        clean, heard = make(400)
        self.stored = np.concatenate([clean, heard], axis=1)[:, :, None].repeat(2, axis=2).astype(np.float16)
        _, heard = make(12)
        heard = heard.repeat(4, axis=0) + 0.3 * rng.standard_normal((48, count, SIZE))
        heard += rng.uniform(0, 1, (48, count, 1)) * push
        self.heard = (heard / np.linalg.norm(heard, axis=-1, keepdims=True)).astype(np.float32)
        self.speakers = [f"toy/{n}" for n in range(12) for _ in range(4)]

    def describe(self):
        hours = ("speech_hours", "speech_hours_held_out", "noise_hours", "noise_hours_held_out", "music_hours")
        return dict.fromkeys(hours, 0.0) | {"trial_speakers": 12, "trial_utterances": 48}

    def vectors(self):
        return self.stored

    def trials(self):
        return self.heard, self.speakers


@pytest.fixture
def trainer(tmp_path):
    def make(run="run", sets=(), toy=None):
        torch.manual_seed(0)
        task = Repair(load("seed-ge2e", [*SETS, *sets]), torch.device("cpu"))
        task.material = toy or Toy()
        silent = lambda line: None
        return Trainer(task, tmp_path / run, Ranks(task.device), silent, silent)

    return make


def curve(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_what_it_exports_is_what_it_measured(trainer, tmp_path):
    toy, made = Toy(), trainer()
    path = made.train()
    raw = error_rates(toy.heard, toy.speakers, CONDITIONS)
    repairer = Repairer(load_file(path, torch.device("cpu")))
    vectors = repairer.repair(toy.heard.reshape(-1, SIZE)).reshape(toy.heard.shape)
    rates = error_rates(vectors, toy.speakers, CONDITIONS)
    assert rates["degraded"] < 0.8 * raw["degraded"] and rates["clean"] <= 1.02 * raw["clean"]
    said = repairer.model.spec.training["validation"]
    assert rates["degraded"] == pytest.approx(said["degraded"], abs=0.3)
    pairs = np.triu_indices(48, 1)
    accepted = (vectors[:, 1] @ vectors[:, 1].T)[pairs] >= repairer.model.spec.training["threshold"]
    same = np.equal.outer(np.array(toy.speakers), np.array(toy.speakers))[pairs]
    assert accepted[same].mean() > 0.6 and accepted[~same].mean() < 0.4
    card = path.with_suffix(".md").read_text()
    assert "# seed-ge2e" in card and f"| degraded | {raw['degraded']:.2f} | {said['degraded']:.2f} |" in card
    curve_ = curve(tmp_path / "run")
    assert curve_[-1] < curve_[0]


def test_a_model_that_does_not_help_is_not_written(trainer, tmp_path):
    made = trainer(sets=["stage.0.lr=0", "stage.0.lr_end=0"])
    with pytest.raises(EnhanceError, match="no model was kept.*train longer"):
        made.train()
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_run_that_stops_and_goes_on_ends_as_if_it_had_not(trainer, tmp_path, monkeypatch):
    trainer("whole").train()
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    made, steps = trainer("parts"), []

    def stop(line):
        steps.append(line["step"])
        if len(steps) == 3:  # one has been validated, and exported
            raise KeyboardInterrupt

    made.report = stop
    with pytest.raises(KeyboardInterrupt):
        made.train()
    assert made.path.exists()
    trainer("parts").train()
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")


def test_batches_pair_inputs_with_the_clean_target():
    stored, pairing = Toy().stored, load("seed-ge2e").pairing
    targets, inputs = VectorPairs(stored, pairing, 0).batch(3, 256)
    again = VectorPairs(stored, pairing, 0).batch(3, 256)
    assert np.array_equal(targets, again[0]) and np.array_equal(inputs, again[1])
    assert np.linalg.norm(targets, axis=1) == pytest.approx(np.ones(256), abs=1e-5)
    known = stored[:, 0, 0].astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    assert (targets @ known.T).max(axis=1) == pytest.approx(np.ones(256), abs=1e-3)
    assert 0.05 < (np.einsum("bd,bd->b", targets, inputs) > 0.95).mean() < 0.7


@pytest.mark.parametrize(
    "change, message",
    [
        ('pairing.conditions=["rain"]', "rain not among clean, noise"),
        ('pairing.target="best"', 'choose "crop" or "recording"'),
        ("embedding.segment=9", "longer than a crop of 3.2 s"),
        ("embedding.crop=9", "unknown key 'crop'.*did you mean 'crops'"),
    ],
)
def test_mistakes_in_a_recipe_are_named(change, message):
    with pytest.raises(UsageError, match=message):
        load("seed-ge2e", [change])


def test_a_model_that_harms_clean_speech_or_does_not_help_is_refused():
    raw = {"clean": 2.0, "degraded": 20.0}
    assert harmless({"clean": 2.04, "degraded": 19.0}, raw)
    assert not harmless({"clean": 2.05, "degraded": 10.0}, raw)
    assert not harmless({"clean": 1.0, "degraded": 20.0}, raw)
