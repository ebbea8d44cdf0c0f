"""Write docs/formats.md from the table of what every format keeps, which tests/audio/test_zoo.py proves. For `make docs`."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
HEAD = """# Formats

The output is like the input: container, sample type, rate, channels and tags. This page is made by `make docs` from
`tests/format_table.py`. `tests/audio/test_zoo.py` proves every cell: it writes a file of each kind and reads it back by FFmpeg.

Everything that libsndfile and FFmpeg can read is accepted. Formats that cannot be written become WAV of the same depth, and a
note says so. Losses of a format are listed in the record (`notes`, `tags_lost`) and on stderr. The bytes of a file count more
than its header: recordings joined end to end, and samples that the header does not count, are read too.

| format | exact samples | channels | loudspeakers | title, artist | picture | chapters | time code (bext, iXML) |
|---|---|---|---|---|---|---|---|
"""
FOOT = """
* **exact samples:** bit depths that are kept exactly; a dash means that the codec is lossy. MP3, Opus, Ogg and M4A keep the
  length to the sample, the timing within one sample and the level within 0.05 dB (`tests/audio/test_encoders.py`).
* **channels:** the highest number of channels that can be written.
* **loudspeakers:** layouts that the file names. WAV keeps the channel mask of the input.
* **Positions** are adjusted to the output: time codes, cue points, chapters and timers follow `--start` and `--sample-rate`.
  Cue points of WAV and markers of AIFF become chapters in other formats.
* **Outputs** contain a mark, so that a later run that writes beside its inputs leaves them out.
* **Time stamps:** if sound begins late, or packets of MP4, Matroska, Ogg and others are missing, silence of the same length is
  inserted, and a note says so. If the edit list of an MP4 or MOV has several pieces, they are played in its order, exact to the
  sample.
* **A file that crashes FFmpeg** does not affect others: FFmpeg runs in a separate process. Only the first file of a run has to
  wait for its start, for a third of a second.

## Videos

`enhance denoise film.mkv` writes film_denoised.mkv, in which one sound track is new. Pictures, subtitles, attachments,
data and the other sound tracks are copied packet by packet, with their time stamps, languages, titles, flags, rotation
and HDR data, and so are chapters and tags. The new track has the codec, bit rate, language, title and flags of the old
one and begins at the same time. The error is up to 0.5 ms in Matroska and WebM, whose time stamps FFmpeg writes in
milliseconds, and below a sample in MP4 and MOV. The delay of an encoder (21 ms in AAC) is stated in the header of Matroska
(CodecDelay), and the first packet begins earlier by that much. AVI counts pictures: if those of a film with one sound
track begin between two of them, pictures and sound are delayed together, by less than a picture.

| container | codecs of the new track that stay | instead of others: lossless, lossy |
|---|---|---|
| .mkv | AAC, AC-3, E-AC-3, Opus, MP3, MP2, FLAC, ALAC, PCM, float | FLAC, AAC |
| .mp4, .m4v | AAC, AC-3, E-AC-3, Opus, MP3, FLAC, ALAC | ALAC, AAC |
| .mov | AAC, AC-3, E-AC-3, MP3, ALAC, PCM, float | ALAC, AAC |
| .webm | Opus | Opus, Opus |
| .avi | PCM, float, MP3, AC-3, AAC, MP2 | PCM, MP3 |

* **Which track:** the one that a player would choose, or `--track N` or `--track LANG`. `--keep-original` also keeps the old
  track, after the new one. `--track all` and `--format wav` write the sound alone.
* **Another container:** `-o film.mp4` or `--format mkv`, if that container can hold all streams of the film. Otherwise the
  file is refused before any work: attachments and ASS subtitles need Matroska. SubRip, WebVTT and the timed text of MP4 are
  converted. Vorbis becomes Opus, DTS AAC, TrueHD FLAC, since there is no good encoder for them. Notes say so.
* **Other videos** (.ts, .m2ts, .mpg, .flv, .wmv, .3gp, .ogv, .mxf) can be read. `-o film.mkv` writes one of the containers
  above: .avi for WMV and old FLV, .mp4 for .3gp. Without `-o`, only the sound is written, to .wav, and a note says so.
* **Not kept:** data streams that the container cannot hold, with a note. A film is always processed completely: `--start` and
  `--duration` are refused.
* **Pieces** of a longer recording with its original time stamps begin at zero in the output, and a note states the time.
* **Folders** and watched folders: videos in them, also other videos, are processed like recordings.
* **Overlapping sound** according to its time stamps, as in joined pieces of a web stream, is cut, so that it stays in step with
  the picture (a note says so). Gaps are filled with silence.
* **Broken pictures** are copied as they are, since pictures are not decoded. Pixels that are not square keep their shape, even
  if only the container states it.
* **Cost:** the film is read once for its sound and once for copying, in a separate process and in constant memory. A single
  pass would be more expensive: the level of the whole sound must be known before the first packet is written, so the pictures
  would have to wait in a temporary file. Now only the sound does, before and after, with 4 bytes per sample.
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
