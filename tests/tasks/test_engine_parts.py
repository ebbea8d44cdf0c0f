"""What an engine promises about threads, memory and turns, with runs that are held until everybody is where they should be."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from enhance_cli.tasks import engine as module
from enhance_cli.tasks.engine import MAX_SPARE_LANES, Engine, Order, engine_for
from enhance_cli.tasks.windows import Window
from tests.tasks.test_engine import PATIENCE, Held, orders, sums, wait_until

SMALL, LARGE = 1_000, 20_000_000  # parameters


def model(parameters: int, device: str = "cpu") -> SimpleNamespace:
    sizes = [SimpleNamespace(numel=lambda: parameters - 10), SimpleNamespace(numel=lambda: 10)]
    return SimpleNamespace(device=torch.device(device), network=SimpleNamespace(parameters=lambda: sizes))


def test_one_long_file_keeps_every_thread_busy():
    together = threading.Barrier(3)

    def run(batch):
        together.wait(PATIENCE)  # for the other two threads: fewer windows at a time would never come
        return sums(batch)

    assert [w.start for w, _ in Engine(run, 3, 1).map(orders(6, 0))] == list(range(6))


@pytest.mark.parametrize("threads, together, lanes", [(1, 1, 3), (2, 8, 10), (2, 64, 17), (16, 1, 20), (64, 2, 79)])
def test_as_many_files_are_open_as_fill_the_batches_and_the_waits_for_disks_and_no_more(threads, together, lanes):
    assert MAX_SPARE_LANES == 15 and Engine(sums, threads, together).lanes == lanes


@pytest.mark.parametrize(
    "parameters, threads, torch_threads, lanes",
    [(SMALL, 1, [1], 3), (LARGE, 1, [1], 3), (SMALL, 2, [1], 4), (LARGE, 2, [2], 3)],
)
def test_small_networks_have_a_thread_a_window_and_large_ones_all_threads_for_one(
    parameters, threads, torch_threads, lanes, monkeypatch
):
    """Otherwise every window would start as many threads as there are cores, and they would wait for one another."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    asked = []
    monkeypatch.setattr(module, "set_threads", asked.append)
    engine = engine_for(model(parameters), sums, 8, 16, threads)
    assert [w.start for w, _ in engine.map(orders(4, 0))] == list(range(4))
    assert sorted(set(asked)) == torch_threads and engine.lanes == lanes


def test_a_graph_has_as_many_windows_at_a_time_as_it_says_for_the_threads_that_are_asked_for():
    graph = SimpleNamespace(device=torch.device("cpu"), windows_at_once=lambda threads: 10 * threads)
    assert engine_for(graph, sums, 8, 16, threads=2).lanes == 20 + 5


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_of_any_make_gets_batches_of_windows_that_are_filled_up(device):
    sizes = []

    def run(batch):
        sizes.append((len(batch), batch[0].window.audio.shape))
        return sums(batch)

    held = Held(engine := engine_for(model(SMALL, device), run, 3, longest=2000), threads=2)
    files = [threading.Thread(target=list, args=(engine.map(orders(1, 0, 1900 + n)),)) for n in range(6)]
    for file in files:
        file.start()
    held.free(6)
    for file in files:
        file.join(PATIENCE)
    assert {shape for _, shape in sizes} == {(1, 1920)} and max(count for count, _ in sizes) == 3


def test_windows_are_computed_in_the_order_in_which_they_came_whatever_their_shapes():
    """A file whose windows have another shape than the crowd's is not overtaken for ever."""
    done = []

    def run(batch):
        done.append([order.given for order in batch])
        return sums(batch)

    held, files = Held(engine := Engine(run, 1, together=2)), []
    for name, samples in enumerate((9, 4, 5, 6, 4, 5)):
        files.append(threading.Thread(target=list, args=(engine.map(orders(1, name, samples)),)))
        files[-1].start()
        held.wait_for(len(files))
    held.freed.set()
    for file in files:
        file.join(PATIENCE)
    assert done == [[0], [1, 4], [2, 5], [3]]


def test_windows_of_a_file_that_was_given_up_are_not_computed():
    """After an error or Ctrl-C in one file nobody waits for its windows that are still in the queue."""
    computed, go = [], threading.Event()

    def run(batch):
        computed.extend(order.window.start for order in batch)
        if batch[0].window.start:
            go.wait(PATIENCE)
        return sums(batch)

    shapes = {0: 9, 1: 4, 2: 5, 3: 4, 4: 5}  # 0 alone, then 1 and 3, which hold the thread, while 2 and 4 wait
    given = [Order(Window(np.zeros((1, size), np.float32), n, 0, size), 0.0) for n, size in shapes.items()]
    engine = Engine(run, 1, together=4)
    abandoned = engine.map(given)
    next(abandoned)
    wait_until(lambda: 1 in computed)
    abandoned.close()
    go.set()
    assert len(list(engine.map(orders(2, 0.0)))) == 2
    assert {2, 4}.isdisjoint(computed)


def test_what_is_called_runs_in_a_thread_of_the_engine_whose_torch_threads_are_limited():
    engine = Engine(sums, 1, 1)
    assert engine.call(lambda word: (word, threading.current_thread().name.split("_")[0]), "x") == ("x", "windows")


def test_the_memory_of_a_batch_that_did_not_fit_is_given_back_to_the_gpu(monkeypatch):
    released = []
    monkeypatch.setattr(module, "release_memory", lambda: released.append(True))

    def run(batch):
        if len(batch) > 1:
            raise torch.OutOfMemoryError("as a GPU says it")
        return sums(batch)

    held = Held(engine := Engine(run, 1, together=4))
    files = [threading.Thread(target=list, args=(engine.map(orders(1, n)),)) for n in range(4)]
    for file in files:
        file.start()
    held.free(4)
    for file in files:
        file.join(PATIENCE)
    assert released


def test_half_of_a_batch_of_stereo_that_did_not_fit_is_as_many_windows():
    """A batch counts channels: with half the windows of the first one in mind, every later one would have a single window."""
    sizes = []

    def run(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("as a GPU says it")
        sizes.append(len(batch))
        return [order.window.audio for order in batch]

    held = Held(engine := Engine(run, 1, together=8))
    stereo = Order(Window(np.zeros((2, 4), np.float32), 0, 0, 4), None)
    files = [threading.Thread(target=list, args=(engine.map([stereo]),)) for _ in range(13)]
    for file in files:
        file.start()
    held.free(13)
    for file in files:
        file.join(PATIENCE)
    assert sizes == [2, 2, 2, 2, 2, 2, 1]
