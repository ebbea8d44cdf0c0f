"""The documents: links lead somewhere, code runs, and the licences of all shipped weights are stated."""

import re
from pathlib import Path

import pytest

import enhance_cli
from enhance_cli.models import registry
from enhance_cli.models.spec import read_spec

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
CODE = re.compile(r"```.*?```", re.DOTALL)


def links(path: Path) -> list[str]:
    return LINK.findall(CODE.sub("", path.read_text()))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(path):
    missing = [link for link in links(path) if not (path.parent / link).exists()]
    assert not missing


def test_the_readme_is_short_and_names_every_page():
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n") <= 140
    named = {(ROOT / link).resolve() for link in links(ROOT / "README.md")}
    assert {path.resolve() for path in DOCUMENTS} - named == {(ROOT / "README.md").resolve()}


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.name)
def test_the_licence_and_the_data_of_shipped_weights_are_stated(entry):
    plain = lambda text: " ".join(text.split())
    sections = re.split(r"\n\n(?=[\w-]+\n    weights)", (ROOT / "LICENSE_weights").read_text())
    section = next((plain(s) for s in sections if s.startswith(f"{entry.name}\n")), "")
    spec = read_spec(entry.path)
    assert f"weights {spec.licence}" in section
    assert plain(spec.training.get("licences", "")) in section


def test_the_list_of_models_tells_the_speeds_that_were_measured():
    text = (ROOT / "docs" / "models.md").read_text()
    measured = dict(re.findall(r"^\| `([\w-]+)` \|.*?\| (quick|fair|slow|GPU) \|", text, re.MULTILINE))
    listed = {entry.name: entry.cpu for entry in [*registry.entries(), *registry.published()]}
    assert len(measured) > 25 and measured == {name: listed[name] for name in measured}


def test_the_python_of_the_training_page_runs():
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "training.md").read_text(), re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    assert names["loss"].isfinite() and all(p.grad is not None for p in names["network"].head.parameters())


def test_the_version_is_the_newest_of_the_changes():
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == enhance_cli.__version__


def test_the_image_is_built_from_files_that_are_there():
    """A build needs a Docker daemon; this holds at least what the build copies and installs."""
    text = (ROOT / "Dockerfile").read_text()
    sources = [name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert sources and not [name for name in sources if not (ROOT / name).exists()]
    optional = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    extras = [extra for names in re.findall(r"\.\[([\w,]+)\]", text) for extra in names.split(",")]
    assert not [extra for extra in extras if not re.search(rf"^{extra} = \[", optional, re.MULTILINE)]
