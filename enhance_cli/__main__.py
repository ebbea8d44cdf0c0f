"""Run `enhance`, and `python -m enhance_cli`.

From the first moment on, Ctrl-C, SIGTERM and SIGHUP end the program cleanly with exit code 130.
"""

import gc
import os
import signal
import sys

# Imports create many objects that are never freed. Looking for garbage among them as often as by default takes 0.02 s
OBJECTS_BETWEEN_COLLECTIONS = 20_000


def main() -> None:
    """Run the command line. Signal handlers are set before anything slow is imported."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    _open_closed_streams()
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(signal.SIGHUP, _interrupt)
        from enhance_cli import cli

        cli.main()
    except KeyboardInterrupt:  # before or after the command, which handles its own interrupts
        from enhance_cli.errors import ExitCode

        os._exit(ExitCode.INTERRUPTED)


def _open_closed_streams() -> None:
    """Open standard streams that are closed (by a daemon or `>&-`) on the null device.

    Otherwise the next file that is opened would get the number of a standard stream.
    """
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            if mode == "w":  # a closed stdin stays None, which tells readers that there is no input
                setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - until the end


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
