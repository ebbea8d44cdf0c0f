"""One file from input to output: what came in comes out at an honest level, or nothing is written at all."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path, PurePath

import numpy as np
import pyloudnorm
import pytest
import soundfile

from enhance_cli.batch import reading as module
from enhance_cli.batch.backends.threads import run
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import Input, expand
from enhance_cli.batch.job import Job
from enhance_cli.batch.outputs import plan
from enhance_cli.errors import AudioError, EnhanceError, UsageError

RATE = 16000


def identity(blocks, rate, channels, level):
    return blocks


def louder(factor):
    return lambda blocks, rate, channels, level: (block * np.float32(factor) for block in blocks)


def noise(frames, channels=1, peak=0.5, seed=0):
    """Noise (N, C), as soundfile likes it, whose largest sample is exactly `peak`."""
    audio = np.random.default_rng(seed).standard_normal((frames, channels))
    return audio * peak / np.abs(audio).max()


@pytest.fixture
def enhance(tmp_path):
    """Write samples to a file and run `enhance_file` on it: the record fields and the output's path."""

    def enhance(audio, process=identity, name="a.wav", to=None, subtype="PCM_16", rate=RATE, **options):
        source, target = tmp_path / name, tmp_path / "out" / (to or name)
        soundfile.write(source, audio, rate, subtype=subtype)
        return enhance_file(job(source, target), process, FileOptions(**options)), target

    return enhance


def job(source, target):
    return Job(Path(source), PurePath(source.name), Path(target))


def listing(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# What came in comes out


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.wav", "DOUBLE"),
        ("a.flac", "PCM_16"),
        ("a.flac", "PCM_24"),
        ("a.aiff", "PCM_24"),
        ("a.caf", "PCM_16"),
        ("a.w64", "PCM_24"),
        ("A.WAV", "PCM_16"),
    ],
)
def test_identity_is_exact_to_the_bit_and_keeps_the_format(enhance, name, subtype):
    audio = np.random.default_rng(1).integers(-(2**31), 2**31, (70001, 2)) / 2**31
    fields, target = enhance(audio, name=name, subtype=subtype, rate=44100)
    source = target.parent.parent / name
    assert np.array_equal(soundfile.read(target)[0], soundfile.read(source)[0])
    before, after = soundfile.info(source), soundfile.info(target)
    assert (after.format, after.subtype, after.samplerate) == (
        before.format,
        before.subtype,
        before.samplerate,
    )
    assert fields["gain"] == 0 and fields["notes"] == []
    assert (fields["rate"], fields["channels"], fields["seconds_audio"]) == (44100, 2, 1.587)


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
def test_lossy_formats_keep_rate_channels_and_length(enhance, name):
    _, target = enhance(noise(44100, 2, 0.3), name=name, subtype=None, rate=44100)
    before, after = soundfile.info(target.parent.parent / name), soundfile.info(target)
    assert (after.format, after.samplerate, after.channels) == (before.format, 44100, 2)
    assert after.frames == before.frames


@pytest.mark.parametrize("frames", [1, 2, 159, 65535, 65536, 65537])
def test_any_length_and_any_block_size_the_process_likes(enhance, frames):
    def rebuffer(blocks, rate, channels, level):
        audio = np.concatenate(list(blocks), axis=1)
        assert level.frames == audio.shape[1]
        for start in range(0, audio.shape[1], 1000):
            yield audio[:, start : start + 1000]

    audio = noise(frames, 3)
    _, target = enhance(audio, rebuffer, subtype="PCM_24")
    assert np.array_equal(soundfile.read(target)[0], soundfile.read(target.parent.parent / "a.wav")[0])


def test_long_results_wait_on_disk_unchanged(enhance, monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 10000)
    audio = noise(150001, 2)
    _, target = enhance(audio, subtype="FLOAT")
    assert np.array_equal(soundfile.read(target, dtype="float32")[0], audio.astype(np.float32))
    assert listing(target.parent) == ["a.wav"]


def test_asked_format_depth_and_rate(enhance):
    fields, target = enhance(noise(44100), to="a.flac", subtype="FLOAT", rate=44100, bit_depth="24", sample_rate=16000)
    after = soundfile.info(target)
    assert (after.format, after.subtype, after.samplerate, after.frames) == ("FLAC", "PCM_24", 16000, 16000)
    assert fields["rate"] == 44100


def test_preview_takes_just_that_part(enhance):
    audio = noise(5 * RATE)
    fields, target = enhance(audio, subtype="FLOAT", start=1.5, duration=2.0)
    assert np.array_equal(soundfile.read(target, dtype="float32")[0], audio[24000:56000, 0].astype(np.float32))
    assert fields["seconds_audio"] == 2.0
    with pytest.raises(AudioError, match=r"a\.wav.*start"):
        enhance(audio, start=6.0)


def test_tags_are_carried(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 1) as file:
        file.title = "Interview"
        file.write(noise(RATE))
    enhance_file(job(tmp_path / "a.flac", tmp_path / "b.flac"), identity, FileOptions())
    with soundfile.SoundFile(tmp_path / "b.flac") as file:
        assert file.title == "Interview"


# Level


def test_integer_output_that_would_clip_is_lowered_once_and_says_so(enhance):
    audio = noise(3 * RATE, 2, peak=0.8)
    fields, target = enhance(audio, louder(1.5))
    result = soundfile.read(target)[0]
    assert np.abs(result).max() == pytest.approx(0.999, abs=1e-4)
    assert np.allclose(result, audio * 0.999 / 0.8, atol=1e-4)  # one gain from the first sample to the last
    assert fields["gain"] == pytest.approx(-1.59, abs=0.01) and "lowered by 1.59 dB" in fields["notes"][0]
    assert fields["peak_before"] == pytest.approx(-1.94, abs=0.01) and fields["peak_after"] == -0.01


def test_float_output_may_pass_full_scale(enhance):
    fields, target = enhance(noise(RATE, peak=0.8), louder(1.5), subtype="FLOAT")
    assert np.abs(soundfile.read(target)[0]).max() == pytest.approx(1.2, abs=1e-4) and fields["notes"] == []


def test_hot_float_input_is_not_clipped_when_integers_are_asked_for(enhance):
    audio = noise(RATE, peak=1.6)
    _, target = enhance(audio, subtype="FLOAT", bit_depth="16")
    assert np.allclose(soundfile.read(target)[0], audio[:, 0] * 0.999 / 1.6, atol=1e-4)


def test_full_scale_input_passes_unchanged(enhance):
    audio = np.tile(np.array([[-1.0], [32767 / 32768]]), (RATE, 1))
    fields, target = enhance(audio)
    assert np.array_equal(soundfile.read(target)[0], audio[:, 0]) and fields["gain"] == 0


def test_loudness_target_is_met(enhance):
    fields, target = enhance(noise(5 * RATE, peak=0.3), louder(0.25), loudness=-23.0)
    measured = pyloudnorm.Meter(RATE).integrated_loudness(soundfile.read(target)[0])
    assert measured == pytest.approx(-23, abs=0.15) and fields["loudness_after"] == pytest.approx(-23, abs=0.05)
    assert fields["notes"] == []


def test_loudness_gives_way_to_the_true_peak_and_says_so(enhance):
    audio = noise(5 * RATE, peak=0.02)
    audio[40000] = 0.5
    fields, target = enhance(audio, loudness=-14.0)
    assert 0.8 < np.abs(soundfile.read(target)[0]).max() <= 10 ** (-1 / 20) + 1e-4
    assert fields["notes"][0].startswith(f"loudness limited to {fields['loudness_after']:.2f} LUFS")


@pytest.mark.parametrize("frames", [1, RATE])
@pytest.mark.parametrize("loudness", [None, -20.0])
def test_silence_stays_silence(enhance, frames, loudness):
    fields, target = enhance(np.zeros((frames, 1)), loudness=loudness)
    assert not soundfile.read(target)[0].any() and soundfile.info(target).frames == frames
    assert fields["loudness_after"] is None and fields["peak_after"] is None and fields["gain"] == 0


# Nothing is written when something is wrong


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_result_that_is_not_finite_is_never_written(enhance, tmp_path, value):
    def broken(blocks, rate, channels, level):
        for block in blocks:
            block = block.copy()
            block[0, 8000:] = value
            yield block

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").write_bytes(b"old")
    with pytest.raises(AudioError, match=r"a.wav: the result is not a number at 0.500 s"):
        enhance(noise(RATE), broken)
    assert (tmp_path / "out" / "a.wav").read_bytes() == b"old" and listing(tmp_path / "out") == ["a.wav"]


@pytest.mark.parametrize("off", [-1, 1])
def test_result_of_the_wrong_length_is_never_written(enhance, tmp_path, off):
    def drift(blocks, rate, channels, level):
        audio = np.concatenate(list(blocks), axis=1)
        yield audio[:, :-1] if off < 0 else np.pad(audio, ((0, 0), (0, 1)))

    with pytest.raises(AudioError, match=f"{RATE + off} samples instead of {RATE}"):
        enhance(noise(RATE), drift)
    assert listing(tmp_path / "out") == []


def test_format_that_cannot_hold_the_sound_is_refused_with_a_remedy(enhance, tmp_path):
    with pytest.raises(UsageError):
        enhance(noise(RATE), to="a.flac", bit_depth="float")
    assert listing(tmp_path / "out") == []


def test_broken_files_fail_one_by_one_and_the_good_ones_are_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    soundfile.write("in/good.wav", noise(RATE), RATE)
    Path("in/empty.wav").write_bytes(b"")
    Path("in/text.wav").write_text("Dear diary, this is not a sound.\n" * 9)
    Path("in/cut.wav").write_bytes(Path("in/good.wav").read_bytes()[:9000])
    bad = noise(RATE)
    bad[123] = np.nan
    soundfile.write("in/nan.wav", bad, RATE, subtype="FLOAT")
    soundfile.write("in/none.wav", np.zeros((0, 1)), RATE)
    records = []
    jobs = plan([*expand(["in"]), Input(Path("in/gone.wav"), PurePath("gone.wav"))], "out")
    summary = run(jobs, lambda job: enhance_file(job, identity, FileOptions()), {}, records.append)
    assert {r.input: r.status for r in records if r.status == "done"} == {"in/good.wav": "done"}
    assert (summary.done, summary.failed, summary.exit_code) == (1, 6, 1)
    for record in records:
        assert record.status == "done" or (record.input in record.reason and isinstance(record.error, EnhanceError))
    assert listing(Path("out")) == ["good.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permission bits")
def test_file_without_read_permission_fails_alone(tmp_path, monkeypatch, unprivileged):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav"):
        soundfile.write(name, noise(RATE), RATE)
    Path("a.wav").chmod(0)
    records = []
    with unprivileged():
        jobs = plan(expand(["a.wav", "b.wav"]), "out")
        run(jobs, lambda job: enhance_file(job, identity, FileOptions()), {}, records.append)
    assert [record.status for record in records] == ["failed", "done"] and "a.wav" in records[0].reason


def test_stray_sample_positions_are_told_in_seconds_of_the_input(enhance):
    def late(blocks, rate, channels, level):
        for number, block in enumerate(blocks):
            yield block * np.float32(np.nan) if number == 2 else block

    with pytest.raises(AudioError, match=f"at {2 * module.BLOCK / RATE:.3f} s"):
        enhance(noise(3 * module.BLOCK), late)


def test_picture_lies_beside_the_result(enhance):
    _, target = enhance(noise(2 * RATE), plot=True)
    assert listing(target.parent) == ["a.wav", "a.wav.png"]
    assert (target.parent / "a.wav.png").read_bytes().startswith(b"\x89PNG")


# Real processes

HEADER = """
import os, signal, sys
from pathlib import Path, PurePath
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.job import Job
from enhance_cli.batch.outputs import plan
from enhance_cli.batch.backends.threads import run

def identity(blocks, rate, channels, level):
    return blocks

"""


def python(code, *arguments, **options):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(module.__file__).parents[2]), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", HEADER + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, check=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_pipe_in_and_pipe_out(tmp_path, name):
    soundfile.write(tmp_path / name, noise(RATE, 2), RATE)
    code = """
    jobs = plan(expand(["-"]))
    sys.exit(run(jobs, lambda job: enhance_file(job, identity, FileOptions()), {}, print).exit_code)
    """.replace("print", "lambda r: print(r, file=sys.stderr)")
    result = python(code, input=(tmp_path / name).read_bytes())
    assert result.returncode == 0, result.stderr.decode()
    (tmp_path / "out").write_bytes(result.stdout)
    before, after = soundfile.info(tmp_path / name), soundfile.info(tmp_path / "out")
    assert (after.format, after.subtype, after.frames) == (before.format, before.subtype, RATE)


def test_broken_pipe_input_is_called_standard_input():
    code = """
    jobs = plan(expand(["-"]))
    run(jobs, lambda job: enhance_file(job, identity, FileOptions()), {}, lambda record: print(record.reason))
    """
    said = python(code, input=b"Dear diary, this is not a sound.").stdout.decode()
    assert "standard input" in said and "enhance-" not in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_kill_9_in_the_middle_leaves_no_output_and_no_spool(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(30 * RATE, 8), RATE)  # 15 MB as float: the spool is on disk
    code = """
    def killed(blocks, rate, channels, level):
        for number, block in enumerate(blocks):
            if number == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            yield block
    enhance_file(Job(Path(sys.argv[1]), PurePath("a.wav"), Path(sys.argv[2])), killed, FileOptions())
    """
    assert python(code, tmp_path / "a.wav", tmp_path / "out" / "a.wav").returncode == -9
    assert listing(tmp_path / "out") == [".a.wav.part"]
    enhance_file(job(tmp_path / "a.wav", tmp_path / "out" / "a.wav"), identity, FileOptions())
    assert listing(tmp_path / "out") == ["a.wav"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_full_disk_fails_that_file_and_leaves_nothing_of_it(tmp_path):
    """A limit on the file size gives the write errors of a full disk, without needing to be root."""
    for name, frames in (("large.wav", 40 * RATE), ("small.wav", RATE)):
        soundfile.write(tmp_path / name, noise(frames), RATE)
    code = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    jobs = plan(expand([sys.argv[1]]), sys.argv[2])
    work = lambda job: enhance_file(job, identity, FileOptions())
    sys.exit(run(jobs, work, {}, lambda record: print(record.status, record.reason)).exit_code)
    """
    result = python(code, tmp_path, tmp_path / "out", text=True)
    failed, done = result.stdout.splitlines()
    assert result.returncode == 1 and failed.startswith("failed")
    assert str(tmp_path / "out" / "large.wav") in failed and ".part" not in failed
    assert done.startswith("done") and listing(tmp_path / "out") == ["small.wav"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_memory_does_not_grow_with_length(tmp_path):
    code = """
    import resource
    enhance_file(Job(Path(sys.argv[1]), PurePath("a.wav"), Path(sys.argv[2])), identity, FileOptions())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    peaks = []
    for seconds in (120, 2400):
        with soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1, "PCM_16") as file:
            for second in range(0, seconds, 60):
                file.write(noise(60 * 8000, peak=0.3, seed=second))
        result = python(code, tmp_path / "a.wav", tmp_path / "b.wav", text=True)
        peaks.append(int(result.stdout))
    assert peaks[1] < 1.1 * peaks[0]
