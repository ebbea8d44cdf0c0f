"""Training of a stem extractor and its refiner on songs made of sines: it learns, resumes, exports, and distils."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.errors import UsageError
from enhance_cli.models.registry import find
from enhance_cli.models.stems import load_stems
from enhance_cli.tasks.extract_stem import StemOptions
from enhance_cli.training.recipe import load
from enhance_cli.training.start import load_teacher, run
from enhance_cli.training.stems.objective import Objective
from enhance_cli.training.stems.recipe import StemStage
from tests.tasks.whole import extract_stems as extract

pytestmark = pytest.mark.slow

RATE = 8000
SIZES = "channels = 16, hidden = 16, dilations = [1, 2], n_fft = 256, hop = 64, bands = [[4, 8], [16, 6]], labels = 2"
MODEL = f"""
[model]
name = "tiny"
task = "extract-stem"
network = "stem_pair"
process = "edm"
stems = ["bass", "piano"]
sample_rate = {RATE}
frames_multiple = 64
min_steps = 0
"""
EXTRACTOR = f"""{MODEL}
network_args = {{ extractor = {{ network = "band_split_conv", {SIZES} }} }}
max_steps = 0
default_steps = 0
[[stage]]
loss = "extraction"
steps = 40
lr = 5e-3
warmup = 5
ema = 0.9
"""
WAVEFORM = """{ network = "unet1d", channels = 16, patch_factor = 4, multipliers = [1, 2, 2], factors = [2, 2],
num_blocks = [1, 1], attentions = [false, false], resnet_groups = 4, labels = 2 }"""
REFINER = f"""{MODEL}
max_steps = 4
default_steps = 1
samplers = ["heun"]
start_sigma = {{ 1 = 0.05 }}
process_args = {{ sigma_max = 1.0 }}
prediction = {{ kind = "data", input_scaling = "edm_in", skip = "edm_skip", out = "edm_out", time = "ln/4" }}
[model.network_args]
extractor = {{ network = "band_split_conv", {SIZES} }}
refiner = {{ network = "band_split_conv", time = true, {SIZES} }}
[[stage]]
loss = "refinement"
steps = 12
lr = 3e-3
warmup = 2
ema = 0.9
"""
COMMON = """
distance = { waveform_spectral = 1.0 }
[train]
batch_size = 4
precision = "fp32"
validate_every = 20
validation_items = 4
[mix]
seconds = 0.6
drop = 0.0
[data]
folders = ["stems"]
held_out = 0.3
"""


class Silent:
    last = None

    def report(self, line):
        self.last = line

    def log(self, line):
        pass


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("songs")
    time = np.arange(11 * RATE) / RATE
    for number in range(4):
        place = root / "stems" / str(number)
        place.mkdir(parents=True)
        for name, frequency in (("bass", 90 + 10 * number), ("piano", 900 + 170 * number)):
            soundfile.write(place / f"{name}.wav", 0.2 * np.sin(2 * np.pi * frequency * time), RATE)
    return root


def train(root, text, name, settings=(), teacher=None):
    (root / f"{name}.toml").write_text(text + COMMON)
    recipe = load(str(root / f"{name}.toml"), list(settings))
    reporter = Silent()
    folders = {"data": root, "folder": root / name, "cache": root / "cache"}
    path = run(recipe, **folders, device=torch.device("cpu"), reporter=reporter, teacher=teacher)
    return path, reporter.last


@pytest.fixture(scope="module")
def extractor(root):
    return train(root, EXTRACTOR, "extractor")


def model_of(path):
    return load_stems(find(path, None), torch.device("cpu"))


def test_the_extractor_learns_to_tell_low_from_high(extractor):
    path, last = extractor
    assert last["si_sdri"] > 6 and {"si_sdri_bass", "si_sdri_piano"} <= set(last)


def test_its_file_runs_and_its_card_tells_what_it_is(extractor, root):
    path, _ = extractor
    time = np.arange(2 * RATE) / RATE
    low, high = 0.1 * np.sin(2 * np.pi * 100 * time), 0.1 * np.sin(2 * np.pi * 1000 * time)
    stems = extract((low + high)[None].astype(np.float32), RATE, model_of(path), StemOptions())
    inner = slice(RATE // 2, -RATE // 2)
    for estimate, own, foreign in ((stems["bass"][0], low, high), (stems["piano"][0], high, low)):
        own, foreign = ((estimate * tone)[inner].sum() / (tone * tone)[inner].sum() for tone in (own, foreign))
        assert own > 0.4 and abs(foreign) < 0.7 * own
    card = (root / "extractor" / "tiny.md").read_text()
    assert "| bass |" in card and "40 batches of extraction" in card


def test_a_finished_run_does_nothing_and_a_longer_one_goes_on(extractor, root):
    lines = (root / "extractor" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [20, 40]
    train(root, EXTRACTOR, "extractor")
    assert (root / "extractor" / "metrics.jsonl").read_text().splitlines() == lines
    (root / "again").mkdir()
    for name in ("state.pt", "metrics.jsonl"):
        (root / "again" / name).write_bytes((root / "extractor" / name).read_bytes())
    train(root, EXTRACTOR, "again", ["stage.0.steps=44"])
    assert json.loads((root / "again" / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 44


SHORT = ["stage.0.steps=3", "stage.0.fixed_statistics=true", "train.batch_size=2", "train.validation_items=1"]


def state_of(root, name):
    return torch.load(root / name / "state.pt")["network"]


def test_two_processes_learn_what_one_learns_from_the_batches_of_both_made_by_a_worker(root, run_python):
    settings = [*SHORT, "train.accumulate=2", "train.workers=1"]
    train(root, EXTRACTOR, "one", settings)
    (root / "two.toml").write_text(EXTRACTOR + COMMON)
    command = ["train", root / "two.toml", "--data", root, "--cache", root / "cache", "-o", root / "two"]
    sets = [word for setting in SHORT for word in ("--set", setting)]
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "enhance_cli"]
    done = run_python(*start, *command, "--device", "cpu", "--quiet", *sets)
    assert done.code == 0, done.stderr
    assert done.lines == [str(root / "two" / "tiny.safetensors")]
    assert len((root / "two" / "metrics.jsonl").read_text().splitlines()) == 1
    for name in ("one", "two"):
        assert "batches of 4 x 0.6 s" in (root / name / "tiny.md").read_text()
    one, two = state_of(root, "one"), state_of(root, "two")
    assert all(torch.allclose(value, two[name], atol=1e-5) for name, value in one.items())


def test_an_extractor_of_one_stem_a_pass_is_trained_on_a_stem_of_each_mix_at_random(root):
    network = WAVEFORM.replace("\n", " ")
    settings = [f"model.network_args={{ extractor = {network} }}", "stage.0.steps=90", "stage.0.lr=3e-3"]
    path, last = train(root, EXTRACTOR, "waveform", settings)
    lines = [json.loads(line) for line in (root / "waveform" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"] and last["si_sdri"] > lines[0]["si_sdri"] + 3


def test_what_is_left_over_is_shared_out_first_where_the_mix_holds_nothing_else():
    deaf = SimpleNamespace(extract_all=lambda mixes: torch.zeros(3, 2, 1, RATE))  # all is left over: equal shares
    objective = Objective(deaf, None, None)
    stems = torch.randn(3, 2, RATE, generator=torch.Generator().manual_seed(0))
    mixes = stems.sum(dim=1, keepdim=True)
    stage = StemStage(loss="extraction", steps=1, lr=1e-3, distance={"signal_to_noise": 1.0}, loss_args={"shared": 1.0})
    assert float(objective.loss(replace(stage, loss_args={}), mixes, stems)) == 0  # that of silence
    assert float(objective.loss(stage, mixes, stems)) == pytest.approx(np.log10(0.5), abs=0.02)
    assert float(objective.loss(stage, mixes + 0.1, stems)) == 0


def test_the_refiner_is_trained_and_the_extractor_stays_as_it_was(extractor, root):
    path, last = train(root, REFINER, "refiner", [f'train.start="{extractor[0]}"'])
    before, after = model_of(extractor[0]).network, model_of(path).network
    assert all(
        torch.equal(a, b) for a, b in zip(before.extractor.state_dict().values(), after.extractor.state_dict().values())
    )
    assert after.refiner.masks[0].weight.any()
    assert last["si_sdri"] > extractor[1]["si_sdri"] - 3

    student = REFINER.replace('loss = "refinement"', 'loss = "consistency"\nloss_args = { grid = 6, longest = 3 }')
    student = student.replace(
        'skip = "edm_skip", out = "edm_out"', 'skip = "consistency_skip", out = "consistency_out", sigma_min = 1e-4'
    )
    student = student.replace('"heun"', '"consistency"')
    teacher = load_teacher(find(path, None), torch.device("cpu"))
    path, distilled = train(root, student, "student", ['train.precision="bf16"'], teacher)
    assert distilled["si_sdri"] > extractor[1]["si_sdri"] - 3
    assert model_of(path).spec.samplers == ("consistency",)


@pytest.mark.parametrize(
    "text, words",
    [
        (EXTRACTOR.replace('"extraction"', '"refinement"'), "has none"),
        (REFINER, "needs a finished extractor"),
        (REFINER.replace('"refinement"', '"consistency"'), "needs a teacher"),
        (EXTRACTOR.replace('"extraction"', '"score_matching"'), "choose from extraction|does not train stems"),
        (EXTRACTOR.replace('"piano"]', '"kazoo"]'), "kazoo"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(root, text, words):
    with pytest.raises(UsageError, match=words):
        train(root, text, "wrong")
