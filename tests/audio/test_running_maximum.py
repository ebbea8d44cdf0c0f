"""The largest of values in a row is that of SciPy."""

import numpy as np
import pytest
from scipy.ndimage import maximum_filter1d

from enhance_cli.audio.running_maximum import largest_around, running_maximum

VALUES = np.random.default_rng(0).standard_normal(500)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 200, 499])
def test_it_is_the_filter_of_scipy(size):
    np.testing.assert_array_equal(largest_around(VALUES, size), maximum_filter1d(VALUES, size, mode="constant"))
    whole = running_maximum(VALUES, size)
    assert whole.size == 501 - size and whole[0] == VALUES[:size].max() and whole[-1] == VALUES[-size:].max()
