"""DPDFNet against its published classes, offline and as a stream, and against itself in pieces."""

import numpy as np
import pytest
import torch

import enhance_cli.networks.dpdfnet as module
from enhance_cli.audio.spectra.centered_frames import Analysis, Synthesis, make_window
from enhance_cli.models.convert import dpdfnet as converter
from enhance_cli.models.spectral_stream import SpectralStream
from enhance_cli.networks import NETWORKS
from tests.golden_numbers import load, rel_l2, rnormal, wave, weights
from tests.networks.dpdfnet_files import shapes, small, state

OFFLINE = {"48hr_2": (48000, 2, "dpdfnet_48k"), "16k_2": (16000, 2, "dpdfnet_16k"), "8k_2": (8000, 2, "dpdfnet_8k")}
OFFLINE |= {"48hr_small": (48000, 2, "dpdfnet_48k"), "16k_small_0": (16000, 0, "dpdfnet_16k")}


def network_of(rate, blocks, smaller=False):
    wanted = small(shapes(rate, blocks)) if smaller else shapes(rate, blocks)
    found = state(rate, wanted)
    args = converter.arguments(found)
    network = NETWORKS["dpdfnet"](**args).eval().requires_grad_(False)
    network.load_state_dict(converter.renamed(found, args) | converter.starts(args))
    return network


def sliced(text, array):
    """Apply the slice of a description, such as "mask[0, 0, ::3, ::12] of shape ...", to an array."""
    return eval(f"array{text[text.index('[') : text.index(' of shape')]}") if "[" in text.split(" of ")[0] else array


@pytest.mark.parametrize("name", OFFLINE)
def test_the_published_class_gives_the_same(name):
    """Its offline form: features of the first two frames are dropped, so what belongs to a frame is two frames ahead."""
    expected, about = load(f"dpdfnet_{name}")
    rate, blocks, signal = OFFLINE[name]
    network = network_of(rate, blocks, smaller="small" in name)
    samples = rate // 2
    window, hop = make_window("vorbis", network.n_fft), network.hop
    analysis, frames = Analysis(1, window, hop, end="mirrored"), samples // hop + 1
    analysis.push(wave(signal, samples, rate)[None])
    analysis.finish(frames)
    spectra = torch.view_as_real(torch.from_numpy(analysis.take(frames))) / network.n_fft
    with torch.inference_mode():
        start = network.initial_state(1)
        erb, spec, _ = network.features(spectra, start)
        ahead = lambda x: torch.nn.functional.pad(x[:, :, 2:], (0, 0, 0, 2))  # noqa: E731
        gains, taps, lsnr, _ = network.estimate(ahead(erb), ahead(spec), start)
        gained = torch.nn.functional.pad(gains[..., None] * spectra, (0, 0, 0, 0, 2, 2))
        clean = torch.view_as_complex(network.n_fft * network.filter(gained, taps)).numpy()
    synthesis = Synthesis(1, window, hop)
    found = np.concatenate([synthesis.push(clean), synthesis.flush(samples)], axis=1)[:, :samples]
    taps = torch.view_as_complex(taps.contiguous()).permute(0, 3, 1, 2).numpy()
    tensors = {"lsnr": lsnr.numpy(), "wave": found, "coefs": taps, "spec": torch.view_as_complex(spectra)[None].numpy()}
    if network.bands is None:
        tensors["mask"] = gains[None].numpy()
    for key, array in expected.items():
        tensor = tensors.get(key.removesuffix("_sub").replace("wave_head", "wave").replace("wave_tail", "wave"))
        if tensor is not None:
            assert rel_l2(sliced(about["stored"][key], tensor), array) < about["tolerance"]["rel_l2"], key


def test_the_published_stream_gives_the_same():
    expected, about = load("dpdfnet_48hr_2_stream")
    audio = wave("dpdfnet_48k", 24000, 48000)
    found = SpectralStream(network_of(48000, 2), 1).push(audio[None], last=True)[0, 0]
    published = 24000 - 960  # which ends with silence, since it is filled up with too little
    step = expected["wave_sub"][: published // 16]
    assert rel_l2(found[:published:16], step) < about["tolerance"]["rel_l2"]
    assert rel_l2(found[:300], expected["wave_head"]) < about["tolerance"]["rel_l2"]
    limited = (10 ** (-12 / 20)) * audio + (1 - 10 ** (-12 / 20)) * found
    step = expected["wave_limit12_sub"][: published // 16]
    assert rel_l2(limited[:published:16], step) < about["tolerance"]["rel_l2"]


def test_a_stack_of_blocks_gives_what_the_published_one_gives():
    expected, about = load("dpdfnet_dprnn")
    stack = torch.nn.ModuleDict({"blocks": torch.nn.ModuleList(module.DualPath(64) for _ in range(2))}).eval()
    stack.load_state_dict(weights(stack.state_dict()))
    h = torch.from_numpy(rnormal("dprnn_in", (1, 64, 9, 40))).permute(0, 2, 3, 1)
    with torch.inference_mode():
        first, _ = stack["blocks"][0](h, torch.zeros(1, 40, 64))
        out, _ = stack["blocks"][1](first, torch.zeros(1, 40, 64))
    for found, key in ((first, "first_sub"), (out, "out_sub")):
        found = found.permute(0, 3, 1, 2).numpy()
        assert rel_l2(sliced(about["stored"][key], found), expected[key]) < about["tolerance"]["rel_l2"]


@pytest.mark.parametrize(
    "rate, blocks", [(16000, 0), (16000, 2), (16000, 4), (16000, 8), (48000, 2), (48000, 8), (8000, 2), (8000, 8)]
)
def test_the_documentation_states_the_size(rate, blocks):
    found = state(rate, shapes(rate, blocks))
    with torch.device("meta"):
        network = NETWORKS["dpdfnet"](**converter.arguments(found))
    assert f"{sum(parameter.numel() for parameter in network.parameters()):,}" in module.__doc__


@pytest.mark.parametrize("samples", [1, 479, 480, 481, 40000])
def test_a_stream_in_any_blocks_is_the_whole_sample_for_sample(samples):
    network = network_of(48000, 2, smaller=True)
    signal = np.stack([wave("dpdfnet_48k", 40000, 48000), -0.5 * wave("other", 40000, 48000)])[:, :samples]
    whole = SpectralStream(network, 2).push(signal, last=True)
    rng = np.random.default_rng(samples)
    stream, pieces, position = SpectralStream(network, 2), [], 0
    while position < samples:
        size = int(rng.integers(0, 9000))
        pieces.append(stream.push(signal[:, position : position + size]))
        position += size
    pieces.append(stream.push(signal[:, :0], last=True))
    assert whole.shape == (1, *signal.shape) and np.abs(whole[..., -1]).max() > 0
    assert np.array_equal(np.concatenate(pieces, axis=-1), whole)


def test_running_means_go_on_from_frame_to_frame():
    values, mean = torch.from_numpy(rnormal("values", (2, 70, 5))), torch.from_numpy(rnormal("start", (2, 5)))
    whole = module.running_mean(values, mean)
    for t in range(70):
        mean = 0.98 * mean + 0.02 * values[:, t]
        assert torch.allclose(whole[:, t], mean, atol=1e-5)
