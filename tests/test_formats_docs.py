"""docs/formats.md says what a run finds today: every format is written and read back."""

import runpy
from pathlib import Path

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "formats_docs.py"))


def test_the_page_is_up_to_date():
    assert TOOL["PAGE"].read_text(encoding="utf-8") == TOOL["page"](), "run `make docs`"
