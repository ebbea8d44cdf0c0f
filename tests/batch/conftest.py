"""What the tests of this folder share."""

import contextlib
import os

import pytest

NOBODY = 65534


@pytest.fixture
def unprivileged(tmp_path):
    """A context in which permission bits bind us even when the tests run as root. Use relative paths inside
    it.
    """

    @contextlib.contextmanager
    def context():
        if not hasattr(os, "geteuid") or os.geteuid() != 0:
            yield
            return
        tmp_path.chmod(0o777)
        try:
            os.setresuid(NOBODY, NOBODY, 0)
        except OSError:
            pytest.skip("this container has no other user than root")
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return context
