"""Networks that extend bandwidth: AP-BWE and LavaSR give the numbers of their own programs, and tell how far they look."""

from pathlib import Path

import numpy as np
import pytest
import torch

from enhance_cli.networks.ap_bwe import APBWE
from enhance_cli.networks.band_levels import BandLevels
from enhance_cli.networks.lavasr import LavaSR
from enhance_cli.networks.mel import triangles
from tests.golden_numbers import FOLDER, load, rel_l2, rnormal, wave, weights

SMALL_AP_BWE = {"channels": 24, "hidden": 72, "layers": 3, "n_fft": 128, "hop": 20, "window": 80}
SMALL_LAVASR = {"mels": 20, "channels": 32, "hidden": 96, "layers": 2, "n_fft": 256, "hop": 64}
PREFIXES = {
    "embed": "backbone.",
    "norm": "backbone.",
    "convnext": "backbone.",
    "final_layer_norm": "backbone.",
    "out": "head.",
}


def filled(network: torch.nn.Module) -> torch.nn.Module:
    network.load_state_dict(weights(network.state_dict()))
    return network.eval().requires_grad_(False)


def lavasr(**args) -> LavaSR:
    """Upstream's names make the weights, and the mel filters are those of 44.1 kHz."""
    network = LavaSR(**args)
    names = {key: PREFIXES[key.split(".")[0]] + key for key in network.state_dict() if key != "mel"}
    state = network.state_dict()
    found = weights({names[key]: state[key] for key in names})
    mel = triangles(network.n_fft, 44100, network.mel.shape[1], 0.0, 8000.0, scale="slaney", area=True)
    network.load_state_dict({key: found[name] for key, name in names.items()} | {"mel": mel})
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(
    "item, args, rate, start",
    [("apbwe_small", SMALL_AP_BWE, 16, 300), pytest.param("apbwe_full", {}, 48, 2400, marks=pytest.mark.slow)],
)
def test_ap_bwe_gives_the_published_numbers(item, args, rate, start):
    golden, about = load(item)
    network = filled(APBWE(**args))
    assert sum(p.numel() for p in network.parameters()) == about["parameters"]
    bins, step, tolerance = network.n_fft // 2 + 1, 15 if rate == 48 else 3, about["tolerance"]["rel_l2"]
    inputs = [torch.from_numpy(rnormal(f"apbwe_{rate}k_{part}", (1, bins, 24))) for part in ("amp", "pha")]
    amplitude, phase = network.estimate(*inputs)
    assert rel_l2(amplitude[0, ::step, ::2], golden["log_amp_out_sub"]) < tolerance
    assert rel_l2(network.synthesize(amplitude, phase)[0], golden["wave_net"]) < tolerance
    samples = about["lengths"]["input"]
    whole = network(torch.from_numpy(wave(f"apbwe_{rate}k", samples, 1000 * rate))[None])
    every = 4 if rate == 48 else 1
    assert rel_l2(whole[0, start::every], golden["e2e_wave_sub"]) < tolerance


@pytest.mark.parametrize(
    "item, args, steps",
    [
        ("lavasr_small", SMALL_LAVASR, (1, 8, 5, 4)),
        pytest.param("lavasr_v2", {}, (4, 4, 37, 20), marks=pytest.mark.slow),
    ],
)
def test_lavasr_gives_the_published_numbers(item, args, steps):
    golden, about = load(item)
    network, tolerance = lavasr(**args), about["tolerance"]["rel_l2"]
    assert sum(p.numel() for p in network.parameters()) == about["parameters"]
    samples = about["lengths"]["predicted"]
    x = torch.from_numpy(wave("lavasr_48k", about["lengths"]["input"], 48000)[:samples])[None]
    if samples == about["lengths"]["input"]:
        features = network.analyze(x)
        assert rel_l2(features[0, :: steps[0], :: steps[1]], golden["features_sub"]) < tolerance
        assert rel_l2(network.estimate(features)[0, :: steps[1], :: steps[2]], golden["head_out_sub"]) < tolerance
        assert rel_l2(network(x)[0, :: steps[3]], golden["predicted_sub"]) < tolerance
    head = network(x)[0, :200]
    assert rel_l2(head, golden["predicted_head"]) < tolerance


def test_the_mel_filters_of_lavasr_are_those_of_its_file():
    golden, _ = load("lavasr_mel")
    mel = triangles(2048, 44100, 80, 0.0, 8000.0, scale="slaney", area=True).numpy()
    assert rel_l2(mel[:400:3], golden["fb_sub"]) < 1e-5 and rel_l2(mel.sum(axis=0), golden["colsum"]) < 1e-5


@pytest.mark.parametrize("name, network", [("apbwe", APBWE), ("lavasr_v2", LavaSR)])
def test_every_weight_has_the_published_shape(name, network):
    with torch.device("meta"):
        ours = {key: list(value.shape) for key, value in network().state_dict().items() if key != "mel"}
    lines = Path(FOLDER / f"{name}_keys.txt").read_text().splitlines()
    theirs = {line.split()[0]: eval(line.split(" ", 1)[1]) for line in lines if line.strip()}  # noqa: S307 - our own file
    strip = lambda key: key.removeprefix("backbone.").removeprefix("head.")
    theirs = {strip(key): shape for key, shape in theirs.items() if "window" not in key and "mel_scale" not in key}
    assert ours == theirs


@pytest.mark.parametrize("network", [APBWE(**SMALL_AP_BWE), lavasr(**SMALL_LAVASR)], ids=["ap_bwe", "lavasr"])
def test_nothing_depends_on_more_than_the_receptive_field(network):
    network = filled(network) if isinstance(network, APBWE) else network
    x = torch.from_numpy(wave("reach", 20480, 48000))[None]
    changed = x.clone()
    changed[0, 10240] += 0.5
    moved = (network(x) - network(changed)).abs()[0].numpy() > 1e-6
    reach = network.receptive_field
    assert moved[10240 - reach // 2 : 10240 + reach // 2].any()
    assert not moved[: 10240 - reach].any() and not moved[10240 + reach :].any()


def test_levels_read_nothing_of_unknown_bands_and_need_their_frames_only():
    network = filled(BandLevels(width=8))
    x = torch.from_numpy(rnormal("levels", (1, 60, 80), 10.0)) - 50
    known = torch.tensor([20])
    levels, peaks = network(x, known)
    other = x.clone()
    other[:, 20:] = 7.0
    assert torch.equal(network(other, known)[0], levels) and levels.shape == peaks.shape == x.shape
    other = x.clone()
    other[:, :, 40] += 1
    moved = (network(other, known)[0] - levels).abs().amax(dim=(0, 1)) > 1e-5
    frames = np.flatnonzero(moved.numpy())
    reach = network.receptive_field
    assert 40 - reach <= frames.min() <= 42 - reach and 38 + reach <= frames.max() <= 40 + reach
