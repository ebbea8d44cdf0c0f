"""Fixtures for the audio tests: machines where PyAV, or every form of FFmpeg, is missing."""

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def no_pyav(monkeypatch):
    """PyAV is not installed."""
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.fixture
def no_ffmpeg(monkeypatch, no_pyav, tmp_path_factory):
    """Neither PyAV nor an ffmpeg program is there."""
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty_path")))


@pytest.fixture
def only_ffmpeg(monkeypatch, tmp_path_factory):
    """A function that takes PyAV away, so that only an ffmpeg program is left."""
    program = tmp_path_factory.mktemp("path") / "ffmpeg"
    script = Path(__file__).with_name("ffmpeg_stand_in.py").read_text(encoding="utf-8")
    program.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    program.chmod(0o755)

    def take_away():
        monkeypatch.setenv("PATH", str(program.parent) + os.pathsep + os.environ["PATH"])
        monkeypatch.setitem(sys.modules, "av", None)

    return take_away
