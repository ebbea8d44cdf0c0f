"""One ONNX Runtime session that all threads share, or one for each of them: time and memory of `denoise-48k`.

    python tests/benchmarks/sessions.py --threads 2 --chunks 30

Every way runs in a process of its own, one after the other, `--rounds` times in turns. Each thread computes its share of the
chunks, the first 180 frames of a stream, which are 2.9 s. Seconds are those of the processor.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

WAYS = {
    "one shared": {},
    "one each": {"sessions": "each"},
    "one shared, in the default order": {"order": "DEFAULT"},
    "one shared, with memory patterns": {"enable_mem_pattern": True},
    "one shared, without the arena": {"enable_cpu_mem_arena": False},
    "one shared, without prepacked weights": {"prepacking": False},
    "one shared, without all optimizations": {"level": "ORT_ENABLE_EXTENDED"},
}


def run(way: str, threads: int, chunks: int) -> dict[str, float]:
    """Return the seconds, CPU seconds and peak of memory in MB of this process for so many chunks."""
    import numpy as np
    import onnxruntime

    from enhance_cli.models import registry
    from enhance_cli.models.graphs import packaged
    from enhance_cli.models.graphs.graph import FACTS_KEY, read_weights
    from enhance_cli.models.spec import read_spec

    settings = dict(WAYS[way])
    entry = registry.find("denoise-48k", "denoise")
    spec = read_spec(entry.path)
    weights = read_weights(entry.path)
    held = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in weights.items()}

    def session() -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_order = getattr(onnxruntime.ExecutionOrder, settings.get("order", "PRIORITY_BASED"))
        options.enable_mem_pattern = settings.get("enable_mem_pattern", False)
        options.enable_cpu_mem_arena = settings.get("enable_cpu_mem_arena", True)
        options.add_session_config_entry("session.disable_prepacking", str(int(not settings.get("prepacking", True))))
        level = settings.get("level", "ORT_ENABLE_ALL")
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.add_external_initializers(list(held), list(held.values()))
        graph = packaged.graph_path(spec, packaged.graph_names(spec)[0]).read_bytes()
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    shared = [session()] * threads if settings.get("sessions") != "each" else [session() for _ in range(threads)]
    facts = json.loads(shared[0].get_modelmeta().custom_metadata_map[FACTS_KEY])
    x = np.random.default_rng(0).standard_normal((1, 2, 180, 257)).astype(np.float32)
    inputs = {"x": x, "y": x, "t": np.ones(1, np.float32), "behind": np.zeros(facts["behind"], np.float32)[:0]}
    inputs |= {f"state.{n}": np.zeros(shape, np.float32) for n, shape in enumerate(facts["state"])}
    start, cpu = time.perf_counter(), time.process_time()

    def work(number: int) -> None:
        for _ in range(chunks // threads):
            shared[number].run(None, inputs)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM")).split()[1]
    return {**found, "megabytes": int(peak) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=30, help="chunks of one process")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="run this way alone, in this process")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(run(options.way, options.threads, options.chunks)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            words = [__file__, "--way", way, "--threads", str(options.threads), "--chunks", str(options.chunks)]
            done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True)
            found[way].append(json.loads(done.stdout))
    print("| sessions | CPU s a chunk | peak MB |\n|---|---|---|")
    for way, runs in found.items():
        cpu, memory = (median(run[key] for run in runs) for key in ("cpu_seconds", "megabytes"))
        print(f"| {way} | {cpu / options.chunks:.3f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
