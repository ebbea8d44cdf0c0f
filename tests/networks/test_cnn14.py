"""Cnn14 against PANNs' own numbers, and the promise that a segment depends on nothing far away."""

import numpy as np
import pytest
import torch

from enhance_cli.networks import NETWORKS, cnn14
from tests import golden_numbers as golden

pytestmark = pytest.mark.slow

TOLERANCE = 2e-6


def test_numbers_of_the_published_network():
    network = NETWORKS["cnn14_decision_level"]().eval()
    network.load_state_dict(golden.weights(network.state_dict()))
    assert sum(p.numel() for p in network.parameters()) == 80_753_615
    audio = torch.from_numpy(golden.wave("panns", 64000, 32000))[None]
    expected, described = golden.load("panns_cnn14_decisionlevelmax")
    assert described["params_without_frontend"] == 80_753_615 and described["tolerance"]["rel_l2"] == TOLERANCE
    with torch.inference_mode():
        assert golden.rel_l2(network.log_mel(audio)[0, ::4, ::2], expected["logmel_sub"]) < TOLERANCE
        segments = network(audio)[0]
    assert golden.rel_l2(segments, expected["segmentwise"]) < TOLERANCE
    assert golden.rel_l2(segments.amax(0), expected["clipwise"]) < TOLERANCE


def test_names_of_the_weights_are_those_of_the_published_files():
    lines = (golden.FOLDER / "panns_cnn14_decisionlevelmax_keys.txt").read_text().splitlines()
    published = dict(line.split(" ", 1) for line in lines if not line.startswith(("spectrogram", "logmel")))
    with torch.device("meta"):
        state = NETWORKS["cnn14_decision_level"]().state_dict()
    assert {key: str(list(value.shape)) for key, value in state.items()} == published


def test_mel_filters_are_those_of_the_published_files():
    with np.load(golden.FOLDER / "panns_melW.npz") as published:
        filters = NETWORKS["cnn14_decision_level"](classes=1, width=1).filters
        tolerance = 2e-6  # that of golden/README.md: torchaudio computes them in single precision
        assert golden.rel_l2(filters[::4], published["melW_sub"]) < tolerance
        assert golden.rel_l2(filters.sum(0), published["colsum"]) < tolerance


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = NETWORKS["cnn14_decision_level"](classes=40, width=2).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


@torch.inference_mode()
def test_an_excerpt_gives_what_the_whole_gives(small):
    """Where it begins at a multiple of the segment and has REACH_SECONDS around it."""
    segment, reach = 32 * 320, 7
    assert reach * cnn14.SEGMENT_SECONDS >= cnn14.REACH_SECONDS
    audio = 0.1 * torch.randn(1, 40 * segment, generator=torch.Generator().manual_seed(1))
    whole = small(audio)[0]
    part = small(audio[:, 9 * segment : 33 * segment])[0]
    torch.testing.assert_close(part[reach:-reach], whole[9 + reach : 33 - reach], rtol=1e-4, atol=1e-5)
    assert (part[0] - whole[9]).abs().max() > 1e-3, "this network does look around"


@pytest.mark.parametrize("samples", [1, 600, 10240, 31999])
def test_short_audio_has_at_least_one_segment(small, samples):
    with torch.inference_mode():
        out = small(torch.zeros(2, samples))
    assert out.shape[0] == 2 and out.shape[1] >= 1 and torch.isfinite(out).all()
