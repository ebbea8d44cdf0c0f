"""`enhance denoise` among other programs: inputs of every kind, pipes, records, interruptions, dry runs."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.models import registry
from tests import audio_zoo as zoo

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def tree(tmp_path):
    """in/{One.WAV, zwei.Flac, sub/drei ü.wav} and a text file that is none of our business."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    zoo.save(tmp_path / "in" / "One.WAV", zoo.noise())
    zoo.save(tmp_path / "in" / "zwei.Flac", zoo.noise(), container="FLAC")
    zoo.save(tmp_path / "in" / "sub" / "drei ü.wav", zoo.noise())
    (tmp_path / "in" / "notes.txt").write_text("not audio")
    return tmp_path


def made(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- inputs and outputs -------------------------------------------------------------------------------------


def test_folders_globs_lists_and_names(enhance, tiny_model, tree):
    (tree / "list.txt").write_text("# two of them\nin/One.WAV\n\nin/sub/drei ü.wav\n")
    for number, (arguments, expected) in enumerate(
        [
            (["in"], {"One.WAV", "zwei.Flac"}),
            (["in", "--recursive"], {"One.WAV", "zwei.Flac", "sub/drei ü.wav"}),
            (["in/**/*.wav"], {"sub/drei ü.wav"}),
            (["@list.txt"], {"One.WAV", "drei ü.wav"}),
            (["in/One.WAV", "in/zwei.Flac", "in/One.WAV"], {"One.WAV", "zwei.Flac"}),
            (["in", "-r", "--name", "{parent}-{stem}_{model}_{steps}{ext}", "-n", 2, "--format", "flac"],
             {"in-One_tiny_2.flac", "in-zwei_tiny_2.flac", "sub/sub-drei ü_tiny_2.flac"}),
        ]
    ):  # fmt: skip
        result = enhance("denoise", *arguments, "-o", f"out{number}", "-m", tiny_model)
        assert result.code == 0 and made(tree / f"out{number}") == expected
        assert {Path(line).relative_to(f"out{number}").as_posix() for line in result.lines} == expected


def test_results_lie_beside_their_inputs_and_are_left_alone_or_made_anew(enhance, tiny_model, tree):
    names = {"in/One_denoised.WAV", "in/zwei_denoised.Flac"}
    assert set(enhance("denoise", "in", "-m", tiny_model).lines) == names
    stamps = {name: (tree / name).stat().st_mtime_ns for name in names}
    again = enhance("denoise", "in", "-m", tiny_model)
    assert again.code == 0 and again.stdout == b"" and again.stderr.count("skipped in/") == 4
    assert {name: (tree / name).stat().st_mtime_ns for name in names} == stamps
    refused = enhance("denoise", "in/One.WAV", "-m", tiny_model, "--existing", "error")
    assert refused.code == 2 and "this output exists" in refused.stderr
    over = enhance("denoise", "in/One.WAV", "-m", tiny_model, "--existing", "overwrite")
    assert over.code == 0 and (tree / "in/One_denoised.WAV").stat().st_mtime_ns > stamps["in/One_denoised.WAV"]


def test_of_many_files_that_are_skipped_a_few_are_named_and_the_rest_counted(enhance, tiny_model, tmp_path):
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        for number in range(12):
            zoo.save(tmp_path / folder / f"{number}.wav", zoo.noise(frames=1600))
    arguments = ["denoise", "in", "-o", "out", "-m", tiny_model, "--report", "r.jsonl"]
    again = enhance(*arguments)
    assert again.stderr.count("skipped in/") == 5
    assert again.stderr.count("the output exists (--existing overwrite replaces it)") == 5
    assert "7 more files: skipped, the output exists" in again.stderr and "0 done, 12 skipped" in again.stderr
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 12
    assert enhance(*arguments, "--verbose").stderr.count("skipped in/") == 12


def test_a_script_follows_the_progress_in_lines_of_json(enhance, tiny_model, tree):
    result = enhance("denoise", "in", "-r", "-o", "out", "-m", tiny_model, "--progress", "json", "--quiet")
    assert result.code == 0 and len(result.lines) == 3
    told = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["event"] for line in told} == {"progress"}
    assert (told[0]["files"], told[-1]["files"], told[-1]["files_total"]) == (0, 3, 3)
    assert told[-1]["seconds_audio"] > 0 and told[-1]["speed"] > 0 and told[-1]["seconds_left"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_sound_is_not_printed_on_a_terminal(start_python, identity_model, tree):
    import pty

    ours, theirs = pty.openpty()
    given = ("-m", "enhance_cli", "denoise", "in/One.WAV", "-o", "-", "-m", identity_model, "--duration", 0.02)
    with start_python(*given, stdout=theirs, stderr=subprocess.PIPE) as process:
        said = process.stderr.read().decode()
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2 and said.startswith("error: standard output is a terminal: send the result to ")


def test_a_dry_run_lists_and_writes_nothing(enhance, tiny_model, tree):
    (tree / "out").mkdir()
    (tree / "out" / "One.WAV").touch()
    before = made(tree)
    result = enhance("denoise", "in", "-o", "out", "-m", tiny_model, "--dry-run")
    assert result.code == 0 and result.lines == ["out/zwei.Flac"] and "skip in/One.WAV" in result.stderr
    missing = enhance("denoise", "in/zwei.Flac", "nope.wav", "-o", "out", "-m", tiny_model, "--dry-run")
    assert (
        missing.code == 1 and missing.lines == ["out/zwei.Flac"] and "error: nope.wav does not exist" in missing.stderr
    )
    assert made(tree) == before


def test_a_dry_run_prints_the_planned_records_for_jq(enhance, tiny_model, tree):
    """A name may hold a line end, so lists of paths for scripts are JSON, as in the run itself."""
    (tree / "in" / "new\nline.wav").write_bytes((tree / "in" / "One.WAV").read_bytes())
    (tree / "out").mkdir()
    (tree / "out" / "One.WAV").touch()
    given = ("denoise", "in", "nope.wav", "-o", "out", "-m", tiny_model, "--json")
    result = enhance(*given, "--dry-run")
    found = {record["input"]: record for record in map(json.loads, result.lines)}
    assert result.code == 1 and {name: record["status"] for name, record in found.items()} == {
        "in/One.WAV": "skipped", "in/new\nline.wav": "planned", "in/zwei.Flac": "planned", "nope.wav": "failed"
    }  # fmt: skip
    assert (
        found["in/new\nline.wav"]["output"] == "out/new\nline.wav" and "does not exist" in found["nope.wav"]["reason"]
    )
    assert "2 planned, 1 skipped, 1 failed" in result.stderr
    assert set(found["in/zwei.Flac"]) == set(json.loads(enhance(*given).lines[0]))


def test_a_dry_run_names_a_few_of_many_skipped_files(enhance, tiny_model, tree):
    names = [f"in/{n}.wav" for n in range(8)]
    for name in names:
        (tree / name).touch()
        (tree / f"{name[:-4]}_denoised.wav").touch()
    given = ("denoise", *names, "-m", tiny_model, "--dry-run")
    assert enhance(*given).stderr.count("skip in/") == 5
    assert "0 planned, 8 skipped (--verbose names all), 0 failed" in enhance(*given).stderr
    assert enhance(*given, "--verbose").stderr.count("skip in/") == 8


def test_results_in_another_format_are_known_as_such(enhance, tiny_model, tree):
    assert enhance("denoise", "in/One.WAV", "-m", tiny_model, "--format", "flac").lines == ["in/One_denoised.flac"]
    result = enhance("denoise", "in", "-m", tiny_model)
    assert result.code == 0 and "in/One_denoised.flac: this is the output of in/One.WAV" in result.stderr
    assert not [name for name in made(tree) if "denoised_denoised" in name]


def test_shards_are_disjoint_and_complete(enhance, tiny_model, tree):
    parts = [
        set(enhance("denoise", "in", "-r", "-o", "out", "-m", tiny_model, "--dry-run", "--shard", f"{i}/3").lines)
        for i in (1, 2, 3)
    ]
    assert sorted(name for part in parts for name in part) == ["out/One.WAV", "out/sub/drei ü.wav", "out/zwei.Flac"]


def test_a_picture_is_drawn_beside_the_result(enhance, tiny_model, tree):
    assert enhance("denoise", "in/One.WAV", "-o", "out/", "-m", tiny_model, "--plot").code == 0
    assert made(tree / "out") == {"One.WAV", "One.WAV.png"}
    assert (tree / "out" / "One.WAV.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_a_result_that_is_there_is_drawn_too(enhance, tiny_model, tree):
    assert enhance("denoise", "in/One.WAV", "-o", "out/", "-m", tiny_model).code == 0
    written = (tree / "out" / "One.WAV").stat().st_mtime_ns
    run = enhance("denoise", "in/One.WAV", "-o", "out/", "-m", tiny_model, "--plot")
    assert run.code == 0 and "One.WAV.png: drawn for an output that existed" in run.stderr
    assert (tree / "out" / "One.WAV.png").read_bytes().startswith(b"\x89PNG")
    assert (tree / "out" / "One.WAV").stat().st_mtime_ns == written
    assert "drawn" not in enhance("denoise", "in/One.WAV", "-o", "out/", "-m", tiny_model, "--plot").stderr


def test_a_picture_shows_the_part_and_the_channel_that_were_taken(enhance, tiny_model, tmp_path):
    from matplotlib import image

    sound = np.concatenate([np.zeros((2, 32000), np.float32), zoo.noise(2, 8000)], axis=1)
    sound[0] = 0
    zoo.save(tmp_path / "a.wav", sound, rate=8000)
    for channel, seen in (("1", False), ("2", True)):
        arguments = ("a.wav", "-o", f"{channel}.wav", "--start", "4", "--channel", channel, "--plot")
        assert enhance("denoise", *arguments, "-m", tiny_model).code == 0
        before = image.imread(tmp_path / f"{channel}.wav.png")[50:340, 100:1000, :3]
        assert (before.mean() > 0.2) == seen


# --- streams ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pipe_on_both_sides(run_enhance, enhance, tmp_path):
    path = zoo.save(tmp_path / "a.wav", zoo.noise(2, 20000), subtype="PCM_24")
    enhance("denoise", "a.wav", "-m", "denoise-s")
    piped = run_enhance("denoise", "-", "-m", "denoise-s", "-o", "-", input=path.read_bytes())
    assert piped.code == 0
    expected, rate = soundfile.read(tmp_path / "a_denoised.wav")
    samples, piped_rate = soundfile.read(io.BytesIO(piped.stdout))
    np.testing.assert_array_equal(samples, expected)
    assert rate == piped_rate and made(tmp_path) == {"a.wav", "a_denoised.wav"}


@pytest.mark.slow
def test_results_on_stdout_talk_on_stderr_and_no_bar_or_colour_in_a_pipe(run_enhance, tree):
    result = run_enhance("denoise", "in", "-o", "out", "-m", "denoise-s", env={"FORCE_COLOR": "1", "TERM": "xterm"})
    assert result.code == 0 and sorted(result.stdout.splitlines()) == [b"out/One.WAV", b"out/zwei.Flac"]
    said = "denoise-s, bridge_ode, 1 step, on cpu in fp32, ONNX Runtime\n2 done, 0 skipped, 0 failed\n"
    assert result.stderr == said or ("on cuda" in result.stderr and result.stderr.count("\n") == 2)


def test_quiet_says_nothing_and_verbose_says_how_it_went(enhance, tiny_model, tree):
    quiet = enhance("denoise", "in", "-o", "a", "-m", tiny_model, "--quiet")
    assert quiet.code == 0 and quiet.stderr == "" and len(quiet.lines) == 2
    assert enhance("denoise", "in", "-o", "a", "-m", tiny_model, "--quiet").stderr == ""
    verbose = enhance("denoise", "in", "-o", "b", "-m", tiny_model, "--verbose")
    assert "in/One.WAV: 1.0 s" in verbose.stderr and "LUFS" in verbose.stderr


def test_one_record_a_file_on_stdout_and_in_the_report(enhance, tiny_model, tree):
    zoo.text_named_wav(tree / "in")
    arguments = ["denoise", "in", "-o", "out", "-m", tiny_model, "--json", "--report", "report.jsonl"]
    first = enhance(*arguments)
    assert first.code == 1
    records = [json.loads(line) for line in first.lines]  # in the order in which files end
    assert len({tuple(r) for r in records}) == 1, "the same keys, whatever happened"
    done, other, failed = sorted(records, key=lambda record: (record["status"], record["input"]))
    assert (done["status"], other["status"], failed["status"]) == ("done", "done", "failed")
    assert (done["input"], done["output"], done["model"], done["steps"]) == ("in/One.WAV", "out/One.WAV", "tiny", 1)
    assert (done["rate"], done["channels"], done["seconds_audio"]) == (16000, 1, 1.0)
    assert done["loudness_before"] < 0 and done["peak_after"] < 0 and done["seconds_work"] > 0
    assert "not audio" in failed["reason"] and failed["input"] == "in/text.wav"
    enhance(*arguments)
    lines = [json.loads(line) for line in (tree / "report.jsonl").read_text().splitlines()]
    assert lines[:3] == records and sorted(r["status"] for r in lines[3:]) == ["failed", "skipped", "skipped"]


def test_records_name_the_weights_of_both_stages(enhance, tree):
    """A dataset that was cleaned before its model's first stage changed can be told from one that was cleaned after."""
    (record,) = enhance("denoise", "in/One.WAV", "-o", "out", "-m", "denoise-48k", "--json").lines
    shipped = {name: registry.find(name, "denoise").sha256 for name in ("denoise-48k", "deepfilternet3-tuned")}
    assert json.loads(record)["revision"] == shipped["denoise-48k"]
    assert json.loads(record)["first_stage"] == f"deepfilternet3-tuned@{shipped['deepfilternet3-tuned']}"
    (record,) = enhance("denoise", "in/One.WAV", "-o", "s", "-m", "denoise-s", "--json").lines
    assert json.loads(record)["first_stage"] is None


_MODULES = """
import sys
from enhance_cli.cli import main
try:
    main()
finally:
    print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@posix
def test_streams_that_a_daemon_has_closed_are_not_needed(closed, start_python, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    code = "import os, sys; os.execv('/bin/sh', ['sh', '-c', sys.argv[1], sys.executable])"
    command = f'exec "$0" -m enhance_cli denoise a.wav -o b.wav --report r.jsonl {closed}'
    with start_python("-c", code, command, stdin=-1, stdout=-1, stderr=-1) as process:
        process.communicate(timeout=600)
    assert process.returncode == 0
    assert soundfile.info(tmp_path / "b.wav").frames == soundfile.info(tmp_path / "a.wav").frames
    assert json.loads((tmp_path / "r.jsonl").read_text())["output"] == "b.wav"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("target", [(), ("--json",), ("-o", "-"), ("--help",)])
def test_no_room_for_results_is_one_line(target, start_python, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise())
    with open("/dev/full", "wb") as full:
        process = start_python("-m", "enhance_cli", "denoise", "a.wav", "-q", *target, stdout=full, stderr=-1)
        said = process.communicate(timeout=600)[1].decode()
    assert process.returncode == 1 and len(said.splitlines()) == 1
    assert said.startswith("error: standard output")


def test_nothing_is_kept_in_the_home_of_the_user_and_nothing_said_about_it(run_enhance, tmp_path):
    """ONNX Runtime keeps an identifier and events there, and sends them to its maker, where nobody forbids it."""
    zoo.save(tmp_path / "a.wav", zoo.noise())
    homes = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / ".cache")}
    (tmp_path / "home").mkdir()
    done = run_enhance("denoise", "a.wav", "-q", env=homes)
    assert (done.code, done.stderr) == (0, "") and not list((tmp_path / "home").iterdir())


def test_help_does_not_wait_for_torch(run_python):
    for arguments in (["--help"], ["denoise", "--help"], ["--version"]):
        result = run_python("-c", _MODULES, *arguments)
        assert result.code == 0 and result.stdout and b"Traceback" not in result.stdout
        assert not {"torch", "numpy", "scipy", "soundfile", "huggingface_hub"} & set(result.stderr.split())


@pytest.mark.slow
def test_denoising_needs_only_what_the_package_lists(run_python, tiny_model, tree):
    """No torchaudio, no training packages, and no matplotlib or Hub client when nothing asks for them."""
    result = run_python("-c", _MODULES, "denoise", "in", "-o", "out", "-m", tiny_model)
    loaded = set(result.stderr.split())
    assert result.code == 0 and "torch" in loaded
    unwanted = {"torchaudio", "torchcodec", "accelerate", "lightning", "pyroomacoustics", "pesq", "matplotlib"}
    assert not loaded & (unwanted | {"huggingface_hub", "librosa", "pandas", "onnxruntime"})


# --- interruptions ------------------------------------------------------------------------------------------


STOPPED_IN_THE_MIDDLE = """
import os, signal, sys, time
from pathlib import Path
import soundfile
from enhance_cli.__main__ import main

read, stopped = soundfile.SoundFile.read, False

def reading(sound, *arguments, **options):
    global stopped
    if sound.frames == 300 * 8000 and Path("out/.b.wav.part").exists():  # b.wav, measured and now in the works
        while not Path("out/a.wav").exists():
            time.sleep(0.01)
        if not stopped:
            stopped = True
            os.kill(os.getpid(), {signal})
        time.sleep(0.2)  # so that it cannot end before the run has noticed
    return read(sound, *arguments, **options)

soundfile.SoundFile.read = reading
main()
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_nothing_half_written_and_is_taken_up_again(
    stop, start_python, enhance, identity_model, tmp_path
):
    (tmp_path / "in").mkdir()
    for name, seconds in (("a", 1), ("b", 300), ("c", 1)):
        zoo.save(tmp_path / "in" / f"{name}.wav", np.tile(zoo.noise(1, 8000), seconds), 8000)
    arguments = ["denoise", "in", "-o", "out", "-m", identity_model]
    code, log = STOPPED_IN_THE_MIDDLE.replace("{signal}", str(int(stop))), tmp_path / "log"
    with log.open("wb") as stderr, start_python("-c", code, *arguments, stdout=-3, stderr=stderr) as process:
        code = process.wait(600)
    left = made(tmp_path / "out") - {"c.wav"}  # several files at a time: the third may have ended, or be in the works
    if stop == signal.SIGINT:
        assert code == 130 and left == {"a.wav"}
        assert "Traceback" not in log.read_text()
    else:
        assert code == -signal.SIGKILL and left - {".c.wav.part"} == {"a.wav", ".b.wav.part"}
    done = made(tmp_path / "out") & {"a.wav", "c.wav"}
    stamp = (tmp_path / "out" / "a.wav").stat().st_mtime_ns

    again = enhance(*arguments, "--duration", 0.5)
    assert again.code == 0 and set(again.lines) == {"out/b.wav", "out/c.wav"} - {f"out/{name}" for name in done}
    assert made(tmp_path / "out") == {"a.wav", "b.wav", "c.wav"}
    assert (tmp_path / "out" / "a.wav").stat().st_mtime_ns == stamp
    assert soundfile.info(tmp_path / "out" / "b.wav").frames == 4000


@posix
@pytest.mark.parametrize(
    "how, moment", [("SIGINT", "typer"), ("SIGINT", "torch"), ("SIGTERM", "torch"), ("SIGTERM", "safetensors")]
)
def test_a_run_that_is_stopped_while_it_loads_ends_quietly(how, moment, run_python, tiny_model, tree):
    code = f"""
import os, signal, sys
class Meanwhile:
    def find_spec(self, name, *_):
        if name == "{moment}":
            os.kill(os.getpid(), signal.{how})
sys.meta_path.insert(0, Meanwhile())
from enhance_cli.__main__ import main
sys.argv = ["enhance", "denoise", "in", "-r", "-o", "out", "-m", {str(tiny_model)!r}]
main()
"""
    stopped = run_python("-c", code)
    assert (stopped.code, stopped.stdout, stopped.stderr) == (130, b"", "") and not (tree / "out").exists()


@pytest.mark.slow
@posix
@pytest.mark.parametrize("target, workers", [("out", "1"), ("-", "1"), ("-", "2")])
def test_a_reader_that_leaves_is_no_disaster(target, workers, start_python, identity_model, tree):
    reading, writing = os.pipe()
    os.close(reading)
    with open(tree / "log", "wb") as stderr:
        arguments = ["denoise", "in/One.WAV", "-o", target, "-m", identity_model, "--quiet", "--workers", workers]
        with start_python("-m", "enhance_cli", *arguments, stdout=writing, stderr=stderr) as process:
            os.close(writing)
            assert process.wait(600) == 1
    assert (tree / "log").read_text() in (
        "",
        "error: standard output: its reader has gone: look at the command behind the pipe\n",
    )
    assert not [name for name in made(tree) if "part" in name]
