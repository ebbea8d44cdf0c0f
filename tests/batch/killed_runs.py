"""Kills runs of `enhance` at random moments and looks at what is left: a program, run by test_survival.py.

    python -m tests.batch.killed_runs KILLS COMMAND IN... -m MODEL ...

It works in the current folder, where the inputs are. Every run is a process of its own, forked from this one, which has
loaded torch and all else that a first run has loaded, so that the others are at work soon. What is wrong goes to standard
output, a line each, and at the end how many runs were killed at work and how many of their files had been done by then.
"""

import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from enhance_cli.batch.reports import read
from enhance_cli.cli import main

ROUND = 3  # so many kills, then a run to the end


def start(words: list[str], output: str, report: str) -> int:
    """The process id of a new run."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        for stream in (1, 2):
            os.dup2(os.open(f"{output}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        flags = ["--device", "cpu", "--threads", "1", "--report", report, "--json"]
        sys.argv = ["enhance", *words, "-o", output, *flags]
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        Path(f"{output}.modules").write_text("\n".join(sys.modules))
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def wrong(found: dict[str, bytes], expected: dict[str, bytes], whole: bool) -> list[str]:
    """What should not be: another file under a final name than an undisturbed run makes, or when `whole` any difference."""
    final = {name: data for name, data in found.items() if whole or not name.startswith(".")}
    differ = [f"{name} differs" for name, data in final.items() if data != expected.get(name)]
    return differ + [f"{name} is missing" for name in expected if whole and name not in final]


def rounds(words: list[str], kills: int, say: Callable[[str], None]) -> tuple[int, int]:
    """Returns how many runs were killed while at work, and the files that were done when they were."""
    for name in ("undisturbed", "again"):
        begun = time.monotonic()
        if code := ended(start(words, "out", f"{name}.jsonl")):
            say(f"the undisturbed run ended with {code}: {Path('out.log').read_text()}")
            return 0, 0
        length, expected = time.monotonic() - begun, contents(Path("out"))
        shutil.rmtree("out")  # where the others write too: a Kaldi list says where it lies
        for module in Path("out.modules").read_text().split():
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
    inputs = len(read([Path("again.jsonl")]).records)
    rng, out, report = random.Random(0), Path("out"), Path("report.jsonl")
    at_work = done = 0
    for number in range(1, kills + 1):
        before = set(contents(out))
        child = start(words, "out", str(report))
        time.sleep(rng.uniform(0, length))
        os.kill(child, signal.SIGKILL)
        killed = ended(child) == -signal.SIGKILL
        found = contents(out)
        for fault in wrong(found, expected, whole=False):
            say(f"kill {number}: {fault}")
        if killed and (set(found) > before or any(name.startswith(".") for name in found)):
            at_work, done = at_work + 1, done + sum(not name.startswith(".") for name in found)
        if number % ROUND and len(found) < len(expected):
            continue
        if code := ended(start(words, "out", str(report))):
            say(f"the run after kill {number} ended with {code}: {Path('out.log').read_text()[-500:]}")
        for fault in wrong(contents(out), expected, whole=True):
            say(f"the run after kill {number}: {fault}")
        told = read([report])
        reasons = {(record["status"], record["reason"]) for record in told.records}
        if len(told.records) != inputs or told.broken or reasons - {("done", None), ("skipped", "the output exists")}:
            say(f"the report after kill {number}: {len(told.records)} files, {told.broken}, {reasons}")
        shutil.rmtree(out)
        report.unlink()
    return at_work, done


if __name__ == "__main__":
    print(*rounds(sys.argv[2:], int(sys.argv[1]), lambda fault: print(fault, flush=True)))
