"""Checkpoints of PANNs: weights under "model" beside numpy arrays, read without running any of it."""

import pytest
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.convert import panns
from enhance_cli.models.convert.file import detect
from enhance_cli.networks import NETWORKS
from tests import golden_numbers as golden


def published(path, changes: dict | None = None):
    """A file with every name and shape of a published one, and hardly any numbers."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in NETWORKS["cnn14_decision_level"]().state_dict().items()}
    shapes |= {f"spectrogram_extractor.stft.conv_{part}.weight": (513, 1, 1024) for part in ("real", "imag")}
    state = {key: torch.tensor(0.5).expand(shape) for key, shape in shapes.items()}
    state["logmel_extractor.melW"] = NETWORKS["cnn14_decision_level"](classes=1, width=1).filters
    state = {key: value for key, value in (state | (changes or {})).items() if value is not None}
    torch.save({"iteration": 1, "model": state, "sampler": {}}, path)
    return path


def test_a_published_file_becomes_a_guide(tmp_path):
    source = published(tmp_path / "x.pth")
    assert detect(source) == "panns"
    weights, spec = panns.convert(source)
    assert (spec.network, spec.task, spec.sample_rate, spec.process) == ("cnn14_decision_level", "guide", 32000, "")
    assert len(weights) == 81 and not any(key.startswith(panns.FRONT_END) for key in weights)


@pytest.mark.parametrize("name", ["panns_style_partial.pth", "panns_style_partial_numpy.pth"])
def test_containers_of_the_real_kind_are_read_and_lack_weights(name):
    source = golden.FOLDER / name
    assert detect(source) == "panns"
    with pytest.raises(ModelError, match=r"not the weights of Cnn14 \(.* is missing\)"):
        panns.convert(source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fc1.weight": None}, "fc1.weight is missing"),
        ({"fc1.weight": torch.zeros(512, 512)}, r"fc1.weight is \[512, 512\]"),
        ({"conv_block7.conv1.weight": torch.zeros(2)}, r"conv_block7.conv1.weight is \[2\]"),
        ({"logmel_extractor.melW": torch.zeros(257, 64)}, "mel filters are not those of 32 kHz"),
        ({"logmel_extractor.melW": torch.ones(513, 64)}, "mel filters are not those of 32 kHz"),
    ],
    ids=["missing", "smaller", "unknown", "another STFT", "other filters"],
)
def test_another_network_is_refused_with_what_differs(changes, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        panns.convert(published(tmp_path / "x.pth", changes))


def test_what_is_no_such_file_is_refused(tmp_path):
    for content in ({"model": [1]}, {"model": {"bn0.weight": 3}}, [1]):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(ModelError, match="not a PANNs checkpoint"):
            panns.convert(tmp_path / "x.pth")
