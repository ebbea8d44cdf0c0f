"""`enhance`, and `python -m enhance_cli`: Ctrl-C and SIGTERM end it cleanly with exit code 130, from its first moment on."""

import os
import signal


def main() -> None:
    """Run the command line. What takes long to load is loaded when both signals are understood."""
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        from enhance_cli import cli

        cli.main()
    except KeyboardInterrupt:  # before or after the command itself, which has its own way
        os._exit(130)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
