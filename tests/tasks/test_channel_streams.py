"""Streams of channels: their results in order, in blocks of one size, while the next block is made."""

import threading

import numpy as np
import pytest

from enhance_cli.tasks.channel_streams import resized, run_streams
from enhance_cli.tasks.engine import Engine

PATIENCE = 20


class Doubling:
    """In place of a model: each stream gives back twice its rows, five samples late."""

    block = 10

    def __init__(self):
        self.opened = []

    def open(self):
        self.opened.append(Stream())
        return self.opened[-1]


class Stream:
    def __init__(self):
        self.sizes, self.held, self.late = [], np.zeros((1, 0)), 5

    def push(self, rows, last=False):
        self.sizes.append(rows.shape)
        self.held = np.concatenate([self.held, 2 * rows.sum(axis=0, keepdims=True)], axis=1)
        ready = self.held if last else self.held[:, : max(self.held.shape[1] - self.late, 0)]
        self.held = self.held[:, ready.shape[1] :]
        return ready


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("sizes", [[37], [3] * 12 + [1], [0, 25, 0, 12], [10, 10], [4]])
def test_results_come_in_order_for_each_channel(threads, sizes):
    samples, engine, model = sum(sizes), Engine(None, threads), Doubling()
    noisy, first = np.random.default_rng(0).standard_normal((2, 3, samples))
    rows = np.concatenate([noisy, first])
    blocks = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
    found = np.concatenate(list(run_streams(engine, model, 3, blocks)), axis=1)
    assert np.array_equal(found, 2 * (noisy + first))
    assert {shape for stream in model.opened for shape in stream.sizes[:-1]} <= {(2, 10)}


def test_nothing_comes_of_nothing():
    assert list(run_streams(Engine(None), Doubling(), 2, [])) == []
    assert list(resized([np.zeros((2, 0))], 10)) == []


def test_the_next_block_is_made_while_streams_compute():
    made = threading.Event()

    class Patient(Stream):
        def push(self, rows, last=False):
            assert last or made.wait(PATIENCE), "nobody made the next block meanwhile"
            return super().push(rows, last)

    class Model(Doubling):
        def open(self):
            return Patient()

    def blocks():
        yield np.ones((1, 11))  # of which one stays
        made.set()
        yield np.ones((1, 5))

    assert sum(x.shape[1] for x in run_streams(Engine(None, 2), Model(), 1, blocks())) == 16


def test_the_error_of_a_stream_is_that_of_the_recording():
    class Failing(Stream):
        def push(self, rows, last=False):
            raise OSError("no memory")

    class Model(Doubling):
        def open(self):
            return Failing()

    with pytest.raises(OSError, match="no memory"):
        list(run_streams(Engine(None), Model(), 1, [np.ones((1, 25))]))
