"""`python -m enhance_cli` is `enhance`."""

from enhance_cli.cli import main

if __name__ == "__main__":
    main()
