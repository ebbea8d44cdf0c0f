"""`--engine ray` on a real cluster of two nodes: the same bytes and records as on one machine, whatever dies."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from tests import audio_zoo as zoo

pytestmark = pytest.mark.cluster

pytest.importorskip("ray.data")
ROOT = Path(__file__).parents[3]
PATIENCE = 400  # seconds; a cluster on a busy machine takes long to start its workers


class TwoNodes:
    """A head, which lives as long as the tests, and a second node that can be killed; one worker fits on each."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster()
        self._add()
        self.second = self._add()
        self.address = self.cluster.address

    def _add(self):
        # Ports chosen here, because a node waits only 15 seconds for its agents to tell theirs.
        names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
        sockets = [socket.socket() for _ in names]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        ports = {name: free.getsockname()[1] for name, free in zip(names, sockets)}
        for free in sockets:
            free.close()
        return self.cluster.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False, **ports)

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What nodes and drivers have in common: where our package is, and an S3 server if it can be had."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        patch.setenv("RAY_raylet_start_wait_time_s", "400")
        patch.setenv("RAY_agent_register_timeout_ms", "400000")
        try:
            import flask  # noqa: F401
            import moto  # noqa: F401
            import s3fs  # noqa: F401
        except ImportError:
            yield {}
            return
        from tests.object_storage import s3_server

        with s3_server() as variables:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield variables


@pytest.fixture(scope="module")
def nodes(environment):
    both = TwoNodes()
    yield both
    both.cluster.shutdown()


def records(text: str) -> dict[str, dict]:
    """By input, of which each must have one."""
    found = [json.loads(line) for line in text.splitlines()]
    assert len({record["input"] for record in found}) == len(found)
    return {record["input"]: record for record in found}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def parts(folder: Path) -> list[str]:
    return [name for name in listing(folder) if name.endswith(".part")]


def test_a_file_that_kills_its_worker_fails_and_takes_no_other_along(nodes, environment, start_python, tmp_path):
    """Also objects in storage: fetched and put by the workers."""
    for name, rate in (("a", 8000), ("poison", 11025), ("b", 8000)):
        zoo.save(tmp_path / f"{name}.wav", zoo.noise(1, 4000), rate)
    words, out = ["a.wav", "poison.wav", "b.wav", "gone.wav"], "out"
    if environment:
        import fsspec

        system = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
        system.mkdir("take")
        for word in words[:3]:
            system.put_file(str(tmp_path / word), f"take/in/{word}")
        words, out = [f"s3://take/in/{word}" for word in words], "s3://take/out"
    with start_python(
        "-m", "tests.batch.backends.ray_driver", nodes.address, "copy", *words, "-o", out, stdout=-1
    ) as process:
        found = records(process.communicate(timeout=PATIENCE)[0].decode())
    assert process.returncode == 1
    assert [found[word]["status"] for word in words] == ["done", "failed", "done", "failed"]
    assert "the worker died each time" in found[words[1]]["reason"]
    assert found[words[3]]["reason"].startswith(f"{words[3]}: ") and found[words[0]]["device"] == "cpu"
    if environment:
        assert system.find("take/out") == ["take/out/a.wav", "take/out/b.wav"]
        assert system.cat_file("take/out/a.wav") == (tmp_path / "a.wav").read_bytes()
    else:
        assert listing(tmp_path / "out") == ["a.wav", "b.wav"]


def test_a_model_that_workers_refuse_ends_the_run_with_its_own_error(nodes, start_python, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(1, 800))
    words = ["-m", "tests.batch.backends.ray_driver", nodes.address, "refuse", "a.wav", "-o", "out"]
    with start_python(*words, stdout=-1, stderr=-1) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and not stdout and b"ModelError: copier: this model is refused" in stderr


def test_a_node_is_killed_and_nothing_is_lost(nodes, start_python, enhance, identity_model, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(10):
        zoo.save(tmp_path / "in" / f"{number}.wav", zoo.noise(1, 16000 * 12, seed=number))
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF")
    options = ["-m", identity_model, "--json"]  # which needs no torch, as those below
    assert enhance("denoise", "in", "-o", "local", *options).code == 1
    ray = ["--engine", "ray", "--ray-address", nodes.address, "--report", "r.jsonl"]
    out = tmp_path / "out"
    (out).mkdir()
    (out / "9.wav").write_bytes((tmp_path / "local" / "9.wav").read_bytes())
    command = ["-m", "enhance_cli", "denoise", "in", "-o", "out", *options, *ray]

    def at_work_on_both_nodes():
        """A run that has two files in hand, one on each node; where one was done before the other had begun, another run."""
        there = listing(out)
        for _ in range(5):
            process, deadline = start_python(*command, stdout=-1, stderr=-1), time.monotonic() + PATIENCE
            while process.poll() is None and len(parts(out)) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            if process.poll() is None:
                return process
            process.communicate()
            for name in set(listing(out)) - set(there):
                (out / name).unlink()
            (tmp_path / "r.jsonl").unlink()
        raise AssertionError("the nodes were never at work at one time")

    with at_work_on_both_nodes() as process:  # Ctrl-C
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and not parts(out), stderr.decode()
    before = records(stdout.decode())
    assert {r["input"] for r in before.values() if r["status"] == "done"} <= {f"in/{name}" for name in listing(out)}
    for name in listing(out)[:-1]:
        (out / name).unlink()

    (tmp_path / "r.jsonl").unlink()
    with at_work_on_both_nodes() as process:
        nodes.kill_second()
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, stderr.decode()
    found = records(stdout.decode())
    assert found == records((tmp_path / "r.jsonl").read_text()) and len(found) == 11
    assert [name for name, record in found.items() if record["status"] == "failed"] == ["in/broken.wav"]
    assert found["in/9.wav"]["status"] == "skipped"
    assert listing(out) == listing(tmp_path / "local") == [f"{number}.wav" for number in range(10)]
    for name in listing(out):
        assert (out / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    errors = [line for line in stderr.decode().splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and errors[0].startswith("error: in/broken.wav")


def test_all_stems_of_a_mix_are_written_by_one_worker(nodes, run_enhance, enhance, tmp_path):
    zoo.save(tmp_path / "song.wav", zoo.noise(2, 8000))
    options = ["song.wav", "-m", "stems-s", "--residual", "--threads", 1]
    ray = ["--engine", "ray", "--ray-address", nodes.address, "--workers", 1]
    assert enhance("extract-stem", *options, "-o", "here").code == 0
    result = run_enhance("extract-stem", *options, "-o", "there", *ray)
    assert result.code == 0 and len(result.lines) == 5, result.stderr
    for name in listing(tmp_path / "here"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_embeddings_are_repaired_by_workers(nodes, run_enhance, enhance, tmp_path):
    rows = np.random.default_rng(0).standard_normal((3, 256)).astype(np.float32)
    np.savez(tmp_path / "x.npz", ids=np.array(["a", "b", "c"]), embeddings=rows)
    options = ["-m", "seed-ge2e", "--report", "r.jsonl"]
    ray = ["--engine", "ray", "--ray-address", nodes.address]
    assert enhance("enhance-embedding", "x.npz", "-o", "here.npz", *options).code == 0
    result = run_enhance("enhance-embedding", "x.npz", "-o", "there.npz", *options, *ray)
    assert result.code == 0 and result.lines == ["there.npz"], result.stderr
    here, there = np.load(tmp_path / "here.npz"), np.load(tmp_path / "there.npz")
    assert all(np.array_equal(here[name], there[name]) for name in here.files)
    first, second = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert {name for name in first if first[name] != second[name]} - {"seconds_work", "ended"} == {"output", "settings"}
    assert set(second["settings"]) - set(first["settings"]) == {"engine", "ray-address"}


@pytest.mark.parametrize(
    "words, said",
    [
        (["-", "-o", "-"], "standard input"),
        (["a.wav", "--ray-address", "ray://127.0.0.1:10001"], "Ray client"),
        (["a.wav", "--device", "cuda:1"], "--device cuda:1"),
    ],
)
def test_wrong_use_is_said_in_one_line(enhance, identity_model, tmp_path, words, said):
    zoo.save(tmp_path / "a.wav", zoo.noise(1, 800))
    result = enhance("denoise", *words, "-m", identity_model, "--engine", "ray")
    assert result.code == 2 and len(result.errors) == 1 and said in result.errors[0]
