"""Names of models: the table that ships, paths of the user's own, and help with a name that was mistyped."""

import json
from pathlib import Path

import pytest

from enhance_cli.errors import ModelError
from enhance_cli.models import registry


def test_the_table_names_one_default_for_every_task():
    entries = registry.entries()
    assert {"denoise-48k", "denoise-s", "deepfilternet3", "deepfilternet3-tuned"} <= {e.name for e in entries}
    for task in {e.task for e in entries} - {"inpaint"}:  # which needs no model
        assert [e.default for e in entries if e.task == task].count(True) == 1
        assert registry.find(None, task).default
    for entry in entries:
        assert entry.path.suffix == ".safetensors" and entry.licence and entry.summary and entry.sample_rate > 0
        assert entry.sha256 is not None, "a shipped model is always compared with its digest"


def test_a_name_and_a_file_are_found(tiny_model):
    assert registry.find("denoise-s", "denoise").name == "denoise-s"
    own = registry.find(str(tiny_model), "denoise")
    assert (own.name, own.path, own.sha256) == ("tiny", tiny_model, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("denoise-x", "unknown model 'denoise-x'.*did you mean denoise-"),
        ("zebra", "unknown model 'zebra'.*choose from denoise-"),
        ("gone.safetensors", "gone.safetensors: no such model file"),
        (__file__, "test_registry.py: not a .safetensors file: `enhance models convert .*py -o test_registry.safeten"),
        (str(Path(__file__).parent), "a folder: name the .safetensors file in it"),
        ("../gone.ckpt", "gone.ckpt: no such file: check the path"),
        ("Ceva-IP/DPDFNet", "neither a model nor a file here: of that repository there are dpdfnet2-48k, dpdfnet8-48k"),
        ("someone/voices", "nor a file here: for a file of the Hub write hub:someone/voices/FILE.safetensors"),
        ("", "unknown model ''"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name, message):
    with pytest.raises(ModelError, match=message) as caught:
        registry.find(name, "denoise")
    assert caught.value.exit_code == 3


def test_a_model_of_another_task_is_not_taken():
    with pytest.raises(
        ModelError, match="denoise-s: a model for denoise, not for extract: see `enhance models list --task"
    ):
        registry.find("denoise-s", "extract")


def test_a_file_made_for_another_task_is_not_taken():
    speaker = str(registry.find("ge2e", None).path)
    assert registry.find(speaker, None).task == "embed-speaker"
    with pytest.raises(ModelError, match="ge2e.safetensors: a model for embed-speaker, not for denoise") as caught:
        registry.find(speaker, "denoise")
    assert caught.value.exit_code == 3


def test_what_is_not_known_of_a_published_file_is_said(enhance):
    for name, known, unknown in (
        ("sgmse-voicebank", ["revision", "sha256"], []),
        ("ecapa-voxceleb", ["size"], ["revision", "sha256"]),
        ("sgmse-m1", ["url"], ["sha256"]),
    ):
        said = json.loads(enhance("models", "show", name).stdout)
        assert all(said[key] for key in known) and said["not_known"] == unknown
        assert not set(unknown) & set(said)


def test_the_size_of_a_model_here_is_that_of_its_file_and_one_that_nobody_knows_is_not_zero(enhance):
    listed = {
        row["name"]: row["bytes"] for row in map(json.loads, enhance("models", "list", "--json").stdout.splitlines())
    }
    shown = lambda name: json.loads(enhance("models", "show", name).stdout)["bytes"]
    size = registry.find("copy-up", None).path.stat().st_size
    assert shown("copy-up") == listed["copy-up"] == size
    assert shown("sgmse-m1") is listed["sgmse-m1"] is None and shown("sgmse-voicebank") == 1_310_000_000


def test_every_denoiser_says_how_quick_it_is_and_every_small_one_what_it_is_for():
    for entry in [*registry.entries(), *registry.published()]:
        if entry.task == "denoise":
            assert entry.cpu in ("quick", "fair", "slow", "GPU"), entry.name
            assert entry.use_for or entry.source is None or entry.cpu == "GPU", entry.name


@pytest.mark.parametrize(
    "text, message",
    [
        ("[mine]\ntask = ", "weights.toml: not valid TOML"),
        (
            '[mine]\ntask = "denoise"\nfile = "x"\nsha256 = ""\ncolor = "red"',
            "[mine] got an unexpected keyword argument 'color'",
        ),
        ('[mine]\nfile = "x"\nsha256 = ""', "[mine] missing 1 required positional argument: 'task'"),
        ('[mine]\nrepo = "me/mine"\nsummary = "x"', "[mine] missing 1 required positional argument: 'task'"),
    ],
)
def test_a_mistake_in_the_table_is_one_line_that_names_the_model(text, message, enhance, monkeypatch):
    monkeypatch.setattr(registry, "_weights_toml", lambda: text)
    done = enhance("models", "list")
    assert done.code == 3 and len(done.errors) == 1 and message in done.errors[0]
