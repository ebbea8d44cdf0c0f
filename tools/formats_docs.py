"""Write docs/formats.md from the table of what every format keeps, which tests/audio/test_zoo.py proves. For `make docs`."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
HEAD = """# Formats

The output is like the input: container, sample type, rate, channels and tags. This page is made by `make docs` from
`tests/format_table.py`. `tests/audio/test_zoo.py` proves every cell: it writes a file of each kind and reads it back by FFmpeg.

Read is all that libsndfile and FFmpeg read. Other formats become WAV of the same depth, and a note says so. Losses
of a format stand in the record (`notes`, `tags_lost`) and on stderr.

| format | exact samples | channels | loudspeakers | title, artist | picture | chapters | time code (bext, iXML) |
|---|---|---|---|---|---|---|---|
"""
FOOT = """
* **exact samples:** bits that come back as they were; a dash where the codec is lossy. MP3, Opus, Ogg and M4A keep the length
  to the sample, timing within one sample and level within 0.05 dB (`tests/audio/test_encoders.py`).
* **channels:** the most that a file holds here.
* **loudspeakers:** channels whose loudspeaker the file names afterwards. WAV keeps the mask of its header as it is.
* **Positions** count in samples of the output: time codes, cue points, chapters and timers move with `--start` and
  `--sample-rate`. Cue points of WAV and markers of AIFF become chapters elsewhere.
* **Outputs** carry a mark by which a later run leaves them out.
* **Time stamps:** sound that begins late and holes between packets of MP4, Matroska and others become silence of the same
  length, and a note says so.
* **A file that crashes FFmpeg** costs that file alone: it is decoded in a process of its own, which the first such file of a
  run waits a third of a second for.

## Videos

`enhance denoise film.mkv` writes film_denoised.mkv, in which one sound track is new. Pictures, subtitles, attachments,
data and the other sound tracks are copied packet by packet, with their time stamps, languages, titles, flags, rotation
and HDR data, and so are chapters and tags. The new track has the codec, bit rate, language, title and flags of the old
one and begins at the same instant: Matroska and WebM count milliseconds (FFmpeg knows no finer step for them, which
makes up to 0.5 ms), MP4 and MOV samples. The delay of an encoder (21 ms in AAC) stands in the header of Matroska
(CodecDelay), and the first packet so much in front.

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
* **Other videos** (.ts, .m2ts, .mpg, .flv, .wmv, .3gp, .ogv, .mxf) are read, and written as one of these with `-o film.mkv`:
  .avi for WMV and old FLV, .mp4 for .3gp. Without it only their sound is written, to .wav, and a note says so.
* **Not kept:** data streams that the container has no place for, with a note. A film is always whole: `--start`
  and `--duration` are refused.
* **Pieces** of a longer recording that kept its times begin at zero afterwards, and a note names the time.
* **Folders** and watched folders: the videos in them are taken like recordings.
* **Sound that overlaps** by its time stamps, as in joined pieces of a stream on the web, is cut where it does, so that it
  stays in step with the picture (a note says so). Gaps are filled with silence.
* **Broken pictures** are copied as they are, since they are never decoded. Pixels that are no squares keep their shape, also
  if only the container names it.
* **Cost:** the film is read once for its sound and once to be copied, in a process of its own and in constant memory. One pass
  would be dearer: the level of the whole sound must be known before its first packet, and the pictures would wait on the
  disk meanwhile. Its sound does, before and after, with 4 bytes a sample.
"""


def cells(row, names: dict) -> list[str]:
    """Return the cells of the page for a row of the table, whose names of depths are `names`."""
    layouts = "all" if len(row.layouts) == 8 else ", ".join(row.layouts) or "no"
    carried = ["kept" if part else "named" for part in (row.texts, row.picture, row.chapters, row.time_code)]
    exact = ", ".join(names[depth] for depth in row.depths) or "-"
    return [row.suffix, exact, str(row.most), layouts, *carried]


def page() -> str:
    """Return the text of docs/formats.md."""
    table = runpy.run_path(str(ROOT / "tests" / "format_table.py"))
    rows = [f"| {' | '.join(cells(row, table['DEPTHS']))} |\n" for row in table["TABLE"]]
    return HEAD + "".join(rows) + FOOT


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
