"""`enhance denoise` and everything that can be wrong: one line that names the file, the reason and a remedy,
the right exit code, nothing half-written, and the rest of the batch done.
"""

import json
import os
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.models import registry
from enhance_cli.models.spec import file_sha256
from tests import audio_zoo as zoo

NOBODY = 65534
NO_CUDA = f"cuda:{torch.cuda.device_count()}" if torch.cuda.is_available() else "cuda"


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def assert_refused(result, code: int, *said: str) -> None:
    """One line on stderr with what went wrong and, after the last colon, what to do about it; nothing on stdout."""
    assert (result.code, result.stdout) == (code, b""), result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    for text in said:
        assert text in result.stderr
    assert len(result.stderr.rsplit(": ", 1)[1]) > 8


# --- one bad file among good ones ---------------------------------------------------------------------------


@pytest.mark.slow
def test_every_broken_file_fails_alone_with_one_line_and_the_rest_is_done(run_enhance, identity_model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    broken = {build(folder).name: said for build, said in zoo.BROKEN.items()}
    zoo.text_named_wav(folder)  # its brother text.au was made by renaming it
    good = {build(folder).name for build in zoo.ODD} | {"z.wav", "n" * 246 + ".wav"}
    good = {name for name in good if not name.endswith(".raw")}  # a folder is searched for audio by name
    zoo.save(folder / "z.wav", zoo.noise())
    shutil.copy(folder / "z.wav", folder / ("n" * 246 + ".wav"))
    arguments = ["denoise", "in", "missing.wav", "-o", "out", "-m", identity_model]
    if sys.platform == "linux":
        shutil.copy(folder / "z.wav", os.fsencode(folder) + b"/caf\xe9.wav")
        good.add(os.fsdecode(b"caf\xe9.wav"))
    result = run_enhance(*arguments, "--json")

    assert result.code == 1
    assert names(tmp_path / "out") == good, "each good file and nothing else, no unfinished ones either"
    records = {os.path.basename(r["input"]): r for r in map(json.loads, result.lines)}
    assert {name for name, r in records.items() if r["status"] == "failed"} == {*broken, "missing.wav"}
    for name, said in {**broken, "missing.wav": "does not exist"}.items():
        reason = records[name]["reason"]
        assert said in reason and name in reason and "\n" not in reason
        assert result.errors.count(f"error: {reason}") == 1
    assert len(result.errors) == len(broken) + 1 and "Traceback" not in result.stderr
    assert f"{len(good)} done, 0 skipped, {len(broken) + 1} failed" in result.stderr
    for name in ("one_sample.wav", "channels_64.wav", "really_flac.wav"):
        before, after = soundfile.read(folder / name)[0], soundfile.read(tmp_path / "out" / name)[0]
        np.testing.assert_array_equal(after, before)


def test_a_file_that_may_not_be_read(enhance, tiny_model, tmp_path):
    shutil.copy(tiny_model, tmp_path / "tiny.safetensors")
    zoo.save(tmp_path / "closed.wav", zoo.noise()).chmod(0)
    zoo.save(tmp_path / "open.wav", zoo.noise())
    arguments = ["closed.wav", "open.wav", "-m", "tiny.safetensors"]
    enhance("denoise", "open.wav", "-o", "warm.wav", *arguments[2:])  # all is imported before we are nobody
    root = os.geteuid() == 0  # to root nothing is forbidden
    tmp_path.chmod(0o777)
    if root:
        os.seteuid(NOBODY)
    try:
        result = enhance("denoise", *arguments)
    finally:
        if root:
            os.seteuid(0)
    assert result.code == 1 and result.lines == ["open_denoised.wav"]
    assert result.errors == ["error: closed.wav may not be read: change its permissions (chmod +r)"]


_FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
from enhance_cli.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk_spoils_only_what_does_not_fit(run_python, identity_model, tmp_path):
    """A limit on file size stands in for the full disk: the system refuses the write in just the same way."""
    (tmp_path / "in").mkdir()
    for name, seconds in (("a", 1), ("b", 5), ("c", 1)):
        zoo.save(tmp_path / "in" / f"{name}.wav", np.tile(zoo.noise(), seconds))
    result = run_python("-c", _FULL_DISK, "denoise", "in", "-o", "out", "-m", identity_model)
    assert result.code == 1 and sorted(result.lines) == ["out/a.wav", "out/c.wav"]
    assert names(tmp_path / "out") == {"a.wav", "c.wav"}
    assert (
        len(result.errors) == 1
        and "out/b.wav" in result.errors[0]
        and "its disk is full, free some" in result.errors[0]
    )


def test_verbose_adds_the_traceback(enhance, tiny_model, tmp_path):
    zoo.text_named_wav(tmp_path)
    result = enhance("denoise", "text.wav", "-m", tiny_model, "--verbose")
    assert result.code == 1 and "Traceback" in result.stderr and len(result.errors) == 1


# --- wrong use: refused before any work ---------------------------------------------------------------------

WRONG_USE = [
    (["empty"], "empty: there are no audio files or videos in this folder"),
    (["*.xyz"], "*.xyz: no file matches"),
    (["@gone.txt"], "gone.txt: this list cannot be read"),
    (["a.wav", "-o", "a.wav"], "a.wav: the output would overwrite this input"),
    (["a.wav", "-o", "a.wav", "--existing", "overwrite"], "a.wav: the output would overwrite this input"),
    (["a.wav", "other/a.wav", "-o", "out"], "a.wav and other/a.wav would both be written to out/a.wav"),
    (["a.wav", "other", "-o", "-"], "2 inputs cannot all go to standard output"),
    (["a.wav", "-o", "a.wav/out/"], "a.wav: this is not a folder"),
    (["a.wav", "-o", "film.mp4"], "film.mp4: a.wav has no pictures for a video"),
    (["-", "-o", "x.wav", "--workers", "2"], "standard input has one reader"),
    (["a.wav", "--name", "{color}"], "there is no field {color}"),
    (["a.wav", "--name", "n" * 260 + ".wav"], "more than 255 bytes"),
    (["a.wav", "x" * 300 + ".wav"], "more than 255 bytes"),
    (["a.wav", "--format", "xyz"], "--format xyz: this format cannot be written"),
    (["a.wav", "--steps", "0"], "--steps 0: tiny takes 1 to 5 steps"),
    (["a.wav", "--steps", "1000"], "--steps 1000: tiny takes 1 to 5 steps"),
    (["a.wav", "--sampler", "euler"], "--sampler euler: tiny does not run with it"),
    (["a.wav", "--device", NO_CUDA], f"--device {NO_CUDA}"),
    (["a.wav", "--device", "toaster"], "--device toaster: no such kind of device"),
    (["a.wav", "--precision", "int8"], "--precision int8: unknown"),
    (["a.wav", "--batch-size", "0"], "--batch-size 0"),
    (["a.wav", "--loudness", "loud"], "--loudness loud"),
    (["a.wav", "--shard", "3/2"], "--shard 3/2"),
    (["a.wav", "-o", "-", "--json"], "--json and the results cannot both go to standard output"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG_USE, ids=lambda value: " ".join(value)[:30])
def test_wrong_use_is_refused_before_any_work(arguments, said, enhance, tiny_model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    sound = zoo.save(tmp_path / "a.wav", zoo.noise()).read_bytes()
    (tmp_path / "other" / "a.wav").write_bytes(sound)
    assert_refused(enhance("denoise", *arguments, "-m", tiny_model), 2, said)
    assert names(tmp_path) == {"a.wav", "other", "empty"} and (tmp_path / "a.wav").read_bytes() == sound


def test_a_file_whose_name_begins_with_a_dash_is_not_taken_for_flags(enhance, tiny_model, tmp_path):
    """`enhance denoise *.wav` would write the result of b.wav to the file `ut.wav` here."""
    zoo.save(tmp_path / "b.wav", zoo.noise())
    (tmp_path / "-out.wav").write_bytes((tmp_path / "b.wav").read_bytes())
    given = ("-m", tiny_model, "--dry-run")
    assert_refused(enhance("denoise", "-out.wav", "b.wav", *given), 2, "write ./-out.wav")
    assert enhance("denoise", "./-out.wav", "b.wav", *given).lines == ["-out_denoised.wav", "b_denoised.wav"]
    assert enhance("denoise", *given, "--", "-out.wav").lines == ["-out_denoised.wav"]


@pytest.mark.parametrize("arguments", [["--steps", "9"], ["--device", NO_CUDA], ["--sampler", "euler"]])
def test_a_dry_run_checks_the_model_and_the_device_too(arguments, enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    assert_refused(enhance("denoise", "a.wav", "--dry-run", *arguments, "-m", tiny_model), 2, arguments[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there are no input files"),
        (["a.wav", "--strength", "2"], "'--strength': '2' must be less than or equal to 1"),
        (
            ["a.wav", "--steps", "few"],
            "invalid value for '--steps' / '-n': 'few' must be a valid integer: enhance denoise --help",
        ),
        (["a.wav", "--stepps", "2"], "no such option: --stepps: did you mean --steps? enhance denoise --help"),
        (["a.wav", "--end", "2"], "no such option: --end: did you mean --duration? enhance denoise --help"),
        (
            ["a.wav", "--overwrite"],
            "no such option: --overwrite: did you mean --existing overwrite? enhance denoise --",
        ),
        (["a.wav", "--unlike-all"], "no such option: --unlike-all: enhance denoise --help lists all options"),
        (["a.wav", "--start", "-1"], "--start"),
    ],
)
def test_what_the_command_line_cannot_mean_is_refused(arguments, said, enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    assert_refused(enhance("denoise", *arguments), 2, said)
    assert names(tmp_path) == {"a.wav"}


@pytest.mark.parametrize("arguments", [["models", "show"], ["models", "pull", "x", "--why"], ["clean"], ["--color"]])
def test_the_same_line_for_any_command(arguments, enhance):
    result = enhance(*arguments)
    assert result.code == 2 and not result.stdout and result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1 and "--help" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["models"]])
def test_no_command_prints_the_help_once(arguments, enhance):
    result = enhance(*arguments)
    assert result.code == 2 and result.stdout.count(b"Usage: enhance") == 1 and not result.stderr


# --- models that are not there, or not what they should be --------------------------------------------------


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("denoise-z", "did you mean denoise-"),
        ("gone.safetensors", "gone.safetensors: no such model file"),
        ("text.safetensors", "text.safetensors: not a safetensors file"),
        ("cut.safetensors", "cut.safetensors: not a safetensors file"),
    ],
)
def test_an_unknown_or_broken_model_is_refused(model, said, enhance, tiny_model, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    (tmp_path / "text.safetensors").write_text("not a model" * 100)
    (tmp_path / "cut.safetensors").write_bytes(tiny_model.read_bytes()[:5000])
    before = names(tmp_path)
    assert_refused(enhance("denoise", "a.wav", "-m", model), 3, said)
    assert names(tmp_path) == before


def test_a_shipped_model_with_one_flipped_byte_or_none_at_all_is_refused(
    enhance, identity_model, tmp_path, monkeypatch
):
    path = tmp_path / "m.safetensors"
    content = bytearray(identity_model.read_bytes())
    entry = replace(registry.find(None, "denoise"), path=path, sha256=file_sha256(identity_model))
    monkeypatch.setattr(registry, "entries", lambda: [entry])
    zoo.save(tmp_path / "a.wav", zoo.noise())

    assert_refused(enhance("denoise", "a.wav"), 3, "m.safetensors: no such model file")
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert_refused(enhance("denoise", "a.wav"), 3, "m.safetensors: the file is damaged")
    verified = enhance("models", "verify")
    assert verified.code == 3 and "not the recorded file" in verified.stderr
    assert not (tmp_path / "a_denoised.wav").exists()

    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert enhance("denoise", "a.wav").code == 0 and enhance("models", "verify").code == 0
