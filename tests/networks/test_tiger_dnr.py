"""TIGER-DnR: bands, names and numbers of the published program, long files, one network for one stem, any length."""

import numpy as np
import pytest
import torch

from enhance_cli.networks.tiger_dnr import Tiger, TigerDnR, band_widths
from enhance_cli.tasks.overlap import OverlapPlan
from tests.golden_numbers import FOLDER, load, rel_l2, wave, weights

NAMES = {
    "out_channels": "channels", "in_channels": "hidden", "num_blocks": "blocks", "upsampling_depth": "depth",
    "att_n_head": "heads", "att_hid_chan": "head_channels", "num_sources": "sources", "win": "n_fft", "stride": "hop",
    "sample_rate": "sample_rate",
}  # fmt: skip
SMALL = {"channels": 12, "hidden": 16, "blocks": 2, "depth": 3, "head_channels": 2, "n_fft": 1024, "hop": 256}


def filled(network):
    network.load_state_dict(weights(network.state_dict()))
    return network.eval().requires_grad_(False)


def arguments(published: dict) -> dict:
    return {ours: published[theirs] for theirs, ours in NAMES.items()}


def label(*stems: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(stems), 3)


def test_every_band_holds_the_published_bins():
    golden, about = load("tiger_dnr_bands")
    assert band_widths(about["args"]["win"], about["args"]["sample_rate"]) == golden["band_width"].tolist()


@pytest.mark.parametrize("item, items, samples", [("net_small", 2, 6000), ("net_depth2", 1, 5000)])
def test_numbers_are_those_of_the_published_program(item, items, samples):
    golden, about = load(f"tiger_dnr_{item}")
    network = filled(Tiger(**arguments(about["args"])))
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == about["parameters"]
    mix = torch.from_numpy(np.stack([wave(f"tiger_dnr_{item}_{n}", samples, 44100) for n in range(items)]))
    assert rel_l2(network(mix), golden["out"]) < about["tolerance"]


@pytest.mark.slow
def test_numbers_at_the_published_size():
    golden, about = load("tiger_dnr_full")
    mix = torch.from_numpy(wave("tiger_dnr_full", 44100, 44100))[None]
    network = filled(TigerDnR())
    for name in ("dialog", "effect", "music"):
        assert rel_l2(getattr(network, name)(mix)[0, :, ::43], golden[f"{name}_sub"]) < about["tolerance"]
    dialogue = network.extract(mix[:, None], label(0))[0]
    assert rel_l2(dialogue[0, 0, ::43], golden["dialog_sub"][2]) < about["tolerance"]


@pytest.mark.slow
@pytest.mark.parametrize("samples", [2000, 9000, 20011])
def test_long_files_are_done_in_the_published_windows(samples):
    golden, about = load("tiger_dnr_chunks")
    network = filled(TigerDnR(**arguments(about["args"])))
    mix = wave(f"tiger_dnr_chunks_{samples}", samples, 44100)[None]
    plan = OverlapPlan.of_model(int(about["target_length"] * 44100), windows=3, fade=0.0, mirrored=False)
    for number, name in enumerate(("dialog", "music", "effect")):
        windows = [(w, torch.from_numpy(w.audio)[None]) for w in plan.cut(iter([mix]))]
        stems = ((w, network.extract(audio, label(number))[0][0].numpy()) for w, audio in windows)
        found = np.concatenate(list(plan.join(stems)), axis=1)
        assert rel_l2(found[0, ::3], golden[f"{name}_{samples}"]) < about["tolerance"]


def test_the_defaults_are_the_published_network():
    with torch.device("meta"):
        ours = {name: list(tensor.shape) for name, tensor in TigerDnR().state_dict().items()}
    lines = (line.split(" ", 1) for line in (FOLDER / "tiger_dnr_keys.txt").read_text().splitlines())
    assert ours == {name: [int(n) for n in shape.strip("[]").split(", ")] for name, shape in lines}


def test_only_the_network_of_the_stem_is_run_and_items_do_not_mix():
    network, ran = filled(TigerDnR(**SMALL)), []
    for name in ("dialog", "effect", "music"):
        getattr(network, name).register_forward_hook(lambda *_, name=name: ran.append(name))
    mix = torch.from_numpy(np.stack([wave(f"tiger_{n}", 5000, 44100) for n in range(2)]))[:, None]
    dialogue, features = network.extract(mix, label(0, 0))
    assert ran == ["dialog"] and features == ()
    mixed = network.extract(mix, label(0, 2))[0]
    assert sorted(ran[1:]) == ["dialog", "effect"]
    assert torch.allclose(mixed[0], dialogue[0], atol=1e-6) and (mixed[1] - dialogue[1]).abs().max() > 1e-3


@pytest.mark.parametrize("samples", [1, 300, 1024, 5001])
def test_the_sources_of_one_network_sum_to_its_input(samples):
    mix = torch.from_numpy(wave("tiger_sum", samples, 44100))[None]
    sources = filled(Tiger(**SMALL, heads=4, sources=3, sample_rate=44100))(mix)
    assert sources.shape == (1, 3, samples) and sources[0, 0].abs().max() > 1e-3
    assert torch.allclose(sources.sum(dim=1), mix, atol=1e-5)


def test_the_number_of_rows_at_once_changes_nothing(monkeypatch):
    mix = torch.from_numpy(wave("tiger_rows", 5000, 44100))[None, None]
    network = filled(TigerDnR(**SMALL))
    usual = network.extract(mix, label(0))[0]
    monkeypatch.setattr("enhance_cli.networks.tiger_dnr.CACHE_NUMBERS", 1)
    assert torch.allclose(network.extract(mix, label(0))[0], usual, atol=1e-6)


def test_16_bits_are_near_32():
    mix = torch.from_numpy(wave("tiger_rows", 5000, 44100))[None, None]
    network = filled(TigerDnR(**SMALL))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network.extract(mix, label(0))[0]
    assert half.dtype == torch.float32 and rel_l2(half, network.extract(mix, label(0))[0]) < 0.05
