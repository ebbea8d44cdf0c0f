"""Memory that is free goes back to the system."""

import sys

import pytest

# Every second piece is freed, so that the free memory lies between pieces that stay, as after opening a network.
FREED = """
from pathlib import Path
from enhance_cli.batch import heap

def megabytes():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

heap.share()
pieces = [bytearray(b"1" * 60_000) for _ in range(1000)]
del pieces[::2]
before = megabytes()
heap.release()
print(before - megabytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another heap, which is left alone")
def test_free_memory_goes_back_to_the_system(run_python):
    result = run_python("-c", FREED)
    assert result.code == 0, result.stderr
    assert float(result.stdout) > 20  # of 30 MB
