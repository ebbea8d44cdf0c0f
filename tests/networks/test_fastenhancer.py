"""FastEnhancer against its published class, from files of the published layout to cleaned samples."""

import numpy as np
import pytest
import torch

import enhance_cli.networks.fastenhancer as module
from enhance_cli.audio.spectra.centered_frames import Analysis, Synthesis, make_window
from enhance_cli.models.convert import fastenhancer as converter
from enhance_cli.models.spectral_stream import SpectralStream
from enhance_cli.networks import NETWORKS
from tests.golden_numbers import FOLDER, load, rel_l2, rnormal, wave, weight
from tests.networks.fastenhancer_files import SIZES, golden_state, shapes, state, triangles

ITEMS = {"t": "fe_16k", "s": "fe_16k", "m": "fe_16k", "48k_s": "fe_48k", "tiny8": "fe_16k"}


def network_of(item):
    """The network of a golden item, converted from its state dict."""
    net = load(item)[1]["constructor"]
    folded = converter._folded(golden_state(item))
    weights = {converter._renamed(name): tensor for name, tensor in folded.items()}
    weights["enc_pre.weight"] = converter._strided(folded["enc_pre.0.weight"])
    args = {"channels": net["channels"], "convolutions": len(net["kernel_size"]) - 1, "n_fft": net["n_fft"]}
    blocks = net["rnnformer_kwargs"]
    args |= {"blocks": blocks["num_blocks"], "width": blocks["channels"], "bands": blocks["freq"]}
    args |= {"heads": blocks["num_heads"], "hop": net["hop_size"]}
    if item != "fastenhancer_tiny8":
        assert converter.arguments(folded) == args
    network = NETWORKS["fastenhancer"](**args).eval().requires_grad_(False)
    network.load_state_dict(weights)
    return network


def cleaned(network, signal):
    return SpectralStream(network, 1).push(signal[None], last=True)[0, 0]


@pytest.mark.parametrize("item", ["fastenhancer_t", "fastenhancer_s", "fastenhancer_48k_s"])
def test_the_names_and_shapes_are_those_of_the_published_files(item):
    listed = dict(line.split(" ", 1) for line in (FOLDER / f"{item}_keys.txt").read_text().splitlines())
    assert {name: str(list(tensor.shape)) for name, tensor in golden_state(item).items()} == listed


def test_the_names_of_folded_weights_are_those_of_the_published_program():
    listed = dict(line.split(" ", 1) for line in (FOLDER / "fastenhancer_t_folded_keys.txt").read_text().splitlines())
    folded = converter._folded(golden_state("fastenhancer_t"))
    assert {name: str(list(tensor.shape)) for name, tensor in folded.items()} == listed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate", [16, 48])
def test_the_documentation_states_the_size(size, rate):
    *sizes, bands = SIZES[size]
    positions = 64 if rate == 16 else 128
    bands = bands if rate == 16 else {16: 24, 24: 36, 36: 48, 48: 72, 64: 96}[bands]
    folded = converter._folded(state((*sizes, bands), positions, fixed=False))
    network = NETWORKS["fastenhancer"](**converter.arguments(folded))
    fixed = sum(folded[f"rf_{end}.0.weight"].numel() for end in ("pre", "post")) if rate == 16 else 0
    count = sum(parameter.numel() for parameter in network.parameters()) - fixed
    assert f"{count:,}" in module.__doc__


@pytest.mark.parametrize("name", ITEMS)
def test_a_recording_comes_out_as_from_the_published_class(name):
    expected, about = load(f"fastenhancer_{name}")
    network = network_of(f"fastenhancer_{name}")
    samples = about["lengths"]["input"]
    found = cleaned(network, wave(ITEMS[name], samples, 48000 if "48k" in name else 16000))
    step = int(about["stored"]["wave_sub"].split("::")[1].split("]")[0])
    assert found.shape == (samples,)
    assert rel_l2(found[::step], expected["wave_sub"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(found[:200], expected["wave_head"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(found[-200:], expected["wave_tail"]) < about["tolerance"]["rel_l2"]


@pytest.mark.parametrize("samples", [8191, 8193, 7937, 700, 513, 300])
@pytest.mark.parametrize("name", ["t", "m"])
def test_at_any_length_the_samples_are_those_of_a_transform_of_the_whole(name, samples):
    """The published program transforms the whole recording and drops what is behind the last full hop."""
    network = network_of(f"fastenhancer_{name}")
    signal = wave("fe_16k", samples, 16000)
    window = torch.hann_window(512)
    spectra = torch.stft(torch.from_numpy(signal)[None], 512, network.hop, window=window, return_complex=True)
    with torch.inference_mode():
        clean, _ = network(torch.view_as_real(spectra.transpose(1, 2).contiguous()))
    clean = torch.view_as_complex(clean).transpose(1, 2)
    expected = torch.istft(clean, 512, network.hop, window=window)[0].numpy()
    found = cleaned(network, signal)
    assert found.shape == (samples,) and np.isfinite(found).all()
    assert rel_l2(found[: len(expected)], expected) < 1e-5
    assert np.abs(found[len(expected) :]).max(initial=0) < 3 * np.abs(expected).max()


def test_frames_that_come_one_by_one_give_what_the_published_stream_gives():
    expected, about = load("fastenhancer_t_stream")
    network, window, hop = network_of("fastenhancer_t"), make_window("hann", 512), 256
    signal = np.pad(wave("fe_16k", 10240, 16000), (hop, 0))
    frames = np.lib.stride_tricks.sliding_window_view(signal, 512)[::hop] * window
    spectra = torch.view_as_real(torch.from_numpy(np.fft.rfft(frames).astype(np.complex64)))[None]
    after, found = None, []
    with torch.inference_mode():
        for t in range(spectra.shape[1]):
            clean, after = network(spectra[:, t : t + 1], after)
            found.append(torch.view_as_complex(clean)[0, 0].numpy())
    assert rel_l2(np.array(found).T[::6, ::3], expected["spec_out_sub"]) < about["tolerance"]["rel_l2"]
    frames = np.fft.irfft(found) * window
    first, second = np.split(frames, 2, axis=1)
    added = (first + np.pad(second[:-1], ((1, 0), (0, 0)))) / (window[:hop] ** 2 + window[hop:] ** 2)
    assert rel_l2(added.ravel()[::6], expected["wave_sub"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(added.ravel()[:1024], expected["wave_head"]) < about["tolerance"]["rel_l2"]


def test_a_block_alone_gives_what_the_published_block_gives():
    expected, about = load("fastenhancer_rnnformer")
    names = {k: v for k, v in shapes(64, 3, 1, 48, 36, 64).items() if k.startswith("rf_block.0.")}
    golden = {k.removeprefix("rf_block.0."): v for k, v in names.items()}
    golden = {k: torch.from_numpy(np.asarray(weight(k, s))) if s else torch.tensor(0) for k, s in golden.items()}
    named = {f"rf_block.0.{k}": v for k, v in golden.items()} | {"dec_post.3.weight": torch.ones(1, 2, 8)}
    folded = converter._folded(named | {"dec_post.3.scale": torch.ones(1), "dec_post.3.bias": torch.ones(2)})
    block = module.RNNFormer(48, 36, 4, positions=True).eval().requires_grad_(False)
    ours = {converter._renamed(k).removeprefix("blocks.0."): v for k, v in folded.items() if k.startswith("rf_block")}
    block.load_state_dict(ours)
    x = torch.from_numpy(rnormal("rnnformer_in", (7, 1, 36, 48))).transpose(0, 1)
    out, after = block(x, torch.zeros(1, 36, 48))
    assert rel_l2(out[0, :, ::2, ::2].numpy(), expected["out"]) < about["tolerance"]["rel_l2"]
    assert rel_l2(after[0, ::4, ::3].numpy(), expected["state_sub"]) < about["tolerance"]["rel_l2"]


def test_the_fixed_matrices_of_the_tests_are_the_published_ones():
    expected, about = load("fastenhancer_matrices")
    for bands in (16, 24, 36):
        to_bands, back = triangles(64, bands)
        assert rel_l2(to_bands[::3], expected[f"pre_64_{bands}"]) < about["tolerance"]["rel_l2"]
        assert rel_l2(back[::7], expected[f"post_64_{bands}"]) < about["tolerance"]["rel_l2"]


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 511, 512, 40000])
def test_a_stream_in_any_blocks_is_the_whole_sample_for_sample(samples):
    network = network_of("fastenhancer_t")
    signal = np.stack([wave("fe_16k", 40000, 16000), -0.5 * wave("other", 40000, 16000)])[:, :samples]
    whole = SpectralStream(network, 2).push(signal, last=True)
    rng = np.random.default_rng(samples)
    stream, pieces, position = SpectralStream(network, 2), [], 0
    while position < samples:
        size = int(rng.integers(0, 9000))
        pieces.append(stream.push(signal[:, position : position + size]))
        position += size
        stream, other = stream.fork(), stream
        other.push(np.ones((2, 9000), np.float32))  # which the copy does not hear
    pieces.append(stream.push(signal[:, :0], last=True))
    assert whole.shape == (1, *signal.shape)
    assert np.array_equal(np.concatenate(pieces, axis=-1), whole)


@pytest.mark.parametrize("end", ["mirrored", "silent"])
@pytest.mark.parametrize("hop", [256, 160])
def test_analysis_and_synthesis_are_inverse(hop, end):
    window, signal = make_window("hann", 512), wave("fe_16k", 3200, 16000)[None]
    analysis, synthesis = Analysis(1, window, hop, end=end), Synthesis(1, window, hop)
    analysis.push(signal)
    frames = 1 + 3200 // hop
    analysis.finish(frames)
    back = synthesis.push(analysis.take(frames)), synthesis.flush(3200)
    assert np.abs(np.concatenate(back, axis=1)[:, :3200] - signal)[:, : 3200 // hop * hop].max() < 1e-5
