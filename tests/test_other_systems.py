"""Manners of macOS and Windows that can be tested anywhere: encodings, consoles, precision, and the workflow for them."""

import ast
from pathlib import Path

import pytest
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

import enhance_cli
from enhance_cli.audio.spectra.stft import Frontend
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import PAIRINGS, SAMPLERS
from tests import audio_zoo as zoo

ROOT = Path(__file__).parents[1]
PACKAGE = Path(enhance_cli.__file__).parent
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def without_encoding(tree: ast.AST) -> list[int]:
    """Lines that read or write text in whatever encoding the system has."""
    lines = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        plain = isinstance(node.func, ast.Name)
        mode = ast.unparse(node.args[plain]) if len(node.args) > plain else ""
        text = "b" not in mode if plain else mode in ("'r'", "'w'", "'a'", "'r+'")
        if name in ("read_text", "write_text") or (name == "open" and text):
            lines.append(node.lineno)
    return lines


def test_text_that_we_read_and_write_is_utf8_whatever_the_system_thinks():
    bad = {path.name: without_encoding(ast.parse(path.read_text(encoding="utf-8"))) for path in PACKAGE.rglob("*.py")}
    assert len(bad) > 100 and {name: lines for name, lines in bad.items() if lines} == {}
    assert without_encoding(ast.parse("open(x)\np.open('w')\np.read_text()")) == [1, 2, 3]
    assert without_encoding(ast.parse("open(x, 'rb')\np.open('wb')\np.read_text(encoding='utf-8')")) == []


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_does_not_know_unicode_is_written_to_all_the_same(
    encoding, run_enhance, identity_model, tmp_path
):
    """As the old consoles of Windows: what they cannot show is escaped, and the names on stdout stay what they are."""
    console = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C", "COLUMNS": "40"}
    zoo.save(tmp_path / "\u65e5\u672c \u00fc.wav", zoo.noise())
    done = run_enhance("denoise", ".", "-o", "out", "-m", identity_model, "--verbose", env=console)
    assert done.code == 0 and "Traceback" not in done.stderr
    assert done.lines == [str(Path("out", "\u65e5\u672c \u00fc.wav"))]
    for words in (["--help"], ["denoise", "--help"], ["models", "list"]):
        told = run_enhance(*words, env=console)
        assert told.code == 0 and told.stdout and "Traceback" not in told.stderr
    missing = run_enhance("denoise", "\u65e5.wav", "-m", identity_model, env=console)
    assert missing.code == 1 and len(missing.errors) == 1 and "Traceback" not in missing.stderr


GONE = """
import errno, io, os, sys
from types import SimpleNamespace
from enhance_cli import cli, errors
from enhance_cli.console import result

class Closed(io.RawIOBase):
    def writable(self): return True
    def fileno(self): return 1
    def write(self, data):
        if os.path.samestat(os.fstat(1), os.stat(os.devnull)): return len(data)  # where what is left goes at exit
        raise OSError(errno.EINVAL, "Invalid argument")

errors.sys = SimpleNamespace(platform="win32")
sys.stdout = io.TextIOWrapper(io.BufferedWriter(Closed()), encoding="utf-8")
sys.argv = ["enhance", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize("words", [["--version"], ["config", "show"], ["models", "list"]])
def test_a_pipe_that_nobody_reads_any_more_ends_a_command_without_a_word_on_windows_too(words, run_python):
    """`enhance models list | more`, and q: Windows calls it an invalid argument."""
    done = run_python("-c", GONE, *words)
    assert (done.code, done.stderr) == (1, "")


class Doubles(TorchDispatchMode):
    """Writes down what is computed in double precision."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype in (torch.float64, torch.complex128):
            self.found.append(str(function))
        return result


@pytest.mark.parametrize("sampler, process", [(s, p) for s in SAMPLERS for p in sorted(PAIRINGS[s]) if p != "ddpm"])
def test_samplers_compute_nothing_in_double_precision_which_apples_gpus_lack(sampler, process):
    """For DDPM see tests/processes/test_ddpm.py."""
    y = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    process = PROCESSES[process]()
    with Doubles() as doubles:
        SAMPLERS[sampler](lambda x, t: 0.5 * (x + y), process, y, 2, lambda: process.noise_scale * torch.randn_like(y))
    assert doubles.found == []


def test_network_and_front_end_compute_nothing_in_double_precision(tiny_network):
    wave, frontend = torch.randn(1, 8000), Frontend()
    with Doubles() as doubles, torch.inference_mode():
        y = frontend.analyze(wave)
        frontend.synthesize(tiny_network(y, y, torch.ones(1)), 8000)
    assert doubles.found == []
    with Doubles() as doubles:
        torch.ones(1).double()
    assert doubles.found


def test_the_workflow_covers_three_systems_and_two_pythons_and_names_what_there_is():
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    systems = {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert set(jobs["test"]["strategy"]["matrix"]["os"]) == set(jobs["wheel"]["strategy"]["matrix"]["os"]) == systems
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.10", "3.x"]
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    words = " ".join(steps).split()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [words[i + 1] for i, word in enumerate(words) if word == "make"]
    assert targets == ["check"] and all(f"\n{target}:" in makefile for target in targets)
    named = [word for word in words if word.startswith("tests/")]
    assert len(named) > 5 and all((ROOT / word).exists() for word in named)
