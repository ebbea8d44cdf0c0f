"""`whole_process.py COMMAND...` runs it and prints its wall and CPU time in seconds and peak memory in MB, as
JSON.

A process of its own because Linux lets a child's peak begin with the memory of the parent that started it:
this one is small, the benchmark with its metrics is not. The input of the command is passed on; its output
is dropped.
"""

import json
import os
import subprocess
import sys
import time

start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
seconds = time.perf_counter() - start
unit = 1024**2 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB elsewhere
if status:
    sys.exit(os.waitstatus_to_exitcode(status))
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "megabytes": usage.ru_maxrss / unit}))
