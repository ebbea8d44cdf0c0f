"""`enhance extract-stem`: files a stem, exact sums, the same as Python, bad input, constant memory."""

import json
import sys

import numpy as np
import pytest
import soundfile

import enhance_cli
from enhance_cli.errors import UsageError
from tests import audio_zoo as zoo

STEMS = ["bass", "drums", "guitar", "piano"]


def sound(path) -> np.ndarray:
    """(C, N) float64."""
    return soundfile.read(path, always_2d=True)[0].T


def music(seconds: float = 1.5, channels: int = 2, rate: int = 16000) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(0)
    hits = 0.3 * rng.standard_normal(time.size) * np.exp(-20 * (time % 0.5))
    tones = 0.1 * np.sin(2 * np.pi * 110 * time)
    return (tones + hits * rng.uniform(0.2, 1, (channels, 1))).astype(np.float32)


@pytest.fixture
def song(tmp_path):
    zoo.save(tmp_path / "song.wav", music())
    return tmp_path / "song.wav"


def test_every_stem_gets_a_file_beside_the_song_and_again_nothing_is_done(enhance, stem_model, song, tmp_path):
    result = enhance("extract-stem", "song.wav", "-m", stem_model)
    assert result.code == 0 and result.lines == [f"song_{stem}.wav" for stem in STEMS]
    stems = [sound(tmp_path / name) for name in result.lines]
    assert all(stem.shape == sound(song).shape for stem in stems)
    np.testing.assert_allclose(sum(stems), sound(song), atol=4 / 2**15)  # each rounded to 16 bits
    assert soundfile.info(tmp_path / "song_bass.wav").subtype == "PCM_16"
    again = enhance("extract-stem", ".", "-m", stem_model)
    assert again.code == 0 and again.lines == [] and "the output exists" in again.stderr


@pytest.mark.parametrize("subtype, depth", [("PCM_16", []), ("PCM_24", []), ("FLOAT", ["--bit-depth", "24"])])
def test_with_the_residual_the_files_sum_to_the_mix_sample_for_sample(enhance, stem_model, tmp_path, subtype, depth):
    zoo.save(
        tmp_path / "song.wav", music() if subtype != "FLOAT" else np.round(music() * 2**20) / 2**20, subtype=subtype
    )
    result = enhance(
        "extract-stem", "song.wav", "-m", stem_model, "-s", "drums,bass", "--residual", "-o", "out", *depth
    )
    assert result.lines == ["out/song_bass.wav", "out/song_drums.wav", "out/song_residual.wav"]
    np.testing.assert_array_equal(sum(sound(tmp_path / name) for name in result.lines), sound(tmp_path / "song.wav"))


def test_command_and_python_give_the_same_samples(enhance, stem_model, song, tmp_path):
    assert (
        enhance(
            "extract-stem", song, "-m", stem_model, "-s", "drums", "-o", "x.wav", "--bit-depth", "float", "-n", 2
        ).code
        == 0
    )
    audio = sound(song).astype(np.float32)
    stem = enhance_cli.extract_stem(audio, 16000, "drums", model=str(stem_model), steps=2)
    np.testing.assert_array_equal(sound(tmp_path / "x.wav").astype(np.float32), stem)
    both = enhance_cli.extract_stem(audio[0], 16000, ["piano", "bass"], model=str(stem_model), residual=True)
    assert list(both) == ["bass", "piano", "residual"] and both["bass"].shape == audio[0].shape
    assert set(enhance_cli.extract_stem(audio, 16000, model=str(stem_model), steps=0)) == set(STEMS)
    with pytest.raises(UsageError, match="names no stem"):
        enhance_cli.extract_stem(audio, 16000, [], model=str(stem_model))


def test_the_record_says_what_was_done(enhance, stem_model, song, tmp_path):
    result = enhance(
        "extract-stem", "song.wav", "-m", stem_model, "-n", 2, "--json", "--report", "r.jsonl", "-o", "out"
    )
    record = json.loads(result.lines[0])
    assert json.loads((tmp_path / "r.jsonl").read_text()) == record
    assert record["outputs"] == {stem: f"out/song_{stem}.wav" for stem in STEMS} and record["output"] is None
    assert (record["sampler"], record["sampler_args"], record["steps"]) == ("consistency", {"sigma": 0.2}, 2)
    assert set(record["parts"]) == set(STEMS) and record["parts"]["bass"]["peak"] < 0


def test_one_stem_goes_into_a_pipe_and_a_template_makes_folders(enhance, stem_model, song, tmp_path):
    piped = enhance("extract-stem", "song.wav", "-m", stem_model, "-s", "piano", "-o", "-")
    (tmp_path / "piped.wav").write_bytes(piped.stdout)
    assert (
        enhance("extract-stem", "song.wav", "-m", stem_model, "-s", "piano", "--name", "{part}/{stem}{ext}").code == 0
    )
    np.testing.assert_array_equal(sound(tmp_path / "piped.wav"), sound(tmp_path / "piano" / "song.wav"))


@pytest.mark.parametrize(
    "arguments, code, word",
    [
        (["-s", "cello"], 2, "--stem cello: stems does not extract it: choose from bass, drums, guitar, piano, all"),
        (["-s", "vocals"], 2, "or see `enhance models list --task extract-stem` for models of other stems"),
        (["-n", "9"], 2, "--steps 9: stems takes 0 to 4 steps"),
        (["-s", ""], 2, "--stem names no stem: choose from bass, drums, guitar, piano, all"),
        (["-n", "0", "--sigma", "0.1"], 2, "--sigma 0.1: nothing is refined without steps"),
        (
            ["-n", "0", "--sampler", "heun"],
            2,
            "--sampler heun: nothing is refined without steps: leave it out, or ask",
        ),
        (["-m", "stems-s", "--sampler", "bridge_ode"], 2, "--sampler bridge_ode: nothing is refined without steps"),
        (["--sigma", "50"], 2, "sigma 50: the process does not start there: choose from above 0.0001 to 10"),
        (["--sampler", "ddim"], 2, "--sampler ddim: stems does not run with it"),
        (["-o", "-"], 2, "4 parts of a file cannot go to standard output"),
        (["-o", "x.wav"], 2, "4 parts of a file cannot go into one file, x.wav"),
        (["-m", "denoise-s"], 3, "denoise-s: a model for denoise, not for extract-stem"),
        (["-m", "dicose"], 3, "dicose: not here yet: run `enhance models pull dicose`"),
        (["-m", "none.safetensors"], 3, "none.safetensors: no such model file"),
    ],
)
def test_wrong_use_is_one_line_and_nothing_is_written(
    enhance, stem_model, song, tmp_path, arguments, code, word, monkeypatch
):
    monkeypatch.setenv("ENHANCE_HOME", str(tmp_path / "home"))
    result = enhance("extract-stem", "song.wav", "-m", stem_model, *arguments)
    assert result.code == code and len(result.errors) == 1 and word in result.errors[0]
    assert [path.name for path in tmp_path.glob("*.wav")] == ["song.wav"]


@pytest.mark.parametrize("channels, subtype", [(1, "PCM_16"), (6, "PCM_24")])
def test_mono_and_surround_keep_their_channels(enhance, stem_model, tmp_path, channels, subtype):
    zoo.save(tmp_path / "a.wav", 0.3 * music(0.5, channels), subtype=subtype)
    assert enhance("extract-stem", "a.wav", "-m", stem_model, "--residual", "-n", 0).code == 0
    parts = [sound(tmp_path / f"a_{name}.wav") for name in [*STEMS, "residual"]]
    np.testing.assert_array_equal(sum(parts), sound(tmp_path / "a.wav"))


def test_silence_and_a_broken_file_beside_a_good_one(enhance, stem_model, song, tmp_path):
    zoo.save(tmp_path / "silent.wav", np.zeros((2, 4000), np.float32))
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    result = enhance("extract-stem", "silent.wav", "broken.wav", "song.wav", "-m", stem_model, "-s", "bass", "-n", 0)
    assert result.code == 1 and sorted(result.lines) == ["silent_bass.wav", "song_bass.wav"]
    assert not sound(tmp_path / "silent_bass.wav").any() and "broken.wav" in result.errors[0]
    assert not list(tmp_path.glob(".*part"))


def test_stems_kept_from_a_run_for_other_stems_are_named(enhance, stem_model, song, tmp_path):
    first = enhance("extract-stem", "song.wav", "-m", stem_model, "-n", 0, "-s", "drums", "--residual")
    assert first.code == 0 and "add up" not in first.stderr
    both = ["extract-stem", "song.wav", "-m", stem_model, "-n", 0, "-s", "drums,bass", "--residual"]
    second = enhance(*both)
    assert second.lines == ["song_bass.wav"]
    assert "song.wav: drums and residual existed and stayed, so the outputs may not add up" in second.stderr
    third = enhance(*both, "--existing", "overwrite")
    assert "add up" not in third.stderr
    np.testing.assert_array_equal(sum(sound(tmp_path / name) for name in third.lines), sound(song))


def test_a_dry_run_lists_every_file_and_a_killed_run_goes_on(enhance, stem_model, song, tmp_path):
    result = enhance("extract-stem", "song.wav", "-m", stem_model, "-o", "out", "--dry-run", "--residual")
    assert result.lines == [f"out/song_{name}.wav" for name in [*STEMS, "residual"]] and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(run_python, stem_model, tmp_path):
    """Nine times the length: 100 MB of samples more, which wait on the disk and not in memory."""
    code = """
import sys
from enhance_cli.cli import main
sys.argv = ["enhance", "extract-stem", sys.argv[1], "-m", sys.argv[2], "-n", "0", "-s", "bass", "-o", "out/", "-q"]
try: main()
except SystemExit as end: assert not end.code, end.code
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    peaks = []
    for seconds in (10, 90):
        zoo.save(tmp_path / f"{seconds}.wav", music(seconds, 2, 48000), 48000)
        run = run_python("-c", code, tmp_path / f"{seconds}.wav", stem_model)
        assert run.code == 0, run.stderr
        peaks.append(int(run.lines[-2].split()[1]) / 1024)
    assert peaks[1] < peaks[0] + 40, peaks
