"""Windows in company: in order, with their own results, whatever else runs on the engine and whatever fails there."""

import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from enhance_cli.audio.levels.level import Meter
from enhance_cli.errors import EnhanceError
from enhance_cli.models.load import load_file
from enhance_cli.tasks import band_changes, denoise
from enhance_cli.tasks.engine import Engine, Order, engine_for, pad_window
from enhance_cli.tasks.windows import Window

PATIENCE = 300  # seconds, for a machine under load: what works ends at once


class Held:
    """Keep the threads of an engine busy until `free` is called: all windows then wait in its queue."""

    def __init__(self, engine, threads=1):
        self.engine, self.freed = engine, threading.Event()
        for _ in range(threads):
            engine._threads.submit(self.freed.wait, PATIENCE)

    def wait_for(self, windows):
        wait_until(lambda: len(self.engine._waiting) == windows)

    def free(self, windows):
        self.wait_for(windows)
        self.freed.set()


def side_by_side(file, names, meanwhile=lambda: None):
    """`file(name)` for every name, each in a thread of its own, and `meanwhile()` here. All end before this does."""
    lanes = [threading.Thread(target=file, args=(name,)) for name in names]
    for lane in lanes:
        lane.start()
    meanwhile()
    for lane in lanes:
        lane.join(PATIENCE)


def wait_until(true, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def orders(count, given, samples=4):
    return [Order(Window(np.full((1, samples), n, np.float32), n, 0, samples), given) for n in range(count)]


def sums(batch):
    return [order.window.audio + order.given for order in batch]


@pytest.mark.parametrize("threads, together", [(1, 1), (1, 8), (3, 1), (3, 4)])
def test_several_files_at_once_get_their_own_windows_in_order(threads, together):
    engine, found = Engine(sums, threads, together), {}

    def file(name):
        found[name] = [(w.start, float(r[0, 0])) for w, r in engine.map(orders(40, name, samples=4 + name % 2))]

    side_by_side(file, range(6))
    assert found == {name: [(n, n + name) for n in range(40)] for name in range(6)}


def test_what_waits_is_run_together_if_it_has_one_shape_and_never_more_than_allowed():
    sizes = []

    def run(batch):
        sizes.append([order.window.audio.shape for order in batch])
        return sums(batch)

    held = Held(engine := Engine(run, 1, together=4))
    side_by_side(lambda samples: list(engine.map(orders(4, 0, samples))), (4, 5, 4), lambda: held.free(12))
    assert sum(map(len, sizes)) == 12 and max(map(len, sizes)) == 4
    assert all(len(set(batch)) == 1 for batch in sizes)


def test_channels_count_as_windows_do():
    sizes = []

    def run(batch):
        sizes.append(len(batch))
        return [order.window.audio for order in batch]

    stereo = [Order(Window(np.zeros((2, 4), np.float32), n, 0, 4), None) for n in range(20)]
    held = Held(engine := Engine(run, 1, together=6))
    side_by_side(lambda _: list(engine.map(stereo)), [0], lambda: held.free(7))
    assert max(sizes) == 3


def test_a_window_that_fails_fails_alone():
    def run(batch):
        if any(order.given == "bad" for order in batch):
            raise EnhanceError("a window of the bad file", "leave it")
        return [order.window.audio for order in batch]

    held, ended = Held(engine := Engine(run, 1, together=8)), {}

    def file(name):
        try:
            ended[name] = len(list(engine.map(orders(6, name))))
        except EnhanceError as error:
            ended[name] = error.message

    side_by_side(file, ("good", "bad", "fine"), lambda: held.free(18))
    assert ended == {"good": 6, "bad": "a window of the bad file", "fine": 6}


def test_out_of_memory_frees_what_the_failed_batch_held_before_it_tries_again():
    activated, alive = [], []

    def run(batch):
        alive.extend(reference() is not None for reference in activated)
        activations = torch.zeros(1)
        activated.append(weakref.ref(activations))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("as a GPU says it")
        return sums(batch)

    held = Held(engine := Engine(run, 1, together=8))
    side_by_side(lambda name: list(engine.map(orders(4, name))), range(2), lambda: held.free(8))
    assert len(alive) > 10 and not any(alive)


def test_out_of_memory_halves_the_batch_and_goes_on():
    tried = []

    def run(batch):
        tried.append(len(batch))
        if len(batch) > 4:
            raise torch.OutOfMemoryError("as a GPU says it")
        return sums(batch)

    held, found = Held(engine := Engine(run, 1, together=8)), {}
    file = lambda name: found.update({name: [float(r[0, 0]) for _, r in engine.map(orders(9, name))]})
    side_by_side(file, range(4), lambda: held.free(4 * 9))
    assert found == {name: [n + name for n in range(9)] for name in range(4)}
    assert tried == [8] + [4] * 9, "what did not fit is not tried for every batch again"


def test_a_window_that_does_not_fit_by_itself_fails_with_a_sentence():
    def run(batch):
        raise torch.OutOfMemoryError("as a GPU says it")

    with pytest.raises(EnhanceError, match="not enough GPU memory for one window: use --device cpu"):
        list(Engine(run, 1, together=8).map(orders(3, 0)))


def test_out_of_memory_inside_the_network_costs_no_file_and_changes_no_result(tiny_model, monkeypatch):
    """The engine of a GPU around a real network on the CPU: results are those of single windows, up to rounding."""
    model = load_file(tiny_model, torch.device("cpu"))
    audio = np.random.default_rng(0).standard_normal((1, 64_000)).astype(np.float32) * 0.1
    options = denoise.DenoiseOptions(window_seconds=0.25)
    wanted = denoise.Denoiser(model, options).run(audio, 16000)
    forward, refused = model.network.forward, []

    def little_memory(x, *rest, **more):
        if len(x) > 2:
            refused.append(len(x))
            raise torch.OutOfMemoryError("as a GPU says it")
        return forward(x, *rest, **more)

    monkeypatch.setattr(model.network, "forward", little_memory)
    engines = []

    def engine_of_a_gpu(model, run, *_):
        def once_many_wait(batch):
            wait_until(lambda: refused or len(batch) > 2 or len(engines[0]._waiting) > 2)
            return run(batch)

        engines.append(Engine(once_many_wait, 2, together=8))
        return engines[0]

    monkeypatch.setattr(band_changes, "engine_for", engine_of_a_gpu)
    np.testing.assert_allclose(denoise.Denoiser(model, options).run(audio, 16000), wanted, atol=1e-6)
    assert refused


@pytest.mark.parametrize(
    "samples, length", [(1, 1), (900, 960), (960, 960), (961, 1024), (1025, 1152), (3999, 4000), (9000, 9000)]
)
def test_windows_are_filled_up_to_few_lengths_and_never_beyond_a_whole_one(samples, length):
    order = orders(1, 0, samples)[0]
    audio = pad_window(order, 4000).window.audio
    assert (
        audio.shape == (1, length)
        and not audio[:, samples:].any()
        and np.array_equal(audio[:, :samples], order.window.audio)
    )


def test_short_files_of_other_lengths_share_a_batch_and_their_company_changes_nothing(tiny_model, monkeypatch):
    """The engine of a GPU around a real network on the CPU."""
    model, noise = load_file(tiny_model, torch.device("cpu")), np.random.default_rng(0).standard_normal((12, 20_000))
    files = {n: 0.1 * noise[n : n + 1, : 15_400 + 61 * n].astype(np.float32) for n in range(12)}
    wanted = {n: denoise.Denoiser(model).run(audio, 16000) for n, audio in files.items()}
    monkeypatch.setattr(
        band_changes, "engine_for", lambda model, run, _, longest, *__: Engine(run, 2, together=8, longest=longest)
    )
    alone = {n: denoise.Denoiser(model).run(audio, 16000) for n, audio in files.items()}

    denoiser, found, free = denoise.Denoiser(model), {}, threading.Event()
    sizes, holds, run = [], [], denoiser.band_changes.engine._run

    def watched(batch):
        if batch[0].given is None:  # keeps a thread of the engine until all files wait
            holds.append(batch)
            free.wait(PATIENCE)
            return [order.window.audio for order in batch]
        sizes.append(len(batch))
        return run(batch)

    denoiser.band_changes.engine._run = watched
    blocks = [np.zeros((1, n), np.float32) for n in (200_001, 200_002)]
    held = [denoiser.band_changes.engine.map([Order(Window(block, 0, 0, 1), None)]) for block in blocks]
    holding = [threading.Thread(target=list, args=(windows,)) for windows in held]
    for thread in holding:
        thread.start()
    wait_until(lambda: len(holds) == 2)

    def file(n):
        level = Meter(16000, 1, loudness=False)
        level.push(files[n])
        found[n] = np.concatenate(list(denoiser.process(iter([files[n]]), 16000, 1, level)), axis=1)

    lanes = [threading.Thread(target=file, args=(n,)) for n in files]
    for lane in lanes:
        lane.start()
    wait_until(lambda: len(denoiser.band_changes.engine._waiting) == len(files))
    free.set()
    for thread in (*lanes, *holding):
        thread.join(PATIENCE)
    assert sorted(sizes) == [4, 8]
    for n, audio in files.items():
        assert found[n].shape == audio.shape
        np.testing.assert_allclose(found[n], alone[n], atol=1e-6)
        reach = model.network.receptive_field * model.frontend.hop + 1024  # of what lies behind the end of the file
        np.testing.assert_allclose(found[n][:, :-reach], wanted[n][:, :-reach], atol=1e-6)


def test_on_a_cpu_every_window_is_computed_by_itself(tiny_model):
    """Together they would be slower, and the bits of their results would depend on the company."""
    sizes = []
    run = lambda batch: sizes.append(len(batch)) or sums(batch)
    engine = engine_for(load_file(tiny_model, torch.device("cpu")), run, 8, 16, threads=2)
    side_by_side(lambda name: list(engine.map(orders(20, name))), range(4))
    assert sizes == [1] * 80


def test_on_a_gpu_a_batch_is_made_ready_while_another_is_computed():
    both = threading.Barrier(2)

    def run(batch):
        both.wait(PATIENCE)  # for the other thread: there are two, or this fails
        return sums(batch)

    engine = engine_for(SimpleNamespace(device=torch.device("cuda")), run, 1, longest=4)
    assert [w.start for w, _ in engine.map(orders(2, 0))] == [0, 1]


def test_no_more_is_read_ahead_than_keeps_the_engine_busy():
    """Constant memory, however long the file and however slow the device."""
    read = 0

    def counted():
        nonlocal read
        for order in orders(100, 0):
            read += 1
            yield order

    done = 0
    for _ in Engine(sums, 2, 3).map(counted()):
        assert read <= done + 2 * 3 + 3
        done += 1
    assert done == read == 100


def test_who_stops_early_leaves_the_engine_usable():
    engine = Engine(sums, 1, 2)
    abandoned = engine.map(orders(50, 0))
    next(abandoned)
    abandoned.close()
    assert [w.start for w, _ in engine.map(orders(5, 0))] == list(range(5))
