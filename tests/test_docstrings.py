"""Docstrings are plain: an imperative first, no free "what" clauses, few semicolons. Ruff's D401 knows verbs, this the rest."""

import ast
import re
from pathlib import Path

import enhance_cli

PACKAGE = Path(enhance_cli.__file__).parent
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
VERBS = re.compile("Answer|Apply|Bring|Compress|Embed|Enter|Feed|Filter|Lower|Need|Offer|Pass|Process|Render|Suppress")
OTHER_FORMS = re.compile(r"\w+(s|ing|ed|er|ion|ly)")
OTHER_WORDS = re.compile(
    "A|All|An|And|As|At|By|Each|Every|For|From|How|If|In|It|No|Not|Of|On|One|The|This|To|When|With"
)


def docstrings() -> dict[str, str]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                found[f"{path.relative_to(PACKAGE)}:{getattr(node, 'name', 'module')}:{len(found)}"] = text
    return found


def test_no_line_has_a_free_what_clause():
    """A noun is read once, "what ..." twice: "the rest", not "what is left". Comments and messages are lines, too."""
    files = {path: path.read_text(encoding="utf-8").splitlines() for path in PACKAGE.rglob("*.py")}
    assert not [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path, lines in files.items()
        for number, line in enumerate(lines, 1)
        if re.search(r"\bwhat\b", line, re.IGNORECASE)
    ]


def test_docstrings_have_few_semicolons():
    found = docstrings()
    words = sum(len(re.findall(r"[A-Za-z']+", text)) for text in found.values())
    count = sum(text.count(";") for text in found.values())
    assert 1000 * count / words < 0.3, ", ".join(name for name, text in found.items() if ";" in text)


def test_docstrings_begin_with_a_verb_in_the_imperative():
    """Return, Write, Pad: not "Returns", "Padding", "The padded", nor a name of something."""
    first = {name: text.split()[0].rstrip(",:") for name, text in docstrings().items()}
    ours = {name: word for name, word in first.items() if not VERBS.fullmatch(word)}
    wrong = {name: word for name, word in ours.items() if OTHER_WORDS.fullmatch(word) or OTHER_FORMS.fullmatch(word)}
    assert not wrong
    assert all(re.fullmatch("[A-Z][a-z]+", word) for word in first.values())
