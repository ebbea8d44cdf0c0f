"""Several outputs of one input: where they go, written all or none, with one gain, and summing to the input exactly."""

import re

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.levels.level import Meter
from enhance_cli.audio.read import open_audio
from enhance_cli.batch import outputs
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.errors import UsageError
from tests.audio_zoo import read

RATE = 8000
NAMES = ("low", "high", "rest")


def split(scale: float = 1.0):
    """Three parts that sum to the input, none of them on the grid of 16 bits."""

    def process(blocks, rate, channels, level):
        for block in blocks:
            low, high = scale * block * (1 / 3), -scale * block * 0.7
            yield np.concatenate([low, high, block.astype(np.float64) - low - high])

    return process


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (2 * RATE, 2))
    for name in ("a.wav", "b.wav"):
        soundfile.write(name, audio, RATE, subtype="PCM_16")
    return tmp_path


def places(jobs) -> list[dict[str, str]]:
    return [{name: str(place) for name, place in job.parts} for job in jobs]


def test_names_and_places(inside):
    plan = lambda *files, **options: places(outputs.plan(expand(files), parts=NAMES[:2], **options))
    assert plan("a.wav") == [{"low": "a_low.wav", "high": "a_high.wav"}]
    assert plan("a.wav", output="out") == [{"low": "out/a_low.wav", "high": "out/a_high.wav"}]
    named = plan("a.wav", "b.wav", output="out", template="{part}/{stem}{ext}", extension=".flac")
    assert named[1] == {"low": "out/low/b.flac", "high": "out/high/b.flac"}
    one = outputs.plan(expand(["a.wav"]), parts=["low"], output="x.flac")
    assert places(one) == [{"low": "x.flac"}] and str(one[0].target) == "x.flac"


@pytest.mark.parametrize(
    "output, template, word",
    [
        ("x.wav", None, "2 parts of a file cannot go into one file, x.wav: ask for one, .* --name 'x_{part}{ext}'"),
        ("-", None, "cannot go to standard output"),
        (None, "{stem}_x{ext}", "all parts of a file would get this name: use {part}"),
        (None, "a{part}{ext}", "would both be written to alow.wav"),
        (None, "{stem}{part:.0}{ext}", "the output would overwrite this input"),
    ],
)
def test_senseless_plans_are_refused(inside, output, template, word):
    with pytest.raises(UsageError, match=word):
        outputs.plan(expand(["a.wav", "b.wav"] if template else ["a.wav"]), output, parts=NAMES[:2], template=template)


def test_only_what_is_missing_is_written_and_results_are_no_inputs(inside):
    options = FileOptions(parts=NAMES)
    work = lambda job: enhance_file(job, split(), options)
    again = lambda: outputs.plan(expand(["."]), parts=NAMES)
    assert run(again(), work, {}, lambda record: None).done == 2
    assert len(list(inside.glob("*.wav"))) == 8
    jobs = again()
    assert all(job.action == "skip" for job in jobs)
    (inside / "a_high.wav").unlink()
    before = (inside / "a_low.wav").stat().st_mtime_ns
    jobs = [job for job in again() if job.action == "run"]
    assert places(jobs) == [{"high": "a_high.wav"}]
    records = []
    run(jobs, work, {}, records.append)
    assert records[0].outputs == {"high": "a_high.wav"} and records[0].output is None
    assert list(records[0].parts) == ["high"]
    assert (inside / "a_low.wav").stat().st_mtime_ns == before and (inside / "a_high.wav").exists()


def test_a_single_part_in_a_lossy_format_has_the_loudness_that_was_asked_for(inside):
    (job,) = outputs.plan(expand(["a.wav"]), "a.mp3", parts=["low"])
    halve = lambda blocks, rate, channels, level: (block / 2 for block in blocks)
    fields = enhance_file(job, halve, FileOptions(parts=("low",), loudness=-20.0, bit_depth=None))
    with open_audio(job.target) as audio:
        meter = Meter(audio.info.rate, audio.info.channels, layout=audio.info.layout)
        for block in audio.blocks():
            meter.push(block)
    assert fields["parts"]["low"]["loudness"] == pytest.approx(meter.loudness, abs=0.01)
    assert meter.loudness == pytest.approx(-20.0, abs=0.1)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        (".mp3", "PCM_16"),
        (".ogg", "PCM_16"),
        (".flac", "PCM_16"),
        (".wav", "ULAW"),
        (".wav", "IMA_ADPCM"),
        (".wav", "PCM_U8"),
    ],
)
def test_parts_of_a_lossy_format_say_what_they_miss(suffix, subtype, inside):
    time = np.arange(2 * RATE) / RATE
    tones = np.stack([0.3 * np.sin(2 * np.pi * 300 * time), 0.2 * np.sin(2 * np.pi * 500 * time)], axis=1)
    soundfile.write("a.wav", tones, RATE, subtype=subtype)
    tones = soundfile.read("a.wav")[0]
    (job,) = outputs.plan(expand(["a.wav"]), parts=NAMES, extension=suffix)
    notes = enhance_file(job, split(), FileOptions(parts=NAMES))["notes"]
    said = re.findall(r"the error of its codec in the outputs together is ([\d.]+) dB below the sound", " ".join(notes))
    if suffix == ".flac" or subtype == "PCM_U8":
        assert not said
        return
    after = sum(read(path)[0] for path in job.targets)
    error = np.square(after - tones.T).sum() / np.square(tones).sum()
    assert float(said[0]) == pytest.approx(-10 * np.log10(error), abs=0.3) and float(said[0]) > 10


def test_all_parts_appear_or_none(inside):
    def fails(blocks, rate, channels, level):
        yield from split()(blocks, rate, channels, level)
        raise OSError("gone")

    records = []
    run(
        outputs.plan(expand(["a.wav"]), parts=NAMES),
        lambda job: enhance_file(job, fails, FileOptions(parts=NAMES)),
        {},
        records.append,
    )
    assert records[0].status == "failed" and sorted(p.name for p in inside.iterdir()) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    "depth, suffix", [(None, "wav"), ("24", "wav"), ("32", "wav"), ("float", "wav"), (None, "flac")]
)
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_parts_sum_to_the_input_sample_for_sample(inside, depth, suffix, scale):
    """With a scale of four the parts clip, and all are lowered by one gain: they then sum to the input times that."""
    job = outputs.plan(expand(["a.wav"]), "out", parts=NAMES, extension=f".{suffix}")[0]
    options = FileOptions(parts=NAMES, last_part_absorbs_rounding=True, bit_depth=depth)
    record = enhance_file(job, split(scale), options)
    read = lambda path: soundfile.read(path, dtype="float64")[0]
    total = sum(read(place) for _, place in job.parts)
    if record["gain"] == 0.0:
        np.testing.assert_allclose(total, read("a.wav"), rtol=0, atol=6e-8 if depth == "float" else 0)
    else:
        assert scale == 4.0 and depth != "float" and "level lowered by" in record["notes"][0]
        np.testing.assert_allclose(total, read("a.wav") * 10 ** (record["gain"] / 20), atol=1e-3)
    assert max(np.abs(read(place)).max() for _, place in job.parts) < 1 or depth == "float"


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".m4a"])
def test_several_parts_in_a_lossy_format_have_the_loudness_of_the_mix_together(suffix, inside):
    noise = np.random.default_rng(0).standard_normal((4 * 16000, 1)) * 0.05
    soundfile.write("noise.wav", noise, 16000, subtype="FLOAT")
    job = outputs.plan(expand(["noise.wav"]), "out", parts=NAMES, extension=suffix)[0]
    fields = enhance_file(job, split(), FileOptions(parts=NAMES, loudness=-30.0))
    total = Meter(16000, 1)
    blocks = []
    for name, path in job.parts:
        with open_audio(path) as audio:
            blocks.append(np.concatenate(list(audio.blocks()), axis=1))
        own = Meter(16000, 1)
        own.push(blocks[-1])
        assert fields["parts"][name]["loudness"] == pytest.approx(own.loudness, abs=0.01)
    total.push(sum(blocks))
    assert total.loudness == pytest.approx(-30.0, abs=0.1)


def test_loudness_is_that_of_the_whole_mix(inside):
    import pyloudnorm

    job = outputs.plan(expand(["a.wav"]), "out", parts=NAMES)[0]
    enhance_file(job, split(), FileOptions(parts=NAMES, loudness=-23.0, bit_depth="float"))
    total = sum(soundfile.read(place)[0] for _, place in job.parts)
    assert pyloudnorm.Meter(RATE).integrated_loudness(total) == pytest.approx(-23.0, abs=0.1)
