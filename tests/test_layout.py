"""The house rules of the package: who imports whom, what `--help` may load, and that every catalogue matches its folder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from enhance_cli.losses import DISTANCES, LOSSES
from enhance_cli.networks import NETWORKS
from enhance_cli.processes import PROCESSES
from enhance_cli.samplers import SAMPLERS

PACKAGE = Path(__import__("enhance_cli").__file__).parent
LEAVES = {"errors", "catalogue"}
SHARED = {  # files that hold what the others of their folder share
    "commands": {"running", "stem_table", "verify_scores", "verify_trials"},
    "metrics": {"trials", "eer"},
    "processes": {"process"},
    "networks": {"guide_attention", "mel"},
}
MAY_IMPORT = {
    "audio": set(),
    "networks": set(),
    "processes": set(),
    "samplers": set(),
    "losses": set(),
    "metrics": set(),
    "data": {"audio"},
    "vectors": set(),
    "batch": {"audio", "vectors", ""},  # "" is the version, which all machines of a cluster must share
    "models": {"networks", "processes", "audio"},
    "tasks": {"models", "samplers", "audio"},
    "training": {"losses", "data", "models", "networks", "processes", "metrics", "samplers", "audio"},
    "commands": {"batch", "vectors", "tasks", "models", "training", "data", "metrics", "audio", "flags", "console", ""},
}
ONLY_IN = {
    "typer": {"cli", "flags", "commands", "console"},
    "rich": {"cli", "flags", "commands", "console"},
    "soundfile": {"audio", "data"},
    "av": {"audio"},
    "demucs": {"models"},
    "onnx": {"models"},
    "pyarrow": {"vectors"},
    "kaldiio": {"vectors"},
    "fsspec": {"batch"},
    "ray": {"batch"},
    "torch": {"audio", "networks", "processes", "samplers", "losses", "models", "tasks", "training", "commands"},
}


def modules():
    return [p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_folders_import_only_what_they_may(path):
    folder = path.relative_to(PACKAGE).parts[0]
    for name in imported(path):
        top, *rest = name.split(".")
        if top == "enhance_cli":
            other = rest[0] if (PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file() else ""
            allowed = MAY_IMPORT[folder] | LEAVES | {folder}
            assert other in allowed, f"{path.name} imports {name}"
        elif top in ONLY_IN:
            assert folder in ONLY_IN[top], f"{path.name} imports {name}"


@pytest.mark.parametrize("folder", ["commands", "samplers", "processes", "losses", "metrics"])
def test_brothers_do_not_import_each_other(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        others = {n for n in imported(path) if n.startswith(f"enhance_cli.{folder}.")}
        others -= {n for n in others if n.split(".")[2] in SHARED.get(folder, set())}
        assert not others or path.name == "__init__.py", f"{path.name} imports {others}"


@pytest.mark.parametrize(
    "folder, catalogues",
    [("networks", [NETWORKS]), ("processes", [PROCESSES]), ("samplers", [SAMPLERS]), ("losses", [LOSSES, DISTANCES])],
)
def test_every_file_has_an_entry_and_every_entry_loads(folder, catalogues):
    files = {p.stem for p in (PACKAGE / folder).glob("*.py")} - {"__init__"} - SHARED.get(folder, set())
    entries = {member.split(":")[0] for c in catalogues for member in c.members.values()}
    assert files == entries
    for catalogue in catalogues:
        for name in catalogue:
            assert callable(catalogue[name])


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
