"""The Python interface: its names, objects that give what the functions give, and explicit arguments."""

import inspect
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import enhance_cli
from enhance_cli.errors import UsageError

RATE = 16000


@pytest.fixture
def audio() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 12000)).astype(np.float32) * 0.1


def test_the_public_names_are_these():
    names = {
        "Denoiser",
        "EnhanceError",
        "Inpainter",
        "SpeakerRepairer",
        "StemExtractor",
        "denoise",
        "enhance_embedding",
        "extend_bandwidth",
        "extract_stem",
        "inpaint",
        "load_model",
    }
    assert set(enhance_cli.__all__) == names | {"__version__"}
    assert sorted(enhance_cli.__all__) == enhance_cli.__all__
    assert all(hasattr(enhance_cli, name) for name in enhance_cli.__all__)
    package = Path(enhance_cli.__file__).parent
    assert (package / "py.typed").exists(), "type checkers would ignore the annotations"


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, enhance_cli; sys.exit(bool({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "function, kind",
    [
        (enhance_cli.denoise, enhance_cli.Denoiser),
        (enhance_cli.extract_stem, enhance_cli.StemExtractor),
        (enhance_cli.enhance_embedding, enhance_cli.SpeakerRepairer),
        (enhance_cli.inpaint, enhance_cli.Inpainter),
    ],
)
def test_functions_and_objects_take_the_same_named_arguments_with_the_same_defaults(function, kind):
    ours, theirs = (inspect.signature(f).parameters for f in (function, kind))
    assert not any(p.kind is p.VAR_KEYWORD for p in (*ours.values(), *theirs.values()))
    assert set(theirs) <= set(ours)
    assert {name: p.default for name, p in theirs.items()} == {name: ours[name].default for name in theirs}


@pytest.mark.parametrize(
    "name, options",
    [("DenoiseOptions", "denoise.Denoiser"), ("StemOptions", "extract_stem.StemExtractor")],
)
def test_defaults_are_those_of_the_commands(name, options):
    from enhance_cli.tasks import denoise, extract_stem

    module, kind = options.split(".")
    known = {"denoise": denoise, "extract_stem": extract_stem}[module]
    task = inspect.signature(getattr(known, name)).parameters
    public = inspect.signature(getattr(enhance_cli, kind)).parameters
    left_out = {"residual"} if module == "denoise" else set()  # of an array it is the input less the result
    for key in set(task) - {"sampler_args", "stems"} - left_out:
        assert public[key].default == task[key].default, key


def test_a_denoiser_is_loaded_once_and_gives_what_the_function_gives(tiny_model, audio):
    denoiser = enhance_cli.Denoiser(str(tiny_model), steps=2, seed=3, strength=0.7)
    expected = enhance_cli.denoise(audio, RATE, str(tiny_model), steps=2, seed=3, strength=0.7)
    tiny_model.rename(tiny_model.with_suffix(".away"))  # nothing is read again
    try:
        with ThreadPoolExecutor(3) as threads:
            for result in threads.map(lambda _: denoiser(audio, RATE), range(3)):
                np.testing.assert_array_equal(result, expected)
        assert denoiser(audio[0], RATE).shape == audio[0].shape
        np.testing.assert_allclose(denoiser(audio[0], RATE), expected[0], atol=1e-6)
    finally:
        tiny_model.with_suffix(".away").rename(tiny_model)


def test_a_denoiser_refuses_what_its_model_does_not_allow(tiny_model):
    with pytest.raises(UsageError, match="steps"):
        enhance_cli.Denoiser(str(tiny_model), steps=99)
    with pytest.raises(TypeError):
        enhance_cli.Denoiser(str(tiny_model), step=1)


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (enhance_cli.denoise, {"strength": 2}), (enhance_cli.denoise, {"strength": float("nan")}),
        (enhance_cli.denoise, {"max_attenuation": -6}), (enhance_cli.denoise, {"threads": 0}),
        (enhance_cli.denoise, {"window_seconds": -1}), (enhance_cli.denoise, {"batch_size": 0}),
        (enhance_cli.extract_stem, {"sigma": -1}), (enhance_cli.extend_bandwidth, {"guidance": -1}),
        (enhance_cli.inpaint, {"rounds": 0}), (enhance_cli.inpaint, {"strength": 2}),
    ],
)  # fmt: skip
def test_numbers_that_the_command_would_refuse_are_refused_in_python_too(function, wrong, audio):
    (name,) = wrong
    with pytest.raises(UsageError, match=rf"^{name}: \S+ is not [0-9.]+ (to|or) .*: change it, or leave it out$"):
        function(audio, RATE, **wrong)


@pytest.mark.parametrize(
    ("function", "wrong", "message"),
    [
        (enhance_cli.denoise, {"strength": "1"}, "strength: '1' is not a number"),
        (enhance_cli.denoise, {"steps": 1.5}, "steps: 1.5 is not a whole number"),
        (enhance_cli.denoise, {"seed": None}, "seed: None is not a whole number"),
        (enhance_cli.denoise, {"sampler": 3}, "sampler: 3 is not a text"),
        (enhance_cli.denoise, {"sampler_args": [1]}, "sampler_args: [1] is not a dictionary"),
        (enhance_cli.denoise, {"sampler_args": {"strength": "a"}}, "--sdedit: 'a' is not a number"),
        (enhance_cli.extract_stem, {"sigma": "x"}, "sigma: 'x' is not a number"),
        (enhance_cli.extend_bandwidth, {"cutoff": [1]}, "cutoff: [1] is not a number"),
        (enhance_cli.inpaint, {"rounds": True}, "rounds: True is not a whole number"),
        (enhance_cli.SpeakerRepairer, {"time": "3"}, "time: '3' is not a number"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_in_one_line(function, wrong, message, audio):
    given = () if function is enhance_cli.SpeakerRepairer else (audio, RATE)
    with pytest.raises(UsageError, match=f"^{re.escape(message)}: change it, or leave it out$"):
        function(*given, **wrong)


def test_a_rate_may_be_a_float_and_one_that_no_recording_has_is_refused(tiny_model, audio):
    denoiser = enhance_cli.Denoiser(str(tiny_model))
    np.testing.assert_array_equal(denoiser(audio, 16000.0), denoiser(audio, 16000))
    for rate in (0, -16000, 16000.5, float("nan"), "16000", None):
        for function in (denoiser, enhance_cli.extend_bandwidth, enhance_cli.inpaint):
            with pytest.raises(UsageError, match="rate .*: must be whole Hz from 1000 to 768000"):
                function(audio, rate)


def test_a_batch_of_recordings_is_refused_with_another_remedy_than_a_transposed_one(tiny_model):
    denoiser = enhance_cli.Denoiser(str(tiny_model))
    with pytest.raises(UsageError, match=r"soundfile gives the transpose, audio\.T"):
        denoiser(np.zeros((800, 2)), 16000)
    with pytest.raises(UsageError, match="pass one recording .* at a time"):
        denoiser(np.zeros((4, 1, 800)), 16000)


@pytest.mark.parametrize(
    "function",
    [enhance_cli.denoise, enhance_cli.extract_stem, enhance_cli.extend_bandwidth, enhance_cli.inpaint,
     enhance_cli.enhance_embedding],
)  # fmt: skip
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("take.wav", "audio of type .* is not an array of floats, full scale 1: pass the array of soundfile.read"),
        (None, "audio of type object is not"),
        (np.ones(8000, np.int16), "audio of type int16 is not .* or samples / 32768 for int16"),
        (np.ones(8000, np.complex64), "audio of type complex64 is not"),
        (np.ones((0, 8000)), r"shape \(0, 8000\) is not a recording of 1 to 64 channels"),
        (np.ones((8000, 2)), r"audio\.T"),
    ],
)  # fmt: skip
def test_audio_that_is_no_array_of_floats_is_refused_with_the_remedy(function, wrong, message):
    with pytest.raises(enhance_cli.EnhanceError, match=message):
        function(wrong, RATE)


def test_the_result_of_a_function_can_be_used_without_checking_its_type_first():
    """A union of types would need that, and type checkers would refuse the lines of the README."""
    functions = [getattr(enhance_cli, name) for name in enhance_cli.__all__ if name.islower() and name != "__version__"]
    returned = [inspect.signature(f).return_annotation for f in functions if f.__name__ != "load_model"]
    assert len(returned) == 5 and not any("|" in text for text in returned), returned


def test_gaps_are_checked_as_those_of_the_command_and_an_empty_list_fills_none(audio):
    audio[:, 4000:4320] = 0
    for gaps, message in (
        ([(0.3, 0.2)], "ends before it begins: did you mean 0.2-0.3"),
        ([(0.2, 0.2)], "this gap is empty"),
        ([(0.1, 0.3), (0.2, 0.4)], "overlap"),
        ([(0.1, np.inf)], "must be finite"),
        ("0.1-0.2", "pairs of a beginning and an end"),
        ([0.1, 0.2], "pairs of a beginning and an end"),
    ):
        with pytest.raises(UsageError, match=message):
            enhance_cli.inpaint(audio, RATE, gaps)
    np.testing.assert_array_equal(enhance_cli.inpaint(audio, RATE, []), audio)
    assert enhance_cli.inpaint(audio, RATE)[:, 4000:4320].any()  # without a list they are found
    for gaps in (None, []):
        assert enhance_cli.inpaint(audio[:, :0], RATE, gaps).shape == (len(audio), 0)


def test_a_stem_extractor_gives_what_the_function_gives(stem_model, audio):
    extractor = enhance_cli.StemExtractor(str(stem_model), stem="drums", residual=True, steps=1)
    assert extractor.names == ("drums", "residual")
    found = extractor(audio, 8000)
    expected = enhance_cli.extract_stem(audio, 8000, "drums", str(stem_model), residual=True, steps=1)
    for name in extractor.names:
        np.testing.assert_array_equal(found[name], expected[name])
    np.testing.assert_allclose(found["drums"] + found["residual"], audio, atol=1e-6)


def test_a_speaker_repairer_gives_what_the_function_gives(repair_model, audio):
    repairer = enhance_cli.SpeakerRepairer(str(repair_model), ensemble=0.3)
    rows = np.random.default_rng(1).standard_normal((5, 256)).astype(np.float32)
    rows[2] = 0
    with pytest.warns(UserWarning, match=": 2") as caught:
        repaired = repairer(rows)
    assert caught[0].filename == __file__, "the warning points at a line of ours"
    assert not repaired[2].any()
    with pytest.warns(UserWarning, match=": 2") as caught:
        np.testing.assert_array_equal(
            enhance_cli.enhance_embedding(rows, model=str(repair_model), ensemble=0.3), repaired
        )
    assert caught[0].filename == __file__
    voice = repairer.embed(audio, RATE)
    assert voice.shape == (256,) and np.linalg.norm(voice) == pytest.approx(1, abs=1e-5)


def test_the_former_spelling_of_normalize_still_works(repair_model):
    rows = 3 * np.random.default_rng(1).standard_normal((4, 256)).astype(np.float32)
    kept = enhance_cli.enhance_embedding(rows, model=str(repair_model), normalise="keep")
    np.testing.assert_allclose(np.linalg.norm(kept, axis=1), np.linalg.norm(rows, axis=1), rtol=1e-4)
    unit = enhance_cli.enhance_embedding(rows, model=str(repair_model))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-4)
