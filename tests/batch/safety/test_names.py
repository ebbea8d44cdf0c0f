"""Names that Windows does not store are refused before any work, there and only there."""

from pathlib import Path

import pytest

from enhance_cli.batch import output_checks, outputs
from enhance_cli.batch.inputs import expand
from enhance_cli.batch.safety.names import refused_by_windows
from enhance_cli.errors import UsageError


@pytest.mark.parametrize(
    "name, reason",
    [
        ("con.wav", "device"), ("NUL", "device"), ("aux.backup.flac", "device"), ("Com1.wav", "device"),
        ("lpt² .wav", "device"), ("talk.", "dot or a space"), ("talk ", "dot or a space"), ("12:30.wav", "holds :"),
        ("what?.wav", "holds ?"), ("a\tb.wav", "control"),
    ],
)  # fmt: skip
def test_a_name_that_windows_refuses_is_told_with_the_reason(name, reason):
    assert reason in refused_by_windows(name)


@pytest.mark.parametrize(
    "name", ["console.wav", "talk.wav", ".hidden", "com10.wav", "a.con", "übung 1.flac", "null.wav"]
)
def test_a_name_that_only_looks_like_one_is_allowed(name):
    assert refused_by_windows(name) == ""


def test_outputs_with_such_names_are_refused_on_windows_and_written_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("12:30.wav").touch()
    Path("in:side").mkdir()
    Path("in:side/a.wav").touch()
    plans = [(["12:30.wav"], "out", "12:30.wav"), (["in:side"], "out/x:y", "x:y")]
    for words, output, _ in plans:
        assert outputs.plan(expand(words), output)
    monkeypatch.setattr(output_checks, "ON_WINDOWS", True)
    for words, output, name in plans:
        with pytest.raises(UsageError, match=f"{name}: Windows cannot store this name, it holds :"):
            outputs.plan(expand(words), output)
