"""Run `enhance`, and `python -m enhance_cli`.

Ctrl-C, SIGTERM and SIGHUP end it cleanly with exit code 130 from its start.
"""

import os
import signal


def main() -> None:
    """Run the command line. Slow imports happen only after these signals are handled."""
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(signal.SIGHUP, _interrupt)
        from enhance_cli import cli

        cli.main()
    except KeyboardInterrupt:  # before or after the command itself, which has its own way
        from enhance_cli.errors import ExitCode

        os._exit(ExitCode.INTERRUPTED)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
