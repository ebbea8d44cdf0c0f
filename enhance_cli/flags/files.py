"""Define the flags of the panel "Files": which files to process, and which part of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from enhance_cli.flags.panel import FILES, option

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="IN", help="Files, folders, quoted globs, @list.txt, or - for standard input."),
]


@dataclass(frozen=True, repr=False, eq=False)
class FileFlags:
    """Select files."""

    recursive: Annotated[bool, option(FILES, "--recursive/--no-recursive", "-r", help="Look into subfolders too.")] = (
        False
    )
    shard: Annotated[
        str | None, option(FILES, metavar="I/N", help="Process part I of N, split by a hash of the file names.")
    ] = None
    retry_failed: Annotated[
        Path | None, option(FILES, metavar="FILE.jsonl", help="Process only the files that failed in this report.")
    ] = None


@dataclass(frozen=True, repr=False, eq=False)
class AudioFileFlags(FileFlags):
    """Select files, and the part of each to process."""

    start: Annotated[float, option(FILES, min=0, metavar="SECONDS", help="Start at this position.")] = 0.0
    duration: Annotated[
        float | None, option(FILES, min=0.001, metavar="SECONDS", help="Process only this much of each file.")
    ] = None
    track: Annotated[
        str | None,
        option(
            FILES,
            metavar="N|LANG|all",
            help="Sound track to process, if a file has several; all: every track, each in a file of its own.",
        ),
    ] = None
    channel: Annotated[
        str | None, option(FILES, metavar="N|mix", help="Process one channel only, or the mean of all.")
    ] = None


@dataclass(frozen=True, repr=False, eq=False)
class WatchFlags:
    """Watch a folder instead of naming files."""

    watch: Annotated[
        Path | None,
        option(
            FILES, metavar="INBOX", help="Instead of IN: keep running, and process files as they arrive in this folder."
        ),
    ] = None
    settle: Annotated[
        float,
        option(
            FILES, min=0.1, metavar="SECONDS", help="With --watch: process a file once it has not changed for so long."
        ),
    ] = 3.0
