"""Commands on a CPU where torch is broken: what ships runs by ONNX Runtime, and the rest says in one line why it does not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

AUDIO = Path(__file__).parents[2] / "audio_files"
HEAVY = {"torch", "torchaudio", "scipy", "av", "matplotlib", "huggingface_hub", "http", "onnx", "mutagen", "rich"}
HEAVY |= {"pydantic", "multiprocessing", "email"}


BROKEN = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchaudio"): raise ImportError("torch is broken")
sys.meta_path.insert(0, Broken())
"""
ONE = """
import sys
from enhance_cli.cli import main
main()
"""
EACH = """
import contextlib, io, json, sys
from enhance_cli.cli import main
words, seen = map(json.loads, sys.argv[1:])
for line in words:
    said = io.StringIO()
    sys.argv = ["enhance", *line.split()]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([code, said.getvalue(), sorted({*seen} & {*sys.modules})]))
"""


def python(code, folder, *words):
    return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True)


def enhance(folder, *words):
    """Return the finished process of `enhance` with these words, where importing torch raises."""
    return python(BROKEN + ONE, folder, *words)


def each(folder, *lines, watched=(), before=""):
    """Return, of commands that run one after the other in a process: code, standard error, `watched` modules there by then."""
    done = python(before + EACH, folder, json.dumps(lines), json.dumps([*watched]))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path):
    with soundfile.SoundFile(AUDIO / "noisy_speech_48k.flac") as file:
        soundfile.write(tmp_path / "in.wav", file.read(file.samplerate), file.samplerate)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoise-48k", "denoise-s", "deepfilternet3"])
def test_denoise(folder, name):
    done = enhance(folder, "denoise", "in.wav", "--model", name, "--report", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert '"runtime": "onnx"' in (folder / "r.jsonl").read_text()
    noisy, clean = (soundfile.read(folder / name)[0] for name in ("in.wav", "in_denoised.wav"))
    assert np.abs(clean - noisy).max() > 0.01


def test_extract_stem(folder):
    done = enhance(folder, "extract-stem", "in.wav", "--stem", "drums", "--residual")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.glob("in_*.wav")} == {"in_drums.wav", "in_residual.wav"}


@pytest.mark.slow
def test_extend_bandwidth(folder):
    with soundfile.SoundFile(AUDIO / "noisy_speech.flac") as file:
        soundfile.write(folder / "call.wav", file.read(file.samplerate), file.samplerate)
    done = enhance(folder, "extend-bandwidth", "call.wav", "--report", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert '"runtime": "onnx"' in (folder / "r.jsonl").read_text()
    assert soundfile.info(folder / "call_extended.wav").samplerate == 48000


@pytest.mark.slow
def test_inpaint_by_a_model(folder):
    with soundfile.SoundFile(AUDIO / "noisy_speech.flac") as file:
        audio, rate = file.read(2 * file.samplerate), file.samplerate
    audio[rate : rate + rate // 4] = 0
    soundfile.write(folder / "call.wav", audio, rate)
    done = enhance(folder, "inpaint", "call.wav", "--model", "inpaint-s", "--report", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert '"runtime": "onnx"' in (folder / "r.jsonl").read_text()
    filled = soundfile.read(folder / "call_inpainted.wav")[0][rate : rate + rate // 4]
    assert np.abs(filled).max() > 0.01


@pytest.mark.slow
def test_enhance_embedding_and_verify(folder):
    done = enhance(folder, "enhance-embedding", "in.wav", "-o", "in.npz")
    assert done.returncode == 0, done.stderr
    assert np.load(folder / "in.npz")
    done = enhance(folder, "verify", "in.wav", "in.npz")
    assert done.returncode == 0 and "repaired" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "words", ["models list", "models show denoise-48k", "models verify", "info", "denoise in.wav --dry-run"]
)
def test_what_only_looks(folder, words):
    done = enhance(folder, *words.split())
    assert done.returncode == 0 and done.stdout + done.stderr, done.stderr


def test_what_needs_torch_says_so_in_one_line(folder):
    done = enhance(folder, "denoise", "in.wav", "--runtime", "torch")
    assert done.returncode == 3
    assert (
        done.stderr.splitlines()[0]
        == "error: torch cannot be imported (torch is broken): reinstall it; see `enhance info`"
    )


def test_a_mistyped_name_is_refused_before_torch_is_imported(folder):
    (folder / "song").mkdir()
    (folder / "song" / "mixture.wav").write_bytes((folder / "in.wav").read_bytes())
    cases = [
        ("train denoise-x", 2, "denoise-x: no such recipe: did you mean denoise-s?"),
        ("train denoise-s --set batch_size=8", 2, "--set batch_size=8: not of the form section.key=value"),
        ("distill consistency-x --teacher denoise-s", 2, "consistency-x: no such recipe: did you mean consistency?"),
        ("distill consistency --teacher denoise-x", 3, "unknown model 'denoise-x': did you mean denoise-s?"),
        ("evaluate . --noisy . --model denoise-x", 3, "unknown model 'denoise-x': did you mean denoise-s?"),
        ("evaluate . --task stems --model stems-x", 3, "unknown model 'stems-x': did you mean stems-s?"),
        ("evaluate . --task extend-bandwidth --model copy", 3, "unknown model 'copy': did you mean copy-up?"),
        ("evaluate . --task inpaint --model inpaint-x", 3, "unknown model 'inpaint-x': did you mean inpaint-s?"),
        ("evaluate-embedding . --noise . --model seed-x", 3, "unknown model 'seed-x': "),
    ]
    found = each(folder, *(words for words, _, _ in cases), before=BROKEN)
    for (words, code, message), (ended, said, _) in zip(cases, found, strict=True):
        assert ended == code and said.startswith(f"error: {message}"), f"{words}: {said}"


def test_evaluate_imports_the_measures_that_it_needs_and_no_others(folder):
    (folder / "others").mkdir()
    (folder / "others" / "other.wav").write_bytes((folder / "in.wav").read_bytes())
    cases = [
        ("evaluate . nothing", 2, "nothing is not a folder"),
        ("evaluate . others", 2, "no file in others is named as one of the clean files"),
        ("evaluate . . --metrics psq", 2, "unknown metric 'psq'"),
        ("evaluate others others --metrics si_sdr", 0, ""),
    ]
    libraries = {"pesq", "pystoi", "onnxruntime", "scipy.signal", "torch"}
    found = each(folder, *(words for words, _, _ in cases), watched=libraries)
    for (words, code, message), (ended, said, imported) in zip(cases, found, strict=True):
        assert ended == code and message in said and imported == [], f"{words}: {imported}: {said}"


def test_a_call_imports_nothing_heavy(folder):
    lines = [
        "denoise in.wav",
        "denoise in.wav -o again.wav --json --report r.jsonl",
        "denoise in.wav -o loud.wav --loudness -16 --limiter 6",
        "extract-stem in.wav",
        "enhance-embedding in.wav -o in.npz",
        "verify in.wav in.wav",
        "extend-bandwidth in.wav",
        "inpaint in.wav",
    ]
    for words, (code, said, imported) in zip(lines, each(folder, *lines, watched=HEAVY), strict=True):
        assert code == 0 and imported == [], f"{words}: {imported}: {said}"
