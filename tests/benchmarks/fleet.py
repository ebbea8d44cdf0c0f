"""What a million hours of audio take on a thousand GPUs: bottlenecks, cost, and how large a shard should be.

    python tests/benchmarks/fleet.py [--hours 1e6] [--gpus 1000] ...

A calculation for the bottlenecks and a simulation of the shards: files of many durations are dealt into shards, and GPUs, some
of them slow, take the next shard when they have ended one. What a core needs per hour of audio and per file comes from
pipeline.py, run on one's own machine (defaults: those of a 2-core virtual machine); what was not measured is an assumption and
is marked so in the output. Start-up is what every shard costs before its first file.
"""

import argparse
import heapq

import numpy as np

MEASURED = ("read", "write", "file_overhead")
GIVEN = ("hours", "gpus")


def bottlenecks(o: argparse.Namespace) -> dict[str, float]:
    """Audio hours per hour that each part of the fleet could do by itself."""
    files_per_hour = 3600 / o.file_seconds
    return {
        "GPUs": o.gpus * o.gpu_speed,
        f"{o.cores} cores per GPU": o.gpus * o.cores * 3600 / core_seconds(o),
        f"storage at {o.bandwidth:g} GB/s": o.bandwidth * 3600e3 / o.megabytes,
        f"{o.requests} requests at a time per GPU": o.gpus * o.requests * 3600 / (2 * files_per_hour * o.request),
    }


def core_seconds(o: argparse.Namespace) -> float:
    """Of one core, per hour of audio, for all that is not the network."""
    return o.read + o.write + 3600 / o.file_seconds * o.file_overhead


def simulate(o: argparse.Namespace, shard_hours: float, speed: float, seed: int = 0) -> tuple[float, float]:
    """Wall-clock hours until the last shard is done, and hours of GPUs paid for. `speed`: audio hours per hour of one GPU."""
    rng = np.random.default_rng(seed)
    shards = max(1, round(o.hours / shard_hours))
    files = shard_hours * 3600 / o.file_seconds  # the sum of so many durations is nearly normal
    sizes = np.clip(rng.normal(shard_hours, shard_hours * o.spread / np.sqrt(files), shards), 0.1 * shard_hours, None)
    pace = np.where(rng.random(o.gpus) < o.slow_share, speed / o.slow_factor, speed)
    free = [(0.0, gpu) for gpu in range(o.gpus)]
    heapq.heapify(free)
    for hours in sizes:
        now, gpu = heapq.heappop(free)
        took = o.start / 3600 + hours / pace[gpu]
        if rng.random() < o.failures * took:  # the machine goes; what is done stays done, half a shard on average
            took += o.start / 3600
        heapq.heappush(free, (now + took, gpu))
    end = max(now for now, _ in free)
    return end, end * o.gpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = lambda name, value, said: parser.add_argument(  # noqa: E731
        f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"{said} (%(default)s)"
    )
    add("hours", 1e6, "of audio")
    add("gpus", 1000, "GPUs")
    add("cores", 16, "CPU cores per GPU")
    add("gpu_speed", 2000.0, "audio hours per hour of one GPU")
    add("read", 2.9, "core seconds per audio hour to read twice and measure")
    add("write", 1.6, "core seconds per audio hour to encode")
    add("file_overhead", 0.004, "core seconds per file for names, tags, fsync and the record")
    add("file_seconds", 10.0, "mean duration of a file")
    add("spread", 1.0, "standard deviation of a duration over its mean")
    add("megabytes", 120.0, "read and written per audio hour (FLAC, 16 kHz)")
    add("bandwidth", 100.0, "GB/s of the whole storage")
    add("requests", 32, "requests at a time per GPU")
    add("request", 0.05, "seconds per request to object storage")
    add("start", 25.0, "seconds per shard: container, Python, torch, model")
    add("slow_share", 0.02, "of the GPUs")
    add("slow_factor", 2.0, "how much slower these are")
    add("failures", 0.001, "per GPU and hour")
    add("price", 2.5, "dollars per GPU hour, its cores included")
    o = parser.parse_args()

    said = lambda names: ", ".join(f"{n} {getattr(o, n):g}" for n in names)  # noqa: E731
    print(f"Measured: {said(MEASURED)}")
    print(f"Assumed, not measured: {said(sorted(vars(o).keys() - {*MEASURED, *GIVEN}))}")
    print(f"\n{o.hours:,.0f} hours on {o.gpus:,} GPUs; audio hours per hour that each part could do alone:")
    parts = bottlenecks(o)
    for name, rate in sorted(parts.items(), key=lambda item: item[1]):
        print(f"  {name:40} {rate:12,.0f}")
    narrow = min(parts, key=parts.get)
    speed = parts[narrow] / o.gpus
    print(f"The narrowest is: {narrow}, {speed:,.0f} per GPU, {o.hours / parts[narrow]:.2f} h for all.")
    print(f"A GPU at that speed keeps {speed * core_seconds(o) / 3600:.1f} cores busy with files.")
    print("The same for files of other lengths:")
    for seconds in (1, 3, 10, 60, 600):
        parts = bottlenecks(argparse.Namespace(**{**vars(o), "file_seconds": seconds}))
        print(f"  {seconds:4} s: {o.hours / min(parts.values()):5.2f} h for all, by {min(parts, key=parts.get)}")
    print("\naudio hours per shard   files per shard   wall-clock h   GPU hours   dollars per 1,000 h   efficiency")
    rows = []
    for shard in (1, 3, 10, 30, 100, 300, 1000):
        wall, paid = simulate(o, shard, speed)
        rows.append((paid, shard))
        files = shard * 3600 / o.file_seconds
        print(
            f"{shard:21,}   {files:15,.0f}   {wall:12.2f}   {paid:9,.0f}   {paid * o.price / o.hours * 1000:19.2f}"
            f"   {o.hours / speed / paid:10.0%}"
        )
    print(
        f"Cheapest: {min(rows)[1]:,} audio hours per shard. Smaller ones start too often, larger ones wait for the last."
    )


if __name__ == "__main__":
    main()
