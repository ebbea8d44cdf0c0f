"""Guides by name, and what is said where one is not known, not here, or not what the model was trained with."""

import pytest
import torch

from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models.guide import from_network, load_guide
from enhance_cli.models.spec import Spec

CPU = torch.device("cpu")


def spec(*guides: str) -> Spec:
    return Spec("mine", "bridge_unet", "brownian_bridge", guides=guides)


@pytest.mark.parametrize("hop", [128, 256])
@pytest.mark.parametrize("samples", [1, 255, 16000, 16001])
def test_a_guide_has_one_value_for_every_frame_of_the_model(hop, samples):
    wave = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    probability = load_guide("vad", 16000, hop, CPU)(wave)
    assert probability.shape == (2, 1, samples // hop + 1)
    assert ((probability >= 0) & (probability <= 1)).all() and not probability.requires_grad


@pytest.mark.parametrize("rate, hop", [(16000, 256), (16000, 128), (48000, 384)])
def test_an_excerpt_that_begins_on_the_grid_gives_what_the_whole_gives(small_cnn14, rate, hop):
    guide = from_network(small_cnn14, rate, hop)
    assert guide.grid % hop == 0
    first, last = 2 * guide.grid, 2 * guide.grid + 2 * guide.margin + 3 * guide.grid
    random = torch.Generator().manual_seed(1)
    wave = 0.1 * torch.randn(1, last + guide.grid, generator=random)
    whole, part = guide(wave)[0, 0], guide(wave[:, first:last])[0, 0]
    assert whole.shape == (wave.shape[1] // hop + 1,)
    inside = slice(guide.margin // hop + 1, (last - first - guide.margin) // hop)
    torch.testing.assert_close(part[inside], whole[first // hop :][inside], rtol=1e-3, atol=1e-4)
    assert whole.std() > 0.02 and (whole.diff() != 0).sum() == len(wave[0]) // round(0.32 * rate) - 1


def test_none_is_no_guide_and_others_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_HOME", str(tmp_path))
    assert load_guide("none", 16000, 256, CPU) is None
    with pytest.raises(UsageError, match="unknown guide 'cat': choose from none, vad, panns, gaps"):
        load_guide("cat", 16000, 256, CPU)
    with pytest.raises(ModelError, match="panns: not here yet: run `enhance models pull panns`"):
        load_guide("panns", 16000, 256, CPU)


def test_a_model_takes_the_guides_it_was_trained_with():
    assert spec().choose_guide(None) == spec().choose_guide("none") == "none"
    assert spec("vad", "panns").choose_guide(None) == "vad"
    assert spec("vad", "panns").choose_guide("panns") == "panns"
    assert spec("vad").choose_guide("none") == "none"
    with pytest.raises(UsageError, match="--guide vad: mine was not trained with a guide"):
        spec().choose_guide("vad")
    with pytest.raises(UsageError, match="--guide panns: mine was not trained with it: choose from vad, none"):
        spec("vad").choose_guide("panns")


def test_the_guide_for_gaps_is_the_share_of_missing_samples_around_every_frame():
    wave = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)).abs() + 0.1
    wave[:, 4096:5120] = 0
    wave[:, 8000:8020] = 0  # shorter than a gap is
    share = load_guide("gaps", 16000, 256, CPU)(wave)[0, 0]
    assert share.shape == (63,) and share.nonzero().flatten().tolist() == [16, 17, 18, 19, 20]
    assert share[16] == share[20] == 0.5 and (share[17:20] == 1).all()
    assert load_guide("gaps", 16000, 256, CPU)(torch.zeros(1, 5)).shape == (1, 1, 1)
