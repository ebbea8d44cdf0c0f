"""Windows in company: in order, with their own results, whatever else runs on the engine and whatever fails there."""

import threading
import time

import numpy as np
import pytest

from enhance_cli.errors import EnhanceError
from enhance_cli.tasks.engine import Engine, Order
from enhance_cli.tasks.windows import Window


def orders(count, given, samples=4):
    return [Order(Window(np.full((1, samples), n, np.float32), n, 0, samples), given) for n in range(count)]


def sums(batch):
    return [order.window.audio + order.given for order in batch]


@pytest.mark.parametrize("threads, together", [(1, 1), (1, 8), (3, 1), (3, 4)])
def test_several_files_at_once_get_their_own_windows_in_order(threads, together):
    engine, found = Engine(sums, threads, together), {}

    def file(name):
        found[name] = [(w.start, float(r[0, 0])) for w, r in engine.map(orders(40, name, samples=4 + name % 2))]

    lanes = [threading.Thread(target=file, args=(name,)) for name in range(6)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join(20)
    assert found == {name: [(n, n + name) for n in range(40)] for name in range(6)}


def test_what_waits_is_run_together_if_it_has_one_shape_and_never_more_than_allowed():
    sizes, free = [], threading.Event()

    def run(batch):
        free.wait(20)
        sizes.append([order.window.audio.shape for order in batch])
        return sums(batch)

    engine = Engine(run, 1, together=4)
    lanes = [
        threading.Thread(target=lambda s=samples: list(engine.map(orders(4, 0, s)))) for samples in (4, 5, 4)
    ]  # fmt: skip
    for lane in lanes:
        lane.start()
    time.sleep(0.2)
    free.set()
    for lane in lanes:
        lane.join(20)
    assert sum(map(len, sizes)) == 12 and max(map(len, sizes)) == 4
    assert all(len(set(batch)) == 1 for batch in sizes)


def test_channels_count_as_windows_do():
    sizes = []

    def run(batch):
        time.sleep(0.01)
        sizes.append(len(batch))
        return [order.window.audio for order in batch]

    stereo = [Order(Window(np.zeros((2, 4), np.float32), n, 0, 4), None) for n in range(20)]
    list(Engine(run, 1, together=6).map(stereo))
    assert max(sizes) == 3


def test_a_window_that_fails_fails_alone():
    free = threading.Event()

    def run(batch):
        free.wait(20)
        if any(order.given == "bad" for order in batch):
            raise EnhanceError("a window of the bad file", "leave it")
        return [order.window.audio for order in batch]

    engine, ended = Engine(run, 1, together=8), {}

    def file(name):
        try:
            ended[name] = len(list(engine.map(orders(6, name))))
        except EnhanceError as error:
            ended[name] = error.message

    lanes = [threading.Thread(target=file, args=(name,)) for name in ("good", "bad", "fine")]
    for lane in lanes:
        lane.start()
    time.sleep(0.1)
    free.set()
    for lane in lanes:
        lane.join(20)
    assert ended == {"good": 6, "bad": "a window of the bad file", "fine": 6}


def test_no_more_is_read_ahead_than_keeps_the_engine_busy():
    """Constant memory, however long the file and however slow the device."""
    read = 0

    def counted():
        nonlocal read
        for order in orders(100, 0):
            read += 1
            yield order

    for done, _ in enumerate(Engine(sums, 2, 3).map(counted())):
        assert read <= done + 2 * 3 + 3


def test_who_stops_early_leaves_the_engine_usable():
    engine = Engine(sums, 1, 2)
    abandoned = engine.map(orders(50, 0))
    next(abandoned)
    abandoned.close()
    assert [w.start for w, _ in engine.map(orders(5, 0))] == list(range(5))
