"""Demucs behind our command: small random networks of the package, served as its repositories on the Hub are."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.models.hub.local_hub import LocalHub

pytestmark = pytest.mark.slow

pytest.importorskip("demucs")
FOUR = ["drums", "bass", "other", "vocals"]
SIX = [*FOUR, "guitar", "piano"]


def network(sources: list[str], seed: int = 0, klass: str = "demucs.htdemucs.HTDemucs") -> bytes:
    """A file as the package's authors publish them."""
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save

    segment = {"_type": "fraction", "numerator": 39, "denominator": 5}
    sizes = {"channels": 4, "t_layers": 1, "t_heads": 2, "bottom_channels": 8, "dconv_comp": 2, "depth": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HTDemucs(sources, **sizes, segment=7.8)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    header = {"klass": klass, "args": json.dumps([sources]), "kwargs": json.dumps(sizes | {"segment": segment})}
    return save(weights, metadata=header)


@pytest.fixture(scope="module")
def files():
    one_each = [[float(i == k) for i in range(4)] for k in range(4)]
    bag = {"models": ["a", "b", "c", "d"], "weights": one_each}
    return {
        "adefossez/HTDemucs/htdemucs.yaml": b"models: ['abc']\n",
        "adefossez/HTDemucs/abc.safetensors": network(FOUR),
        "adefossez/HTDemucs-6s/htdemucs_6s.yaml": b"models: ['six']\n",
        "adefossez/HTDemucs-6s/six.safetensors": network(SIX),
        "adefossez/HTDemucs-ft/htdemucs_ft.yaml": json.dumps(bag).encode(),
        **{f"adefossez/HTDemucs-ft/{name}.safetensors": network(FOUR, seed) for seed, name in enumerate("abcd")},
    }


@pytest.fixture
def hub(files, tmp_path, run_enhance):
    """`enhance` as a process of its own that knows only this hub."""
    served = LocalHub(dict(files))
    served.settings = {"HF_ENDPOINT": served.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    served.run = lambda *arguments, **env: run_enhance(*arguments, env=served.settings | env)
    yield served
    served.close()


@pytest.fixture
def song(tmp_path):
    audio = 0.2 * np.random.default_rng(0).standard_normal((2 * 44100, 2)).cumsum(0) / 100
    soundfile.write(tmp_path / "song.wav", audio - audio.mean(), 44100)
    return soundfile.read(tmp_path / "song.wav")[0]


def test_stems_come_out_and_offline_the_next_time(hub, song, tmp_path):
    done = hub.run("extract-stem", "song.wav", "-m", "htdemucs", "-s", "vocals,drums", "--residual")
    assert done.code == 0, done.stderr
    assert done.lines == ["song_drums.wav", "song_vocals.wav", "song_residual.wav"]
    parts = [soundfile.read(tmp_path / name)[0] for name in done.lines]
    np.testing.assert_array_equal(sum(parts), song)
    assert parts[0].std() > 1e-3 and np.abs(parts[0] - parts[1]).max() > 1e-3
    hub.status = 500
    offline = hub.run("extract-stem", "song.wav", "-m", "htdemucs", "-s", "bass", HF_HUB_OFFLINE="1")
    assert offline.code == 0 and offline.lines == ["song_bass.wav"]


def test_six_stems_sum_to_the_mix_and_a_wrong_one_is_refused_before_anything_is_fetched(hub, song, enhance, tmp_path):
    wrong = enhance("extract-stem", "song.wav", "-m", "htdemucs", "-s", "guitar")
    assert (
        wrong.code == 2 and "htdemucs does not extract it: choose from drums, bass, other, vocals, all" in wrong.stderr
    )
    steps = hub.run("extract-stem", "song.wav", "-m", "htdemucs_6s", "--steps", "1")
    assert steps.code == 2 and "htdemucs_6s has nothing that refines" in steps.stderr and hub.requests == []
    done = hub.run("extract-stem", "song.wav", "-m", "htdemucs_6s", "--bit-depth", "float")
    assert done.code == 0, done.stderr
    assert done.lines == [f"song_{stem}.wav" for stem in SIX]
    np.testing.assert_allclose(sum(soundfile.read(tmp_path / name)[0] for name in done.lines), song, atol=1e-6)


def test_of_a_bag_only_the_network_that_knows_the_stem_counts(hub, tmp_path, monkeypatch, files):
    import torch
    from demucs.hf import load_safetensors_model

    from enhance_cli.models import demucs, demucs_model, registry

    paths = {name: tmp_path / name.split("/")[-1] for name in files}
    for name, path in paths.items():
        path.write_bytes(files[name])
    monkeypatch.setattr(demucs.download, "hub_file", lambda repo, file, revision, name: paths[f"{repo}/{file}"])
    model = demucs_model.load_demucs(registry.find("htdemucs_ft", "extract-stem"), torch.device("cpu"))
    mix = torch.randn(1, 2, 343980, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        found = model.separate(mix, ["bass"], None, 0, None)
        alone = load_safetensors_model(paths["adefossez/HTDemucs-ft/b.safetensors"]).eval()(mix)[:, 1]
    assert torch.allclose(found[0], alone, atol=1e-6)


def test_a_class_that_is_not_the_packages_is_refused(hub, song):
    hub.files["adefossez/HTDemucs/abc.safetensors"] = network(FOUR, klass="subprocess.Popen")
    refused = hub.run("extract-stem", "song.wav", "-m", "htdemucs")
    assert refused.code == 3 and "refused, since it names 'subprocess.Popen'" in refused.stderr


def test_models_pull_fetches_and_list_says_where(hub, enhance):
    assert hub.run("models", "pull", "htdemucs").lines[0].endswith("abc.safetensors")
    rows = [json.loads(line) for line in enhance("models", "list", "--json").lines]
    row = next(row for row in rows if row["name"] == "htdemucs")
    assert row["where"] == "Hub, by the package demucs" and row["task"] == "extract-stem"


def test_without_the_network_and_without_the_package_one_line_says_what_to_do(hub, song, tmp_path):
    hub.close()
    offline = hub.run("extract-stem", "song.wav", "-m", "htdemucs", HF_HUB_OFFLINE="1")
    assert offline.code == 3 and len(offline.errors) == 1 and "HF_HUB_OFFLINE forbids" in offline.errors[0]
    code = "import sys; sys.modules['demucs'] = None; sys.argv = ['enhance', 'extract-stem', 'song.wav', '-m', 'htdemucs']\n"
    code += "from enhance_cli.cli import main; main()"
    missing = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert missing.returncode == 3 and "pip install 'enhance-cli[demucs]'" in missing.stderr
