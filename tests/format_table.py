"""The table of what each format keeps: docs/formats.md is written from it, and tests/audio/test_zoo.py proves every cell.

A format keeps the samples of `depths` bit by bit (none: its codec is lossy), and names the loudspeakers of `layouts`.
Title and artist, a picture, chapters, and time codes (bext, iXML) are carried, or named as lost.
"""

from dataclasses import dataclass

DEPTHS = {"PCM_16": "16", "PCM_24": "24", "PCM_32": "32", "FLOAT": "float"}
LAYOUTS = {
    "2.1": "FL FR LFE", "3.0": "FL FR FC", "LCRS": "FL FR FC BC", "quad": "FL FR BL BR", "5.0": "FL FR FC BL BR",
    "5.1": "FL FR FC LFE BL BR", "6.1": "FL FR FC LFE BC SL SR", "7.1": "FL FR FC LFE BL BR SL SR",
}  # fmt: skip
ALL = tuple(LAYOUTS)
XIPH = ("3.0", "quad", "5.0", "5.1", "6.1", "7.1")
PCM = tuple(DEPTHS)


@dataclass(frozen=True)
class Row:
    """Hold the claims about one format."""

    suffix: str
    depths: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    texts: bool = True
    picture: bool = True
    chapters: bool = True
    time_code: bool = False
    most: int = 64  # channels


TABLE = (
    Row(".wav", PCM, ALL, picture=False, time_code=True),
    Row(".flac", ("PCM_16", "PCM_24"), ALL, most=8),
    Row(".m4a", (), ("2.1", "3.0", "LCRS", "quad", "5.0", "5.1", "7.1"), most=8),
    Row(".mp3", most=2),
    Row(".ogg", (), XIPH),
    Row(".opus", (), XIPH),
    Row(".aiff", PCM, ALL, chapters=False),
    Row(".caf", PCM, ALL, picture=False, chapters=False),
    Row(".w64", PCM, texts=False, picture=False, chapters=False),
    Row(".au", PCM, texts=False, picture=False, chapters=False),
)
