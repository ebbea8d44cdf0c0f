"""DeepFilterNet 3 against the published graphs and the published native library, and against itself in pieces."""

import numpy as np
import pytest
import torch

from enhance_cli.models import registry
from enhance_cli.models.deep_filter_stream import DeepFilterStream
from enhance_cli.models.weights import load_network
from tests.golden_numbers import load, rnormal, voice_in_noise

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    entry = registry.find("deepfilternet3", "denoise")
    return load_network(entry.path, entry.sha256)[1]


def features(frames):
    erb = torch.from_numpy(rnormal("deepfilternet_erb", (1, 1, frames, 32)))[:, 0]
    return erb, torch.from_numpy(rnormal("deepfilternet_spec", (1, 2, frames, 96)))


def test_the_header_of_the_file_states_the_size(network):
    import enhance_cli.networks.deepfilternet as module

    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"{count:,} parameters" in module.__doc__


def test_the_published_graphs_give_the_same(network):
    expected, about = load("deepfilternet3")
    with torch.inference_mode():
        gains, taps, lsnr, _ = network(*features(about["frames"]))
    for found, name in ((gains[0], "gains"), (taps[0].flatten(2), "taps"), (lsnr[0], "lsnr")):
        tolerance = about["tolerance"]["max_abs"] * (50 if name == "lsnr" else 1)  # decibels, from -15 to 35
        assert np.abs(found.numpy() - expected[f"onnx_{name}"]).max() < tolerance


def test_frames_in_pieces_give_the_same(network):
    erb, spec = features(40)
    with torch.inference_mode():
        whole = network(erb, spec)[:3]
        state, pieces = None, []
        for begin, end in ((0, 1), (1, 2), (2, 17), (17, 40)):
            *found, state = network(erb[:, begin:end], spec[:, :, begin:end], state)
            pieces.append(found)
    for one, parts in zip(whole, zip(*pieces)):
        assert torch.allclose(one, torch.cat(parts, dim=1), atol=1e-5)


def test_the_published_library_gives_the_same_from_the_second_frame_on(network):
    expected, about = load("deepfilternet3")
    late, first = about["native_delay"], about["first_equal_sample"]
    cleaned = DeepFilterStream(network, 1).push(voice_in_noise()[None], last=True)[0, 0]
    native = expected["native_output"][late:]
    assert np.abs(cleaned[first : len(native)] - native[first:]).max() < about["tolerance"]["max_abs"]


@pytest.mark.parametrize("samples", [1, 479, 480, 481, 1441, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_stream_in_any_blocks_is_the_whole_sample_for_sample(network, samples, channels):
    signal = np.stack([voice_in_noise(samples), -0.5 * voice_in_noise(96000)[:samples]])[:channels]
    whole = DeepFilterStream(network, channels).push(signal, last=True)
    rng = np.random.default_rng(samples)
    stream, pieces, position = DeepFilterStream(network, channels), [], 0
    while position < samples:
        size = int(rng.integers(0, 20000))
        pieces.append(stream.push(signal[:, position : position + size]))
        position += size
    pieces.append(stream.push(signal[:, :0], last=True))
    assert whole.shape == (2, channels, samples)
    assert np.array_equal(np.concatenate(pieces, axis=-1), whole)
