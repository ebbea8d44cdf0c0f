"""How many stored embeddings a second `enhance enhance-embedding` repairs, by format, with a network of the published size.

    python tests/benchmarks/embedding_speed.py [--vectors 100000] [--dimension 192] [--threads 2] [--forms npy,npz] [--times 3]

Prints, for the repair alone and for whole files, vectors per second of wall-clock time and per second that one core was busy.
Of a whole file everything is counted that the command does with it: reading, checking, repairing, writing, and the wait until
the disk has it. Not counted are the start of Python and the loading of the model. The best of `--times` runs is shown: the
first one also waits for memory that the machine has not handed out yet.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from enhance_cli.batch.embeddings.file import save
from enhance_cli.models.load import Model
from enhance_cli.models.spec import Spec
from enhance_cli.networks import NETWORKS
from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline
from enhance_cli.tasks.repair import RepairOptions
from enhance_cli.vectors import Vectors, read


def speakers(dimension: int, steps: int, precision: str) -> EmbeddingPipeline:
    sizes = {"dimension": dimension}
    spec = Spec(
        "speed", "rdm_mlp", "ddpm", "enhance-embedding", sizes, frontend=None, normalise="unit-rms", max_steps=1000,
        samplers=("ddim",), default_time=50.0, extractor={"id": "speed", "dimension": dimension},
    )  # fmt: skip
    network = NETWORKS["rdm_mlp"](**sizes)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    model = Model(spec, network.eval().requires_grad_(False), torch.device("cpu"), precision)
    return EmbeddingPipeline(model, RepairOptions(steps=steps))


def timed(name: str, count: int, times: int, work) -> None:
    runs = []
    for _ in range(times):
        wall, busy = time.perf_counter(), time.process_time()
        work()
        runs.append((time.perf_counter() - wall, time.process_time() - busy))
    wall, busy = min(runs)
    print(f"{name:>12}  {count / wall:10,.0f} per s  {count / busy:10,.0f} per s and core", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=192)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--forms", default="npy,npz,safetensors,ark,scp,parquet,csv")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = np.random.default_rng(0).standard_normal((options.vectors, options.dimension)).astype(np.float32)
    ready = speakers(options.dimension, options.steps, options.precision)
    ready.repair(rows[:2048])
    timed("repair", len(rows), options.times, lambda: ready.repair(rows))
    ids = [f"speaker-{i % 100}/utterance-{i}" for i in range(len(rows))]
    with tempfile.TemporaryDirectory() as folder:
        for form in options.forms.split(","):
            path = Path(folder, f"x.{form}")
            save(path, Vectors(ids, rows))

            def whole(path=path):
                stored = read(path)
                repaired, _ = ready.repair(stored.rows, stored.extractor, str(path))
                save(path.with_stem("out"), stored.replaced(repaired))

            timed(form, len(rows), options.times, whole)


if __name__ == "__main__":
    main()
