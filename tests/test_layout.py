"""The house rules of the package: who imports whom, what `--help` may load, and that every catalogue matches its folder."""

import ast
import functools
import importlib.util
import inspect
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from enhance_cli.data.band_limited import BandLimited
from enhance_cli.data.degraded import Degrader
from enhance_cli.data.mixing import Mixer
from enhance_cli.data.music.stem_mixing import StemMixer
from enhance_cli.data.pairs import Pairs
from enhance_cli.losses import DISTANCES, LOSSES
from enhance_cli.metrics import METRICS
from enhance_cli.models.convert.file import convert_file
from enhance_cli.networks import NETWORKS
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS
from enhance_cli.training.tasks import TASKS
from enhance_cli.vectors import READERS, WRITERS

PACKAGE = Path(__import__("enhance_cli").__file__).parent
LEAVES = {
    "errors",
    "catalogue",
    "contracts",
    "atomic",
    "ranges",
    "resources",
    "toml_lines",
}  # all folders may import these
SHARED = {  # files that hold what the others of their folder share
    "commands": {"audio_plan", "model_table", "planning", "reporting", "running"},
    "metrics": {"trials", "eer", "projection", "high_band"},
    "processes": {"process"},
    "networks": {
        "bridge_unet_stream",
        "conditioning",
        "convnext",
        "grouped",
        "guide_attention",
        "layers",
        "mel",
        "roformer",
        "spatial_transformer",
    },
    "vectors": {"columns", "named", "table"},
}
BY_IMPORT = {
    "metrics": {"condition_eer", "delay", "det", "eer", "filled_gaps", "frame_sdr", "made_band", "min_dcf", "si_sdri"}
}  # no names that `enhance evaluate --metrics` takes
MAY_IMPORT = {
    "__init__.py": {"api", "errors"},
    "api": {"models", "tasks"},
    "__main__.py": {"cli", "errors"},
    "cli.py": {"commands", "configured", "console", "errors", "meant_names", "plain_values", ""},  # "" is the version
    "configured.py": {"flags", "settings", "errors"},
    "plain_values.py": set(),
    "meant_names.py": set(),
    "settings.py": {"errors", "toml_lines"},
    "flags": {"errors"},
    "console.py": {"errors"},
    "progress.py": {"console"},
    "catalogue.py": {"errors"},
    "toml_lines.py": set(),
    "contracts.py": set(),
    "atomic.py": {"errors"},
    "ranges.py": set(),
    "resources.py": set(),
    "errors.py": set(),
    "audio": set(),
    "networks": set(),
    "processes": set(),
    "samplers": set(),
    "losses": set(),
    "metrics": set(),
    "data": {"audio"},
    "vectors": set(),
    "batch": {"audio", "vectors", ""},  # all machines of a cluster must share the version
    "models": {"networks", "processes", "samplers", "audio"},
    "tasks": {"models", "audio"},
    "training": {"losses", "data", "models", "networks", "processes", "metrics", "samplers", "audio"},
    "commands": {
        "batch",
        "vectors",
        "tasks",
        "models",
        "training",
        "data",
        "metrics",
        "audio",
        "flags",
        "settings",
        "configured",
        "console",
        "progress",
        "",
    },
}
ONLY_IN = {  # folders and files
    "typer": {"cli.py", "configured.py", "plain_values.py", "flags", "commands", "console.py"},
    "platformdirs": {"settings.py"},
    "rich": {"cli.py", "commands", "console.py", "progress.py"},
    "soundfile": {"audio", "data/damage.py", "data/pairs.py"},  # training data: whole files, and codecs in memory
    "soxr": {"audio"},
    "av": {"audio"},
    "mutagen": {"audio"},
    "PIL": {"audio"},
    "huggingface_hub": {"models/hub/download.py"},
    "demucs": {"models/demucs_model.py"},
    "onnx": {
        *("models/convert/onnx_graph.py", "models/graphs/constants.py"),
        *("models/graphs/export.py", "models/graphs/export_file.py"),
    },
    "onnxruntime": {"models/graphs/graph.py", "metrics"},
    "torchaudio": {"networks/mel.py", "networks/ap_bwe.py"},
    "accelerate": {"training"},
    "pyarrow": {"vectors"},
    "kaldiio": {"vectors"},
    "fsspec": {"batch"},
    "ray": {"batch"},
    "torch": {
        *("contracts.py", "audio", "networks", "processes", "samplers", "losses"),
        *("models", "training", "commands"),
    },
}


@functools.cache
def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_files_import_only_what_they_may(path):
    place = path.relative_to(PACKAGE)
    folder = place.parts[0]
    allowed = MAY_IMPORT[folder] | (LEAVES | {folder} if len(place.parts) > 1 else set())
    for name in imported(path):
        top, *rest = name.split(".")
        if top == "enhance_cli":
            other = rest[0] if rest and is_ours(rest[0]) else ""
            assert other in allowed, f"{place} imports {name}"
        elif top in ONLY_IN:
            places = {place.as_posix(), *(parent.as_posix() for parent in place.parents)}
            assert places & ONLY_IN[top], f"{place} imports {name}"


def is_ours(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_no_file_needs_itself():
    """Not even for its types, or inside a function: who reads a file has read all that it needs before."""
    names = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for path, name in names.items()}
    needs = {}
    for name, path in files.items():
        found = {n if n in files else n.rpartition(".")[0] for n in imported(path)}
        needs[name] = (found & set(files)) - {name, "enhance_cli"}  # the latter is the version
    while free := {name for name, others in needs.items() if not others}:
        needs = {name: others - free for name, others in needs.items() if name not in free}
    assert not needs


def test_every_rule_is_about_something_that_is_there():
    named = set(MAY_IMPORT).union(*ONLY_IN.values())
    named |= {
        f"{folder}/{name}.py" for kinds in (SHARED, BY_IMPORT) for folder, names in kinds.items() for name in names
    }
    assert not {name for name in named if not (PACKAGE / name).exists()}


@pytest.mark.parametrize("folder", ["commands", "samplers", "processes", "losses", "metrics", "vectors"])
def test_brothers_do_not_import_each_other(folder):
    for path in (PACKAGE / folder).rglob("*.py"):
        wing = path.relative_to(PACKAGE / folder).parts[0]  # the files of one wing, such as commands/verify, are one
        others = {n for n in imported(path) if n.startswith(f"enhance_cli.{folder}.")}
        others -= {n for n in others if n.split(".")[2] in SHARED.get(folder, set()) | {wing}}
        assert not others or wing == "__init__.py", f"{path.name} imports {others}"


@pytest.mark.parametrize(
    "folder, catalogues",
    [
        ("networks", [NETWORKS]),
        ("processes", [PROCESSES]),
        ("samplers", [SAMPLERS]),
        ("losses", [LOSSES, DISTANCES]),
        ("metrics", [METRICS]),
        ("vectors", [READERS]),
        ("vectors", [WRITERS]),
    ],
)
def test_every_file_has_an_entry_and_every_entry_loads(folder, catalogues):
    others = {"__init__"} | SHARED.get(folder, set()) | BY_IMPORT.get(folder, set())
    files = {p.stem for p in (PACKAGE / folder).glob("*.py")} - others
    entries = {member.split(":")[0] for c in catalogues for member in c.members.values()}
    assert files == entries
    for catalogue in catalogues:
        for name in catalogue:
            assert callable(catalogue[name])


@pytest.mark.parametrize(
    "wing, others",
    [
        ("safety", set()),
        ("measurements", set()),
        ("backends", {"safety"}),
        ("embeddings", {"safety", "backends"}),
        ("page", {"safety", "measurements"}),
        ("", {"safety", "measurements"}),
    ],
)
def test_wings_of_the_batch_import_only_those_below(wing, others):
    """Planning ("") knows no back end: a command chooses one. Safety knows nothing of jobs and records."""
    wings = {path.name for path in (PACKAGE / "batch").iterdir() if path.is_dir()}
    for path in (PACKAGE / "batch" / wing).glob("*.py"):
        names = {n.split(".")[2] for n in imported(path) if n.startswith("enhance_cli.batch.")}
        assert not names & (wings - {wing} - others), f"{path} imports {names}"
        assert wing != "safety" or names <= {"safety"}, f"{path} imports {names}"


def test_no_file_needs_another_that_needs_it():
    """Imports within functions and those for type checkers count too: a circle of files can only be read as a whole."""
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    graph = {
        name: {found for i in imported(path) for found in (i, i.rpartition(".")[0]) if found in files} - {name}
        for name, path in files.items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("catalogue", [SAMPLERS, LOSSES], ids=["samplers", "losses"])
def test_settings_are_keyword_only(catalogue):
    """Recipes, model headers and flags name them, so nothing may count on their order."""
    for name in catalogue:
        for parameter in inspect.signature(catalogue[name]).parameters.values():
            optional = parameter.default is not parameter.empty and parameter.name != "distance"
            assert not optional or parameter.kind == parameter.KEYWORD_ONLY, f"{name}: {parameter.name}"


def test_every_training_task_is_in_the_one_table():
    assert {member.split(".")[0] for member in TASKS.members.values()} == {
        path.parent.name for path in (PACKAGE / "training").glob("*/task.py")
    }


def calls(path: Path, names: set[str]) -> list[ast.Call]:
    """Return the calls of functions and methods with these names."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call for call in found if ast.unparse(call.func) in names]


@pytest.mark.slow
def test_files_are_renamed_in_one_place():
    """enhance_cli/atomic.py knows about kills, two runs at once and systems without locks. The other is a lock file."""
    renaming = {p for p in PACKAGE.rglob("*.py") if calls(p, {"os.replace", "os.rename", "shutil.move"})}
    assert {p.relative_to(PACKAGE).as_posix() for p in renaming} == {"atomic.py", "batch/safety/temporary.py"}


def test_exit_codes_have_names():
    for path in PACKAGE.rglob("*.py"):
        for call in calls(path, {"typer.Exit", "sys.exit", "os._exit"}):
            assert not any(isinstance(argument, ast.Constant) for argument in call.args), f"{path}: {ast.unparse(call)}"


def test_help_does_not_load_heavy_packages():
    code = (
        "import sys\n"
        "sys.argv = ['enhance', '--help']\n"
        "from enhance_cli.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchaudio', 'numpy', 'scipy', 'soundfile', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_denoise_does_not_load_torchaudio_or_the_hub_client():
    code = (
        "import sys, numpy as np\n"
        "from enhance_cli.tasks import denoise\n"
        "from enhance_cli.batch import files\n"
        "heavy = {'torchaudio', 'huggingface_hub', 'matplotlib', 'av'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("source", [Mixer, Pairs, StemMixer, Degrader, BandLimited, convert_file])
def test_settings_of_training_data_and_converters_are_keyword_only(source):
    """A rate and a seed are both whole numbers: told by their place alone, they could change places unnoticed."""
    parameters = inspect.signature(source).parameters
    settings = {"rate", "seed", "mix", "views", "limits", "level", "held_out", "responses", "rooms", "licence", "half"}
    assert settings & set(parameters)
    for name in settings & set(parameters):
        assert parameters[name].kind == inspect.Parameter.KEYWORD_ONLY, name


@pytest.mark.parametrize("folder", ["tests/benchmarks", "tests/golden", "examples"])
def test_scripts_import_names_that_exist(folder):
    """Nothing else runs them, so a renamed function would be noticed when someone wants to reproduce a number."""
    for path in (PACKAGE.parent / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("enhance_cli"):
                module = importlib.import_module(node.module)
                for name in (alias.name for alias in node.names):
                    known = hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}")
                    assert known, f"{path}: {node.module} has no {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_docstrings_are_plain(path):
    """No semicolons, and no clause that hides its noun behind the word: 'what it does'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node) or ""
            assert ";" not in text and not re.search(r"\bwhat\b", text), f"{getattr(node, 'name', 'module')}: {text}"
