"""Recipes: what is wrong in one is said with the key and a suggestion."""

import re
from dataclasses import asdict

import pytest
import torch

from enhance_cli.errors import UsageError
from enhance_cli.training.recipe import load
from enhance_cli.training.recipe_files import shipped
from enhance_cli.training.task import build_network


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_load_and_their_networks_can_be_built(name):
    teacher = {"consistency": "denoise-s", "stems-consistency": "stems-s-diffusion"}.get(name)
    model = load(name, model=teacher and asdict(load(teacher).model) | {"name": name}).model
    assert model.name == name.removesuffix("-gpu")
    with torch.device("meta"):
        assert sum(p.numel() for p in build_network(model).parameters()) > (4e5 if name == "extend-s" else 1e6)


def test_a_student_is_its_teachers_kind_in_all_that_the_recipe_leaves_open():
    teacher = {
        "name": "t-consistency",
        "network": "ncsnpp",
        "process": "ouve",
        "max_steps": 200,
        "window_seconds": None,
    }
    student = load("consistency", model=teacher).model
    assert (student.network, student.process, student.max_steps) == ("ncsnpp", "ouve", 4)
    with pytest.raises(UsageError, match="needs a teacher: run `enhance distill consistency --teacher MODEL`"):
        load("consistency")


def test_a_recipe_with_a_base_changes_only_what_it_names(tmp_path, recipe_file):
    other = tmp_path / "other.toml"
    other.write_text(f'base = "{recipe_file}"\n[model]\nname = "other"\n[model.network_args]\nblocks = 2\n')
    recipe, base = load(str(other)), load(str(recipe_file))
    assert recipe.model.name == "other" and recipe.model.network_args == base.model.network_args | {"blocks": 2}
    assert (recipe.stage, recipe.data, recipe.train) == (base.stage, base.data, base.train)


def test_a_recipe_of_ones_own_may_have_any_name(tmp_path, recipe_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_mine.toml").write_text(recipe_file.read_text())
    assert load("_mine.toml").model.name == "tiny"
    with pytest.raises(UsageError, match="_yours.toml: no such recipe"):
        load("_yours.toml")


def test_overrides_reach_nested_values(recipe_file):
    recipe = load(str(recipe_file), ["train.batch_size=2", "stage.1.lr=0.5", "mix.snr=[0, 5]", "model.name=other"])
    assert recipe.train.batch_size == 2 and recipe.stage[1].lr == 0.5
    assert recipe.mix.snr == (0, 5) and recipe.model.name == "other"


@pytest.mark.parametrize(
    "change, message",
    [
        ("train.batchsize=2", "unknown key 'batchsize'.*did you mean 'batch_size'"),
        ('train.batch_size="many"', "batch_size.*not of type int"),
        ("train.batch_size=true", "batch_size.*not of type int"),
        ("nonsense", "not of the form section.key=value"),
        ("data.noise=n", r'data.noise: "n" is not of type list of tables: write \[\{ folder = "n" \}\]'),
        ("model.color=1", "unknown key 'color'.*known keys are"),
    ],
)
def test_mistakes_are_named(recipe_file, change, message):
    with pytest.raises(UsageError, match=message):
        load(str(recipe_file), [change])


@pytest.mark.parametrize(
    "old, new, statement, message",
    [
        ("batch_size = 4", 'batch_size = "four"', "batch_size", 'train.batch_size: "four" is not of type int'),
        ("batch_size = 4", "batch_size = 0", "batch_size", "train.batch_size: 0 is not 1 or more"),
        ("seconds = 0.5", "second = 0.5", "second", "unknown key 'second': did you mean 'seconds'"),
        ("seconds = 0.5", "snr = [\n  0,\n  'loud',\n]", "snr = ", 'mix.snr.1: "loud" is not of type float'),
        ("lr = 1e-4", "lr = [1e-4]", "lr = [", "stage.1.lr: [0.0001] is not of type float"),
        ("seconds = 0.5", "seconds = -1", "seconds", "mix.seconds: -1.0 is not 0.1 to 600"),
        ("seconds = 0.5", "snr = [5, -5]", "snr", "mix.snr: [5.0, -5.0] is not from the lower to the higher"),
        ("seconds = 0.5", "room = 2.0", "room = 2", "mix.room: 2.0 is not 0 to 1"),
        ("lr = 3e-3", "lr = nan", "lr = nan", "stage.0.lr: nan is not 0 to 1"),
        ("ema = 0.9\nfixed", "ema = 2.0\nfixed", "ema = 2.0", "stage.1.ema: 2.0 is not 0 to 1"),
        ("rooms = 4", "rooms = -4", "rooms", "data.rooms: -4 is not 0 or more"),
        ('groups = "folder"', 'groups = "foldr"', "groups", "data.speech.0.groups: 'foldr' is none of file, folder"),
        ("rooms = 4", "rooms = 4\npairs = 'x'", "[data]", "data: give one of data.pairs, data.shards, or data.speech"),
    ],
)
def test_mistakes_are_named_with_the_line_they_stand_on(recipe_file, old, new, statement, message, tmp_path):
    text = recipe_file.read_text().replace(old, new)
    recipe_file.write_text(text)
    above = tmp_path / "above.toml"
    above.write_text(f'base = "{recipe_file}"\n[train]\nseed = 1\n')
    line = text[: text.index(statement)].count("\n") + 1
    for recipe in (recipe_file, above):
        with pytest.raises(UsageError, match=re.escape(f"tiny.toml, line {line}: {message}")):
            load(str(recipe))


@pytest.mark.parametrize(
    "change, message",
    [
        ("views.as_babble=2", "views.as_babble: 2.0 is not 0 to 1"),
        ("views.noise=[18.0, 0.0]", "views.noise: [18.0, 0.0] is not from the lower to the higher"),
        ("embedding.crops=0", "embedding.crops: 0 is not 1 or more"),
        ("pairing.clean=-1.0", "pairing.clean: -1.0 is not 0 to 1"),
        ("mix.drop=2", "mix.drop: 2.0 is not 0 to 1"),
        ("data.rendered.seconds=1", "data.rendered.seconds: 1.0 is not 10 or more"),
    ],
)
def test_settings_of_other_tasks_that_mean_nothing_are_refused(change, message):
    stems = change.startswith(("mix", "data"))
    with pytest.raises(UsageError, match=re.escape(message)):
        load("stems-s" if stems else "seed-ge2e", [change])


def test_pairs_and_shards_take_the_place_of_a_bases_data(tmp_path, recipe_file):
    other = tmp_path / "other.toml"
    other.write_text(f'base = "{recipe_file}"\n[data.shards]\ntrain = "a-*.tar"\nvalid = "b.tar"\n')
    data = load(str(other)).data
    assert data.shards.train == "a-*.tar" and not data.speech and not data.licences
    assert load(str(recipe_file), ["data.pairs=here"]).data.pairs == "here"
    assert load(str(recipe_file), ["data.pairs=here"]).data.speech == []
    with pytest.raises(UsageError, match="--set data.shards.trian=x: unknown key 'trian'"):
        load(str(recipe_file), ["data.shards.trian=x"])


def test_missing_and_broken_recipes(tmp_path):
    with pytest.raises(
        UsageError, match="no such recipe: name a .toml file or one of bridge-sb, .*denoise-48k, denoise-s"
    ):
        load("nothing-like-it")
    with pytest.raises(UsageError, match="score-ouvee: no such recipe: did you mean score-ouve?"):
        load("score-ouvee")
    (tmp_path / "song.flac").write_bytes(b"fLaC\x00\xff\xfe")
    with pytest.raises(UsageError, match="song.flac: no recipe that can be read"):
        load(str(tmp_path / "song.flac"))
    broken = tmp_path / "broken.toml"
    broken.write_text("[model\n")
    with pytest.raises(UsageError, match="not valid TOML"):
        load(str(broken))
    broken.write_text("[model]\nname = 'x'\n")
    with pytest.raises(UsageError, match="missing"):
        load(str(broken))


@pytest.mark.parametrize(
    "old, new, statement, message",
    [
        ("blocks = 1", "block = 1", "network_args", "unknown key 'block': did you mean 'blocks'?"),
        ('"bridge_unet"', '"unet"', "network =", "unknown network 'unet': choose from"),
        ('"brownian_bridge"', '"ouvee"', "process =", "unknown process 'ouvee': choose from ouve"),
        ("[mix]", "[model.process_args]\nrhoo = 1.0\n[mix]", "rhoo", "unknown key 'rhoo': did you mean 'rho'?"),
        (
            "[mix]",
            "[model.process_args]\nrho = 'big'\n[mix]",
            "rho",
            'model.process_args.rho: "big" is not of type float',
        ),
        ("[mix]", "[model.frontend]\nhopp = 256\n[mix]", "hopp", "unknown key 'hopp': did you mean 'hop'?"),
        (
            "[mix]",
            "[model.frontend]\nwindow = 'box'\n[mix]",
            "[model.frontend]",
            "model.frontend: front end: 'box' is none of",
        ),
        ('"brownian_bridge"', '"ouve"', "[model]", "model.samplers: the formulas of bridge_ode do not hold for"),
        ("network =", "samplers = []\nnetwork =", "samplers", "model.samplers: at least one is needed"),
        ("network =", "samplers = ['ode']\nnetwork =", "samplers", "unknown sampler 'ode': choose from bridge_ode"),
        ("network =", "default_steps = 0\nnetwork =", "default_steps", "model.default_steps: 0 is not 1 to 5"),
        ("network =", "sample_rate = 0\nnetwork =", "sample_rate", "model.sample_rate: 0 is not 1 to 384000"),
        ("network =", "task = 'denoize'\nnetwork =", "task", "model.task: 'denoize' cannot be trained: choose from"),
        (
            '"data_prediction"',
            '"score_matching"',
            "loss =",
            "stage.0.loss: the formulas of score_matching do not hold for",
        ),
        (
            "[data]",
            "[stage.distance]\nscale_invariant = 1.0\n[data]",
            "[stage.distance]",
            "stage.1.distance: scale_invariant is of waveforms; choose from hybrid_spectral, perceptual",
        ),
        ('"data_prediction"', '"mse"', "loss =", "unknown loss 'mse': choose from consistency"),
        ("steps = 3 }", "step = 3 }", "loss_args", "unknown key 'step': did you mean 'steps'?"),
        ("steps = 3 }", "sample = 3 }", "loss_args", "unknown key 'sample': known keys are"),
        ("[data]", "[stage.distance]\nl1 = 1.0\n[data]", "l1", "unknown distance 'l1': choose from hybrid_spectral"),
    ],
)
def test_what_is_handed_on_is_known_too_and_said_with_its_line(recipe_file, old, new, statement, message):
    text = recipe_file.read_text().replace(old, new, 1)
    recipe_file.write_text(text)
    where = "tiny.toml: " if statement == "[model]" else f"line {text[: text.index(statement)].count(chr(10)) + 1}: "
    with pytest.raises(UsageError, match=re.escape(where + message)):
        load(str(recipe_file))


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("stems-s", "train.samples=2", "unknown key 'samples'"),
        ("stems-s", "stage.0.unguided=0.5", "unknown key 'unguided'"),
        ("stems-s", "stage.4.loss_args.shred=0.5", "unknown key 'shred': did you mean 'shared'"),
        (
            "stems-s",
            "stage.0.distance={ perceptual = 1.0 }",
            "perceptual is of spectrograms; choose from scale_invariant",
        ),
        ("stems-s", "model.network_args.extracter=1", "unknown key 'extracter': did you mean 'extractor'"),
        ("seed-ge2e", "train.validation_items=2", "unknown key 'validation_items'"),
        ("seed-ge2e", "stage.0.distance={ hybrid_spectral = 1.0 }", "unknown key 'distance'"),
        (
            "seed-ge2e",
            "stage.0.loss=data_prediction",
            "the formulas of data_prediction do not hold for the process ddpm",
        ),
        (
            "score-ouve",
            "stage.0.loss=data_prediction",
            "the formulas of data_prediction do not hold for the process ouve",
        ),
        (
            "score-ouve",
            "stage.0.distance={ perceptual = 1.0 }",
            "score_matching takes none, it is a distance of its own",
        ),
        ("score-ouve", "stage.0.loss=flow_matching", "the formulas of flow_matching do not hold for the process ouve"),
    ],
)
def test_what_a_task_cannot_use_is_refused_and_not_passed_over(name, change, message):
    with pytest.raises(UsageError, match=message):
        load(name, [change])


def test_a_reverse_process_is_only_corrected_for_one_call_per_step():
    sets = ["stage.1.loss=reverse_process", "model.sampler_args={}"]
    with pytest.raises(UsageError, match=r"stage.1.loss: reverse_process needs a sampler of one call per step"):
        load("score-bbed-crp", sets)
