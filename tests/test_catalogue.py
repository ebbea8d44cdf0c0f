"""A catalogue says what it holds without loading any of it, and refuses other names with the list of its own."""

import sys

import pytest

from enhance_cli.catalogue import Catalogue
from enhance_cli.errors import UsageError

SHAPES = Catalogue("shape", "xml.dom", {"tree": "pulldom:PullDOM", "gone": "nowhere:Gone"})


def test_asking_for_a_name_loads_nothing():
    sys.modules.pop("xml.dom.pulldom", None)
    assert "tree" in SHAPES and "gone" in SHAPES and "cube" not in SHAPES and list(SHAPES) == ["tree", "gone"]
    assert "xml.dom.pulldom" not in sys.modules
    assert SHAPES["tree"].__name__ == "PullDOM"


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="unknown shape 'cube': choose from tree, gone"):
        SHAPES["cube"]
