"""The speaker network that ships, by its name and by the id of its embeddings, and what is no speaker network."""

import pytest
import soundfile
import torch

from enhance_cli.errors import ModelError
from enhance_cli.models.extractor import load_extractor, name_of_extractor
from enhance_cli.models.registry import find
from tests.golden_numbers import FOLDER, load, wave


def test_the_shipped_weights_are_those_of_the_package_in_sixteen_bits():
    extractor, (expected, _) = load_extractor(), load("resemblyzer_ge2e")
    assert (extractor.id, extractor.dimension, extractor.sample_rate) == ("ge2e-resemblyzer", 256, 16000)
    speech = soundfile.read(FOLDER.parent / "audio_files" / "noisy_speech.flac", dtype="float32")[0][16000:41600]
    for waves, name in ((wave("ge2e_wave", 25600, 16000), "published_wave"), (speech, "published_speech")):
        found = extractor.embed(torch.from_numpy(waves)[None])[0].numpy()
        assert abs(found - expected[name]).max() < 1e-3
        assert float(found @ expected[name]) > 0.99999


def test_it_is_found_by_name_and_id_and_path():
    assert {load_extractor(name).id for name in (None, "ge2e", "ge2e-resemblyzer", str(find("ge2e", None).path))} == {
        "ge2e-resemblyzer"
    }
    assert (
        name_of_extractor("speechbrain-ecapa-voxceleb") == "ecapa-voxceleb"
        and name_of_extractor("strange") == "strange"
    )


def test_a_card_with_its_origin_lies_beside_it():
    card = find("ge2e", None).path.with_suffix(".md").read_text()
    for needed in ("Apache-2.0", "Resemble.AI", "0.1.4", "ge2e.LICENSE"):
        assert needed in card
    assert "Apache License" in find("ge2e", None).path.with_suffix(".LICENSE").read_text()


def test_other_models_are_refused(tiny_model):
    with pytest.raises(ModelError, match="a model for denoise, not for embed-speaker") as caught:
        load_extractor(str(tiny_model))
    assert caught.value.exit_code == 3
    with pytest.raises(ModelError, match="not here yet.*enhance models pull ecapa-voxceleb"):
        load_extractor("ecapa-voxceleb")
    with pytest.raises(ModelError, match="unknown model 'ge2f'.*did you mean ge2e"):
        load_extractor("ge2f")
