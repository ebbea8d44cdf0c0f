"""Run `enhance`, and `python -m enhance_cli`.

Ctrl-C, SIGTERM and SIGHUP end it cleanly with exit code 130 from its start.
"""

import gc
import os
import signal
import sys

OBJECTS_BETWEEN_COLLECTIONS = 20_000  # imports make many, which all stay: to look for garbage among them takes .02 s


def main() -> None:
    """Run the command line. Slow imports happen only after these signals are handled."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    _open_closed_streams()
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(signal.SIGHUP, _interrupt)
        from enhance_cli import cli

        cli.main()
    except KeyboardInterrupt:  # before or after the command itself, which has its own way
        from enhance_cli.errors import ExitCode

        os._exit(ExitCode.INTERRUPTED)


def _open_closed_streams() -> None:
    """Give standard streams that a daemon or `>&-` has closed to nobody, before a file takes the number of one."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            if mode == "w":  # for reading, None tells that there is nothing
                setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - until the end


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
