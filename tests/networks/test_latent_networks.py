"""The networks of AudioSR and FlashSR give the numbers of their own programs, block by block and as a whole."""

import numpy as np
import pytest
import torch

from enhance_cli.networks import autoencoder_kl, latent_unet
from enhance_cli.networks.autoencoder_kl import AutoencoderKL
from enhance_cli.networks.bigvgan_sr import BigVGANSR, PeriodicActivation
from enhance_cli.networks.hifigan import HiFiGAN
from enhance_cli.networks.latent_unet import LatentUNet
from enhance_cli.networks.spatial_transformer import SpatialTransformer
from tests.golden_numbers import load, rel_l2, rnormal, wave
from tests.networks.latent_parts import filled, filled_bigvgan

BLOCKS = {
    "res_same": lambda: latent_unet.ResBlock(64, 64, 128),
    "res_wider": lambda: latent_unet.ResBlock(32, 64, 128),
    "transformer": lambda: SpatialTransformer(64, 32),
    "cross": lambda: SpatialTransformer(64, 32, context_dim=24),
    "down": lambda: latent_unet.Downsample(32),
    "up": lambda: latent_unet.Upsample(32),
    "vae_res": lambda: autoencoder_kl.ResBlock(32, 64),
    "vae_attn": lambda: autoencoder_kl.Attention(64),
    "vae_down": lambda: autoencoder_kl.Downsample(32),
    "vae_up": lambda: autoencoder_kl.Upsample(32),
}
large = pytest.mark.large


def given(item: str, *shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.from_numpy(rnormal(item, shape, scale))


def statistics(x: torch.Tensor) -> np.ndarray:
    x = x.double().numpy()
    return np.array([x.mean(), 0, x.std(), np.abs(x).sum(), np.abs(x).max()])


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_gives_the_published_numbers(name):
    golden, about = load("latent_blocks")
    texts = about["blocks"][name]["inputs"]
    inputs = [given(*_parsed(text)) for text in texts]
    with torch.no_grad():
        found = filled(BLOCKS[name](), f"{name}.")(*inputs)
    assert rel_l2(found, golden[name]) < about["tolerance"]["rel_l2"]


def _parsed(text: str) -> tuple:
    """Return name and shape of "rnormal('name',(2, 64),1.0)"."""
    name, shape = text.removeprefix("rnormal(").removesuffix(",1.0)").split(",", 1)
    return (name.strip("'"), *(int(size) for size in shape.strip("()").split(",")))


@pytest.mark.parametrize("dimension", [32, 128])
def test_the_time_is_embedded_cosines_first(dimension):
    golden, about = load("latent_blocks")
    t = torch.tensor(about["blocks"]["time_embedding"]["t"])
    found = latent_unet.time_embedding(t, dimension)
    assert rel_l2(found, golden[f"time_embedding_{dimension}"]) < 1e-5


SMALL = {"in_channels": 4, "out_channels": 4, "model_channels": 32, "attention_resolutions": [2]}
SMALL |= {"num_res_blocks": 1, "channel_mult": [1, 2]}


@pytest.mark.parametrize(
    "item, args, shape, t, step",
    [
        ("latent_unet_c32", {"in_channels": 8, "out_channels": 4, "model_channels": 32}, (2, 8, 16, 8), [1, 981], 2),
        ("latent_unet_film", SMALL | {"extra_attention": False, "film_dim": 16}, (2, 4, 8, 8), [1, 601], 1),
        ("latent_unet_cross", SMALL | {"context_dims": [24, 40]}, (2, 4, 8, 8), [1, 601], 1),
        pytest.param("latent_unet_full", {}, (1, 32, 16, 32), [501], 2, marks=large),
    ],
)
def test_the_unet_gives_the_published_numbers(item, args, shape, t, step):
    golden, about = load(item)
    network = filled(LatentUNet(**args))
    assert sum(p.numel() for p in network.parameters()) == about["params"]
    film = given(f"{item}_y", 2, 16) if "film_dim" in args else None
    contexts = []
    for number, dimension in enumerate(args.get("context_dims", ())):
        tokens = 5 + 2 * number
        mask = torch.ones(2, tokens)
        mask[:, -1] = 0
        contexts.append((given(f"{item}_c{number}", 2, tokens, dimension), mask))
    found = network(given(f"{item}_x", *shape), torch.tensor(t), film, contexts)
    assert rel_l2(found[..., ::step, ::step], golden["out_sub"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(found[0, :, :, -1], golden["lastcol"]) < about["tolerance"]["rel_l2"]


@pytest.mark.parametrize(
    "item, args, shape, latent, step, fine",
    [
        ("latent_vae_c32", {"channels": 32, "z_channels": 4, "embed_dim": 4}, (1, 1, 64, 32), (1, 4, 8, 4), 1, 2),
        pytest.param("latent_vae_full", {}, (1, 1, 64, 256), (1, 16, 8, 32), 2, 4, marks=large),
    ],
)
def test_the_autoencoder_gives_the_published_numbers(item, args, shape, latent, step, fine):
    golden, about = load(item)
    network, tolerance = filled(AutoencoderKL(**args)), about["tolerance"]["rel_l2"]
    assert sum(p.numel() for p in network.parameters()) == about["params"]
    x = given(f"{item}_x", *shape, scale=2.0) - 5
    mean, variance = network.encode(x)
    assert rel_l2(torch.cat([mean, variance], 1)[..., ::step, ::step], golden["moments_sub"]) < tolerance
    drawn = network.draw(x, given("noise0", *mean.shape))
    assert rel_l2(drawn[..., ::step, ::step], golden["sample_sub"]) < tolerance
    decoded = network.decode(given(f"{item}_z", *latent))
    assert rel_l2(decoded[0, 0, ::fine, ::fine], golden["dec_sub"]) < tolerance
    assert rel_l2(statistics(network.decode(mean)), golden["roundtrip_stats"]) < 1e-4


@pytest.mark.parametrize(
    "item, args, frames, step",
    [("latent_vocoder_tiny", {"channels": 64}, 24, 7), pytest.param("latent_vocoder_full", {}, 0, 0, marks=large)],
)
def test_hifigan_gives_the_published_numbers(item, args, frames, step):
    golden, about = load(item)
    network = filled(HiFiGAN(**args))
    assert sum(p.numel() for p in network.parameters()) == about["params"]
    frames = frames or about["samples"] // network.hop
    mel = given(f"{item}_mel", 1, 256, frames, scale=2.0) - 5
    found = network(mel)[0]
    step = step or -(-about["samples"] // golden["out_sub"].size)
    kept = len(found[::step])
    assert found.shape == (480 * frames,) and about["samples"] == 480 * frames + 16
    assert rel_l2(found[::step], golden["out_sub"][:kept]) < about["tolerance"]["rel_l2"]
    assert rel_l2(found[-240:], golden["tail"][:240]) < about["tolerance"]["rel_l2"]


@pytest.mark.parametrize(
    "item, args, frames, step",
    [
        ("flashsr_vocoder_tiny", {"channels": 64}, 12, 5),
        pytest.param("flashsr_vocoder_full", {}, 8, 3, marks=large),
    ],
)
def test_the_vocoder_of_flashsr_gives_the_published_numbers(item, args, frames, step):
    golden, about = load(item)
    network = filled_bigvgan(BigVGANSR(**args))
    mel = given(f"{item}_mel", 1, 256, frames, scale=2.0) - 5
    low = torch.from_numpy(wave(f"{item}_wave", 480 * frames, 48000))[None]
    found = network(mel, low)[0]
    assert rel_l2(found[::step], golden["out_sub"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(found[-256:], golden["tail"]) < about["tolerance"]["rel_l2"]


def test_the_periodic_activation_gives_the_published_numbers():
    golden, about = load("flashsr_activation")
    network, x = filled(PeriodicActivation(3), "act."), given("latent_act", 2, 3, 40, scale=2.0)
    assert rel_l2(network.filter[0, 0], golden["filter"]) < 1e-6
    found = {
        "up": network.up(x),
        "snake": network.bend(x),
        "down_of_up": network.down(network.up(x)),
        "out": network(x),
    }
    for name, value in found.items():
        assert rel_l2(value, golden[name]) < about["tolerance"]["rel_l2"], name


@pytest.mark.parametrize("network", [HiFiGAN(channels=32), BigVGANSR(channels=32)], ids=["hifigan", "bigvgan_sr"])
def test_a_sample_of_a_vocoder_depends_on_its_frames_only(network):
    network = filled(network)
    mel, low = given("reach_mel", 1, 256, 80, scale=2.0) - 5, given("reach_wave", 1, 38400, scale=0.1)
    other = mel.clone()
    other[..., 40] += 1
    moved = np.flatnonzero((network(mel, low) - network(other, low)).abs()[0].numpy() > 1e-7)
    assert 40 - network.reach <= moved.min() / 480 and moved.max() / 480 < 41 + network.reach
    changed = low.clone()
    changed[0, 19200] += 0.5
    moved = np.flatnonzero((network(mel, low) - network(mel, changed)).abs()[0].numpy() > 1e-7)
    assert all(abs(moved - 19200) < 480 * network.reach)
