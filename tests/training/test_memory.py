"""Memory: the estimate follows from what a network keeps, and running out of it is one line that names the setting."""

import pytest
import torch

from enhance_cli.errors import EnhanceError
from enhance_cli.training import memory
from enhance_cli.training.stage import TrainPart

# The command, with no more memory than it needs to get going and 400 MB.
LIMITED = """
import resource, sys
import torch, scipy.signal, matplotlib.pyplot
from enhance_cli.cli import main
from enhance_cli.training import start
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 400_000_000,) * 2)
main()
"""


def test_the_estimate_is_what_layers_are_known_to_keep():
    network = torch.nn.Sequential(torch.nn.Linear(1000, 500, bias=False), torch.nn.Sigmoid())
    batch = torch.randn(64, 1000)
    estimate = memory.estimate(network, lambda size: network(batch[:size]).square().mean(), 64)
    weights = memory.COPIES * 4 * 1000 * 500 / 1e9
    kept = 64 * 4 * 500 / 1e9  # the sigmoid's output; the input belongs to the whole batch and is there anyway
    assert estimate["weights"] == pytest.approx(weights, abs=1e-3)
    assert estimate["batch"] == pytest.approx(kept + batch.nbytes / 1e9, abs=1e-3)


@pytest.mark.slow
def test_running_out_of_memory_names_the_setting(run_python, recipe_file, pairs_root, tmp_path):
    (tmp_path / "limited.py").write_text(LIMITED)
    settings = ['data.pairs="."', "mix.seconds=4", "train.batch_size=64", "train.validation_items=1"]
    sets = [word for setting in settings for word in ("--set", setting)]
    done = run_python(
        tmp_path / "limited.py", "train", recipe_file, "--data", pairs_root, "--device", "cpu", "--quiet", *sets
    )
    assert done.code == 1
    assert done.stderr.splitlines() == [
        "error: out of memory at batch 0 (64 x 4 s at once): --set train.batch_size=32 --set train.accumulate=2 learns "
        "from as much per step in half the memory"
    ]


def test_what_to_do_where_the_batch_is_as_small_as_can_be():
    with (
        pytest.raises(EnhanceError, match="at batch 7 .*--set mix.seconds=1.5"),
        memory.explained(TrainPart(batch_size=1), seconds=3.0, step=7),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    with pytest.raises(RuntimeError, match="shapes"), memory.explained(TrainPart(batch_size=1), 3.0, 7):
        raise RuntimeError("shapes do not match")
