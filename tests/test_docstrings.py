"""Docstrings are plain: few free "what" clauses and semicolons. Ruff's D401 holds their first lines to the imperative."""

import ast
import re
from pathlib import Path

import enhance_cli

PACKAGE = Path(enhance_cli.__file__).parent
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings() -> dict[str, str]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                found[f"{path.relative_to(PACKAGE)}:{getattr(node, 'name', 'module')}"] = text
    return found


def test_docstrings_have_few_what_clauses_and_semicolons():
    found = docstrings()
    words = sum(len(re.findall(r"[A-Za-z']+", text)) for text in found.values())
    for pattern, most in ((r"\bwhat\b", 1), (";", 2)):
        where = [name for name, text in found.items() if re.search(pattern, text, re.IGNORECASE)]
        count = sum(len(re.findall(pattern, text, re.IGNORECASE)) for text in found.values())
        assert 1000 * count / words < most, f"{pattern}: {', '.join(where)}"
