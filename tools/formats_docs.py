"""Write docs/formats.md, the table of what every format keeps, by writing files and reading them back. `make docs` runs it."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from mutagen import flac

from enhance_cli.audio import channels
from enhance_cli.audio.mark import read_mark
from enhance_cli.audio.read import open_audio
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.job import Job
from enhance_cli.errors import EnhanceError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
FIELD = ROOT / "tests" / "audio_files" / "field"
SUFFIXES = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aiff", ".caf", ".w64", ".au")
DEPTHS = {"PCM_16": "16", "PCM_24": "24", "PCM_32": "32", "FLOAT": "float"}
LAYOUTS = {
    "2.1": "FL FR LFE", "3.0": "FL FR FC", "LCRS": "FL FR FC BC", "quad": "FL FR BL BR", "5.0": "FL FR FC BL BR",
    "5.1": "FL FR FC LFE BL BR", "6.1": "FL FR FC LFE BC SL SR", "7.1": "FL FR FC LFE BL BR SL SR",
}  # fmt: skip
HEAD = """# Formats

What comes in goes out: container, sample type, rate, channels and tags. This page is made by `make docs`, which writes a file
of each kind, reads it back and compares, so every cell is a measurement.

Read is all that libsndfile and FFmpeg read. What is not in the table becomes WAV of the same depth, and a note says so. What a
format cannot hold stands in the record (`notes`, `tags_lost`) and on stderr.

| format | exact samples | loudspeakers | title, artist | picture | chapters | time code (bext, iXML) | known again |
|---|---|---|---|---|---|---|---|
"""
FOOT = """
* **exact samples:** bits that come back as they were; a dash where the codec is lossy. MP3, Opus, Ogg and M4A keep the length
  to the sample, timing within one sample and level within 0.05 dB (`tests/audio/test_encoders.py`).
* **loudspeakers:** channels whose loudspeaker the file names afterwards. WAV keeps the mask of its header as it is.
* **known again:** whether an output carries the mark by which a later run leaves it out.
* **Time stamps:** sound that begins late and holes between packets of MP4, Matroska and others become silence of the same
  length, and a note says so.
* **A file that crashes FFmpeg** costs that file alone: it is decoded in a process of its own, which the first such file of a
  run waits a third of a second for.

## Videos

`enhance denoise film.mkv` writes film_denoised.mkv, in which one sound track is new. Pictures, subtitles, attachments,
data and the other sound tracks are copied packet by packet, with their time stamps, languages, titles, flags, rotation
and HDR data, and so are chapters and tags. The new track has the codec, bit rate, language, title and flags of the old
one and begins at the same instant: Matroska and WebM count milliseconds, MP4 and MOV samples.

| container | codecs of the new track that stay | instead of others: lossless, lossy |
|---|---|---|
| .mkv | AAC, AC-3, E-AC-3, Opus, MP3, MP2, FLAC, ALAC, PCM, float | FLAC, AAC |
| .mp4, .m4v | AAC, AC-3, E-AC-3, Opus, MP3, FLAC, ALAC | ALAC, AAC |
| .mov | AAC, AC-3, E-AC-3, MP3, ALAC, PCM, float | ALAC, AAC |
| .webm | Opus | Opus, Opus |
| .avi | PCM, float, MP3, AC-3, AAC, MP2 | PCM, MP3 |

* **Which track:** the one that a player would take, or `--track N` or `--track LANG`. `--keep-original` puts the new
  track first and keeps the old one behind it. `--track all` and `--format wav` write the sound alone.
* **Another container:** `-o film.mp4` or `--format mkv`, if it can hold all of the film. Otherwise the file is refused
  before any work: attachments and ASS subtitles need Matroska. SubRip, WebVTT and the timed text of MP4 take the form
  that the container holds. Vorbis becomes Opus, DTS AAC, TrueHD FLAC, since there
  is no good encoder of these here. A note says so.
* **What is not kept:** data streams that the container has no place for, with a note. A film is always whole: `--start`
  and `--duration` are refused.
* **Folders** and watched folders: the videos in them are taken like recordings.
* **Broken pictures** are copied as they are, since they are never decoded.
* **Cost:** the film is read once for its sound and once to be copied, in a process of its own and in constant memory. Its sound
  waits on the disk of the output, before and after, with 4 bytes a sample.
"""


def copied(source: Path, target: Path) -> dict:
    """Return the record's fields of `enhance` on a file whose samples it leaves alone."""
    return enhance_file(
        Job(source, source, target), lambda blocks, *_: blocks, FileOptions(command="denoise", dither="none")
    )


def read(path: Path) -> tuple[np.ndarray, channels.Layout | None]:
    with open_audio(path) as audio:
        return np.concatenate(list(audio.blocks()), axis=1), audio.info.layout


def exact(suffix: str, folder: Path) -> str:
    """Return the sample types that a format gives back bit by bit."""
    kept = []
    for subtype, name in DEPTHS.items():
        source, target = folder / f"{subtype}.wav", folder / f"{subtype}{suffix}".replace("PCM", "to")
        values = np.random.default_rng(0).integers(-(2**31), 2**31, (9600, 1)) / 2.0**31
        soundfile.write(source, values, 48000, subtype=subtype)
        try:
            copied(source, target)
        except EnhanceError:
            continue
        before, after = read(source)[0], read(target)[0]
        kept += [name] if after.shape == before.shape and np.array_equal(after, before) else []
    return ", ".join(kept) or "-"


def loudspeakers(suffix: str, folder: Path) -> str:
    """Return the layouts that a format names."""
    kept = []
    for name, speakers in LAYOUTS.items():
        layout = tuple(speakers.split())
        source, target = folder / "layout.wav", folder / f"of_layout{suffix}"
        soundfile.write(source, np.zeros((4800, len(layout))) + 0.01, 48000, format="WAVEX", subtype="PCM_16")
        raw = bytearray(source.read_bytes())
        at = raw.index(b"fmt ") + 28
        raw[at : at + 4] = struct.pack("<I", channels.to_mask(layout))
        source.write_bytes(raw)
        try:
            copied(source, target)
        except EnhanceError:
            continue
        found = read(target)[1]
        kept += [name] if found and channels.permutation(layout, found) is not None else []
    return "all" if len(kept) == len(LAYOUTS) else ", ".join(kept) or "no"


def texts(suffix: str, folder: Path) -> list[str]:
    """Return whether title and artist, a picture, chapters, and time codes are kept, and whether the output is known again."""
    source, target = folder / "tags.flac", folder / f"of_tags{suffix}"
    soundfile.write(source, np.zeros((48000, 1)), 48000)
    file, picture = flac.FLAC(source), flac.Picture()
    file["title"], file["artist"] = "Name", "Someone"
    picture.data, picture.mime, picture.type = b"\x89PNG" + bytes(100), "image/png", 3
    file.add_picture(picture)
    file.save()
    lost = copied(source, target)["tags_lost"]
    chapters = copied(FIELD / "chapters.m4a", folder / f"of_chapters{suffix}")["tags_lost"]
    code = copied(FIELD / "timecode_ixml.wav", folder / f"of_code{suffix}")["tags_lost"]
    missing = {"title", "artist"} & set(lost), "pictures" in lost, "chapters" in chapters, {"bext", "iXML"} & set(code)
    return [*("named" if part else "kept" for part in missing), "yes" if read_mark(target) else "no"]


def page() -> str:
    """Return the text of docs/formats.md."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix in SUFFIXES:
            cells = [suffix, exact(suffix, folder), loudspeakers(suffix, folder), *texts(suffix, folder)]
            rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows) + FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
