"""Metrics are found by name, and a missing package says how to get it."""

import sys

import pytest

from enhance_cli import metrics
from enhance_cli.errors import EnhanceError, UsageError


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="choose from pesq, estoi, si_sdr, hf_si_sdr, hf_lsd, dnsmos"):
        metrics.load("snr")


@pytest.mark.parametrize(
    ("name", "package"),
    [("pesq", "pesq"), ("estoi", "pystoi"), ("dnsmos", "onnxruntime"), ("dnsmos", "speechmos")],
)
def test_missing_package_names_the_extra_to_install(monkeypatch, name, package):
    monkeypatch.delitem(sys.modules, f"enhance_cli.metrics.{name}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # Python's own way to say: not importable
    with pytest.raises(EnhanceError, match=f"{package}.*pip install 'enhance-cli\\[metrics\\]'"):
        metrics.load(name)
