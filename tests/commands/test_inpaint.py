"""`enhance inpaint`: gaps filled, all else as it was; batches, records and errors as with `denoise`."""

import json

import numpy as np
import pytest
import soundfile

import enhance_cli
from tests.audio.test_repeats import concealed, speech
from tests.audio_zoo import save
from tests.commands.test_denoise import _PEAK

RATE = 16000


def tones(channels: int = 2, seconds: int = 3) -> np.ndarray:
    t = np.arange(seconds * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal((channels, len(t)))
    return (0.2 * np.sin(2 * np.pi * np.array([[300], [470]])[:channels] * t) + 0.002 * noise).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """A recording with two dropouts, the same without, and one of 24 bits with a dropout in one channel."""
    whole, broken, one = tones(), tones(), tones()
    broken[:, 8000:8808] = 0
    broken[:, 20000:20100] = broken[:, 19999:20000]
    one[1, 30000:30320] = 0
    (tmp_path / "in").mkdir()
    save(tmp_path / "in/whole.wav", whole)
    save(tmp_path / "in/broken.wav", broken)
    save(tmp_path / "in/one.flac", one, container="FLAC", subtype="PCM_24")
    return tmp_path


def records(result) -> dict[str, dict]:
    return {record["relative"]: record for record in map(json.loads, result.lines)}


def test_dropouts_of_a_folder_are_found_and_filled_and_all_else_stays(enhance, folder):
    result = enhance("inpaint", "in", "-o", "out", "--json")
    assert result.code == 0
    found = {name: record["gaps"] for name, record in records(result).items()}
    gap = {"kind": "dropout", "channel": None, "by": "linear-prediction"}
    assert found == {
        "whole.wav": [],
        "broken.wav": [{"start": 0.5, "end": 0.5505, **gap}, {"start": 1.25, "end": 1.25625, **gap}],
        "one.flac": [{"start": 1.875, "end": 1.895, **gap, "kind": "lost packet", "channel": 2}],
    }
    for name, gaps in found.items():
        before, after = (soundfile.read(folder / part / name, dtype="int32")[0] for part in ("in", "out"))
        outside = np.ones(before.shape, bool)
        for gap in gaps:
            channels = slice(None) if gap["channel"] is None else gap["channel"] - 1
            outside[round(gap["start"] * RATE) : round(gap["end"] * RATE), channels] = False
        assert np.array_equal(before[outside], after[outside]) and (name == "whole.wav") == np.array_equal(
            before, after
        )
    made, true = soundfile.read(folder / "out/broken.wav")[0].T, tones()
    assert np.square(made - true)[:, 8000:8808].mean() < 0.01 * np.square(true).mean()
    again = enhance("inpaint", "in", "-o", "out")
    assert again.code == 0 and not again.lines


def test_known_samples_stay_bit_for_bit_in_every_lossless_format(enhance, tmp_path):
    formats = {
        "a.wav": ("WAV", "PCM_U8"), "b.wav": ("WAV", "PCM_24"), "c.wav": ("WAV", "PCM_32"), "d.wav": ("WAV", "DOUBLE"),
        "e.wav": ("WAV", "ULAW"), "f.aiff": ("AIFF", "PCM_16"), "g.caf": ("CAF", "FLOAT"), "h.w64": ("W64", "PCM_24"),
    }  # fmt: skip
    (tmp_path / "in").mkdir()
    for name, (container, subtype) in formats.items():
        save(tmp_path / "in" / name, tones().astype(np.float64), container=container, subtype=subtype)
    assert enhance("inpaint", "in", "-o", "out", "--gaps", "0.5-0.52,1-1.00001").code == 0
    known = np.ones(3 * RATE, bool)
    known[8000:8320] = known[16000] = False
    for name, (container, subtype) in formats.items():
        before, after = (soundfile.read(tmp_path / part / name)[0] for part in ("in", "out"))
        info = soundfile.info(tmp_path / "out" / name)
        assert (info.format, info.subtype) == (container, subtype) and info.frames == 3 * RATE
        assert np.array_equal(before[known], after[known]) and not np.array_equal(before, after), name


def test_packets_that_were_concealed_by_others_are_filled_better(enhance, tmp_path):
    whole = speech(16000)
    broken, spans = concealed(whole, 16000, ms=20)
    save(tmp_path / "whole.wav", whole, subtype="PCM_16")
    save(tmp_path / "broken.wav", broken, subtype="PCM_16")
    result = enhance("inpaint", "whole.wav", "broken.wav", "-o", "out", "--json")
    found = {name: record["gaps"] for name, record in records(result).items()}
    assert found["whole.wav"] == [] and {gap["kind"] for gap in found["broken.wav"]} == {"repeated packet"}
    places = [(round(gap["start"] * RATE), round(gap["end"] * RATE)) for gap in found["broken.wav"]]
    assert len(places) > 5 and set(places) <= set(spans)
    made, inside = soundfile.read(tmp_path / "out/broken.wav")[0], np.zeros(whole.shape[1], bool)
    for start, end in places:
        inside[start:end] = True
    assert np.array_equal(made[~inside], broken[0, ~inside])
    assert np.square(made - whole[0])[inside].sum() < 0.4 * np.square(broken - whole)[0, inside].sum()


def test_a_dry_run_lists_the_gaps_in_the_form_of_the_flag(enhance, folder):
    result = enhance("inpaint", "in", "-o", "out", "--dry-run")
    assert result.code == 0 and not (folder / "out").exists()
    assert result.lines == ["out/broken.wav\t0.5-0.5505,1.25-1.25625", "out/one.flac\t1.875-1.895", "out/whole.wav"]
    assert "in/broken.wav: 2 dropout" in result.stderr and "in/whole.wav: no gap" in result.stderr
    planned = records(enhance("inpaint", "in", "-o", "out", "--dry-run", "--json"))["broken.wav"]
    assert planned["status"] == "planned" and [(gap["start"], gap["by"]) for gap in planned["gaps"]] == [
        (0.5, None),
        (1.25, None),
    ]
    gaps = result.lines[0].partition("\t")[2]
    for name, options in (("a", ["--gaps", gaps]), ("b", [])):
        assert enhance("inpaint", "in/broken.wav", "-o", f"{name}.wav", *options).code == 0
    assert (folder / "a.wav").read_bytes() == (folder / "b.wav").read_bytes()


def test_times_are_those_of_the_file_also_where_a_part_is_taken(enhance, folder):
    options = ["--start", 0.25, "--duration", 1, "--gaps", "0.5-0.5505", "--json"]
    result = enhance("inpaint", "in/broken.wav", "-o", "part.wav", *options)
    (gap,) = records(result)["broken.wav"]["gaps"]
    assert (gap["start"], gap["end"], gap["kind"]) == (0.5, 0.5505, "given")
    made = soundfile.read(folder / "part.wav")[0].T
    assert np.square(made - tones()[:, 4000:20000])[:, 4000:4808].mean() < 1e-3
    assert (
        "outside of the recording, which goes from 2.000 to 3.000 s"
        in (enhance("inpaint", "in/broken.wav", "-o", "x.wav", "--start", 2, "--gaps", "0.5-0.55").errors[0])
    )


def test_what_is_longer_than_can_be_predicted_fades_and_says_so(enhance, folder):
    result = enhance("inpaint", "in/whole.wav", "-o", "out.wav", "--gaps", "1-1.5", "--json")
    record = records(result)["whole.wav"]
    assert record["gaps"][0]["by"] == "linear-prediction, faded"
    assert any("1-1.5 s is longer than 100 ms" in note and "--model inpaint-s" in note for note in record["notes"])
    made = soundfile.read(folder / "out.wav")[0]
    assert made[16000:16100].any() and not made[17000:23000].any() and made[23800:24000].any()


@pytest.mark.parametrize(
    "gaps, code, message",
    [
        ("here", 2, "--gaps here: must be auto, or beginnings and ends in seconds"),
        ("1", 2, "--gaps 1: must be auto"),
        ("nan-1", 2, "--gaps nan-1: must be auto"),
        ("", 2, "--gaps : must be auto"),
        ("2-1", 2, "--gaps 2-1: ends before it begins"),
        ("1-1", 2, "--gaps 1-1: this gap is empty: give an end after the beginning"),
        ("1.5-3,1-2", 2, "--gaps 1-2 and 1.5-3 overlap: join them: 1-3"),
        ("0-3", 1, "--gaps 0-3: this is the whole recording: leave something to fill it from"),
        ("2.5-3.5", 1, "--gaps 2.5-3.5: outside of the recording, which goes from 0.000 to 3.000 s"),
        ("7-8", 1, "--gaps 7-8: outside of the recording"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(enhance, folder, gaps, code, message):
    for options in ([], ["--dry-run"]):
        result = enhance("inpaint", "in/whole.wav", "-o", "out.wav", "--gaps", gaps, *options)
        assert result.code == code and len(result.errors) == 1 and message in result.errors[0]
        assert code == 2 or "in/whole.wav" in result.errors[0]
    assert not (folder / "out.wav").exists()


def test_one_bad_file_does_not_stop_the_batch(enhance, tmp_path):
    save(tmp_path / "one.wav", np.full((1, 1), 0.5, np.float32), 8000)
    save(tmp_path / "nan.wav", np.full((1, 100), np.nan, np.float32), 16000, subtype="FLOAT")
    save(tmp_path / "silence.wav", np.zeros((1, 8000), np.float32))
    (tmp_path / "text.wav").write_text("no audio")
    result = enhance("inpaint", "one.wav", "nan.wav", "text.wav", "silence.wav", "-o", "out")
    assert result.code == 1 and len(result.errors) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one.wav", "silence.wav"}
    assert soundfile.read(tmp_path / "out/one.wav")[0] == 0.5


def test_an_overdriven_float_file_keeps_its_level(enhance, tmp_path):
    wave = 5 * tones()
    save(tmp_path / "loud.wav", wave, subtype="FLOAT")
    assert enhance("inpaint", "loud.wav", "-o", "out.wav", "--gaps", "1-1.02").code == 0
    made = soundfile.read(tmp_path / "out.wav", dtype="float32")[0].T
    assert np.array_equal(made[:, :16000], wave[:, :16000]) and np.abs(made).max() <= np.abs(wave).max()


def test_a_peak_in_a_gap_does_not_lower_the_rest(enhance, tmp_path):
    """The filling stays within full scale, where a gain would change all known samples."""
    wave = np.clip(4.9 * tones(1), -1, 32767 / 32768).astype(np.float32)
    save(tmp_path / "full.wav", wave)
    result = enhance("inpaint", "full.wav", "-o", "out.wav", "--gaps", "1-1.02,2-2.001", "--json")
    assert records(result)["full.wav"]["gain"] == 0.0


@pytest.mark.slow
def test_memory_does_not_grow_with_length(run_python, tmp_path):
    def peak(seconds: int) -> int:
        wave = np.tile(tones(1, 10), seconds // 10)
        wave[:, 5 * RATE :: 10 * RATE] = 0.9
        save(tmp_path / f"{seconds}.wav", wave)
        result = run_python("-c", _PEAK, "inpaint", f"{seconds}.wav", "--threads", 1, "--gaps", "auto")
        assert result.code == 0 and soundfile.info(tmp_path / f"{seconds}_inpainted.wav").frames == RATE * seconds
        return int(result.stderr.split()[-1])

    short, long = peak(40), peak(220)
    assert long - short < 0.6 * 180 * RATE * 4 / 1024  # in kB: held as a whole, the longer one would take more


def test_python_gives_the_samples_of_the_command(enhance, folder):
    broken, rate = soundfile.read(folder / "in/broken.wav", dtype="float32")
    assert enhance("inpaint", "in/broken.wav", "-o", "out.wav", "--bit-depth", "float").code == 0
    made = soundfile.read(folder / "out.wav", dtype="float32")[0].T
    assert np.array_equal(enhance_cli.inpaint(broken.T, rate), made)
    inpainter = enhance_cli.Inpainter()
    assert np.array_equal(inpainter(broken.T, rate, [(0.5, 0.5505), (1.25, 1.25625)]), made)
    assert inpainter(broken[:, 0], rate).shape == (3 * RATE,)


def test_a_model_fills_long_gaps_and_the_record_says_how(enhance, folder, tiny_model):
    asked = ["-m", tiny_model, "--steps", "3", "--sampler", "bridge_sde", "--seed", "2", "--rounds", "2"]
    spans = [(1.0, 1.05), (2.0, 2.3)]
    result = enhance("inpaint", "in/whole.wav", "-o", "out.wav", "--gaps", "1-1.05,2-2.3", "--json", *asked)
    assert result.code == 0, result.stderr
    record = records(result)["whole.wav"]
    assert [gap["by"] for gap in record["gaps"]] == ["linear-prediction", "tiny"]
    assert (record["model"], record["sampler"], record["steps"], record["seed"]) == ("tiny", "bridge_sde", 3, 2)
    made, whole = (soundfile.read(folder / name)[0].T for name in ("out.wav", "in/whole.wav"))
    known = np.ones(3 * RATE, bool)
    for begin, end in spans:
        known[round(begin * RATE) : round(end * RATE)] = False
    assert np.array_equal(made[:, known], whole[:, known]) and made[:, 33600:35200].any()
    inpainter = enhance_cli.Inpainter(str(tiny_model), steps=3, sampler="bridge_sde", seed=2, rounds=2)
    assert np.abs(inpainter(whole.astype(np.float32), RATE, spans) - made).max() < 2**-14


@pytest.mark.parametrize(
    "asked, code, message",
    [
        (["--steps", "2"], 2, "--steps, --sampler, --strength and --rounds are for a model"),
        (["-m", "deepfilternet3"], 3, "deepfilternet3: a model for denoise, not for inpaint: use one that samples"),
        (["-m", "denoise-48k"], 3, "denoise-48k: a model for denoise, not for inpaint: use one that samples"),
        (["-m", "stems-s"], 3, "stems-s: a model for extract-stem, not for inpaint"),
        (["-m", "denoise-s", "--sampler", "heun"], 2, "--sampler heun: denoise-s does not run with it"),
    ],
)
def test_models_and_settings_that_cannot_fill_are_refused(enhance, folder, asked, code, message):
    result = enhance("inpaint", "in/whole.wav", "-o", "out.wav", "--gaps", "2-2.3", *asked)
    assert result.code == code and len(result.errors) == 1 and message in result.errors[0]
    assert not (folder / "out.wav").exists()


def test_the_shipped_model_fills_gaps_and_is_no_denoiser(enhance, folder):
    result = enhance("inpaint", "in/whole.wav", "-o", "out.wav", "--gaps", "2-2.3", "-m", "inpaint-s", "--json")
    assert result.code == 0, result.stderr
    record = records(result)["whole.wav"]
    assert record["gaps"][0]["by"] == "inpaint-s" and not any("longer" in note for note in record["notes"])
    refused = enhance("denoise", "in/whole.wav", "-m", "inpaint-s")
    assert refused.code == 3 and "inpaint-s: a model for inpaint, not for denoise" in refused.errors[0]
