"""The examples run: every cell of the notebook, and the script that trains a tiny model, for a few batches."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import enhance_cli

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAIRS = ROOT / "tests" / "audio_files" / "pairs"


def test_the_notebook_cleans_a_recording(monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((ROOT / "examples" / "before_and_after.ipynb").read_text())
    shell = InteractiveShell()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs would be stale"
            shell.run_cell("".join(cell["source"])).raise_error()
    found = shell.user_ns
    assert found["clean"].shape == found["gentle"].shape == found["audio"].shape
    assert found["floors"]["after"] < found["floors"]["gentle"] < found["floors"]["before"] - 3


def test_a_tiny_model_is_trained_from_pairs(run_python, tmp_path):
    done = run_python(ROOT / "examples" / "train_tiny.py", PAIRS, "--run", "tiny", "--steps", 10)
    assert done.code == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", done.stdout.decode())]
    assert len(losses) == 5 and losses[-1] < losses[0]
    assert Path(done.lines[-1]) == Path("tiny") / "tiny.safetensors"
    audio = np.random.default_rng(0).standard_normal((1, 8000)).astype(np.float32) * 0.1
    assert np.isfinite(enhance_cli.denoise(audio, 16000, str(tmp_path / done.lines[-1]), device="cpu")).all()


def test_a_folder_without_pairs_is_refused(run_python, tmp_path):
    for side in ("noisy", "clean"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
    done = run_python(ROOT / "examples" / "train_tiny.py", "pairs", "--run", "tiny")
    assert done.code == 1 and done.errors == ["error: pairs/noisy holds 0 files: at least two are needed"]
