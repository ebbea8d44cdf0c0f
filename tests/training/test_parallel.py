"""One run in two processes on the CPU, started as a user starts them: they learn what one process with the batches of both
learns, they hold the same network, and only the first of them talks."""

import pytest
import torch

pytestmark = pytest.mark.slow

RECIPE = """
base = "predictive"
[model]
network_args = { nf = 8, ch_mult = [1, 2], num_res_blocks = 1, attn_resolutions = [] }
[train]
batch_size = 2
precision = "fp32"
validation_items = 1
validate_every = 100
samples = 0
[mix]
seconds = 0.248
[data]
pairs = "."
[[stage]]
loss = "data_prediction"
loss_args = { at_end = 1.0 } # t = 1 always, so that nothing is drawn but the data
steps = 3
lr = 1e-3
warmup = 1
"""

# A run of its own for a network with batch normalization, then the command on the rest of the line.
SCRIPT = """
import os, sys
from pathlib import Path
import torch
from enhance_cli.cli import main
from enhance_cli.training.recipe import load
from enhance_cli.training.start import make_trainer

recipe, data, run = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
del sys.argv[1:4]
settings = ['data.pairs="."', "train.validate_every=100", "stage.0.steps=3", "stage.1.steps=2"]
quiet = lambda line: None
trainer = make_trainer(
    load(recipe, settings), data, run, cache=run, device=torch.device("cpu"), report=quiet, log=quiet
)
trainer.train()
torch.save((trainer.task.model.network.state_dict(), torch.rand(3)), run / f"process{os.environ['RANK']}.pt")
main()
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "par.toml"
    path.write_text(RECIPE)
    return path


def test_two_processes_are_one_with_twice_the_batch(recipe, recipe_file, pairs_root, run_python, enhance, tmp_path):
    (tmp_path / "both.py").write_text(SCRIPT)
    train = ["train", recipe, "--data", pairs_root, "--device", "cpu", "--quiet"]
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", tmp_path / "both.py"]
    done = run_python(*start, recipe_file, pairs_root, tmp_path / "normalised", *train, "-o", tmp_path / "two")
    assert done.code == 0, done.stderr
    assert done.lines == [str(tmp_path / "two" / "predictive.safetensors")]
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 1

    (first, drawn), (second, also_drawn) = (torch.load(tmp_path / "normalised" / f"process{n}.pt") for n in (0, 1))
    assert any("running_mean" in name for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(drawn, also_drawn), "the processes draw the same times and noises"

    weights = {"two": torch.load(tmp_path / "two" / "state.pt")["network"]}
    for run, setting in (("larger", "train.batch_size=4"), ("accumulated", "train.accumulate=2")):
        assert enhance(*train, "-o", tmp_path / run, "--set", setting).code == 0
        weights[run] = torch.load(tmp_path / run / "state.pt")["network"]
    for name, value in weights["two"].items():
        assert torch.allclose(value, weights["accumulated"][name], atol=1e-5)
        assert torch.allclose(value, weights["larger"][name], atol=1e-5)


def test_a_batch_is_taken_by_one_process_only():
    from enhance_cli.training import batches
    from enhance_cli.training.parallel import Ranks

    sides = []
    for number in (0, 1, 2):
        side = Ranks(torch.device("cpu"))
        side.number, side.count = number, 3
        sides.append(side)
    taken = [number for step in range(4) for side in sides for number in batches.numbers(step, 2, side)]
    assert taken == list(range(24))
