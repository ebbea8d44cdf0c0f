"""Make films with FFmpeg's programs, and read them back with them: packets, streams, clicks in picture and sound."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

import av
import numpy as np

CLICKS = (1.0, 2.0)  # seconds of the film at which the picture flashes and the sound clicks
SECONDS = 3
PICTURE = (
    f"color=black:s=64x48:r=25:d={SECONDS},"
    + "drawbox=c=white:t=fill:enable='between(t,0.999,1.02)+between(t,1.999,2.02)'"
)
VIDEO = {
    ".mkv": "libx264", ".mp4": "libx264", ".mov": "libx264", ".webm": "libvpx", ".avi": "mpeg4", ".m4v": "libx264"
}  # fmt: skip


def sound(begin: float = 0.0, rate: int = 48000, channels: int = 1, seconds: float | None = None) -> str:
    """A source for FFmpeg that clicks at CLICKS if it begins at `begin` in the film, over a faint tone."""
    click = "+".join(f"between(t,{at - begin - 1e-6:.6f},{at - begin + 0.003:.6f})" for at in CLICKS)
    tone = f"0.01*sin(2*PI*220*t)+0.7*({click})*cos(2*PI*1000*t)"
    expression = "|".join([tone] * channels).replace(",", "\\,")
    return f"aevalsrc={expression}:s={rate}:d={seconds or SECONDS - begin}"


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def simple(path: Path, codec: str, late: float = 0.0, *more: str, rate: int = 48000, channels: int = 1) -> Path:
    """A film with one sound track that begins `late` seconds after the picture."""
    late_by = ["-itsoffset", late] if late else []
    ffmpeg(
        "-f", "lavfi", "-i", PICTURE, *late_by, "-f", "lavfi", "-i", sound(late, rate, channels), "-map", 0, "-map", 1,
        "-c:v", VIDEO[path.suffix], "-g", 25, "-bf", 0, "-c:a", codec, "-strict", "experimental", *more, path,
    )  # fmt: skip
    return path


def rich(path: Path, folder: Path) -> Path:
    """A film with pictures whose packets are not in order, three sound tracks, three kinds of subtitles, attachments,
    chapters, flags, languages, titles.
    """
    (folder / "a.srt").write_text(
        "1\n00:00:00,500 --> 00:00:01,500\nHello\n\n2\n00:00:02,000 --> 00:00:02,500\nWorld\n"
    )
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 20)
    (folder / "notes.txt").write_text("as it was\n")
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=The Film\nartist=Someone\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1200\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1200\nEND=3000\ntitle=Two\n"
    )
    ffmpeg(
        "-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", sound(), "-itsoffset", 0.25, "-f", "lavfi",
        "-i", sound(0.25, 48000, 2),
        "-i", folder / "a.srt", "-i", folder / "meta.txt", "-f", "lavfi", "-i", sound(0.0, 44100),
        "-map", 0, "-map", 1, "-map", 2, "-map", 5, "-map", 3, "-map", 3, "-map", 3, "-map_metadata", 4, "-map_chapters", 4,
        "-attach", folder / "font.ttf", "-metadata:s:t:0", "mimetype=application/x-truetype-font",
        "-attach", folder / "notes.txt", "-metadata:s:t:1", "mimetype=text/plain",
        "-c:v", "libx264", "-bf", 2, "-g", 25, "-color_primaries", "bt2020", "-color_trc", "smpte2084",
        "-colorspace", "bt2020nc",
        "-c:a:0", "aac", "-b:a:0", "96k", "-c:a:1", "ac3", "-b:a:1", "192k", "-c:a:2", "libopus", "-ar:a:2", 48000,
        "-c:s:0", "srt", "-c:s:1", "ass", "-c:s:2", "webvtt",
        "-metadata:s:v:0", "title=Picture", "-metadata:s:a:0", "language=eng", "-metadata:s:a:0", "title=Main",
        "-metadata:s:a:1", "language=deu", "-metadata:s:a:1", "title=Ton", "-metadata:s:a:2", "language=fra",
        "-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=deu",
        "-disposition:a:0", "default", "-disposition:a:1", "hearing_impaired", "-disposition:a:2", "comment",
        "-disposition:s:1", "forced", path,
    )  # fmt: skip
    return path


@functools.lru_cache(maxsize=16)
def _output(command: tuple[str, ...], changed: int) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def output(path: Path, *command: str) -> bytes:
    """What a program that looks at the film prints. It runs once as long as the film is the same, since tests ask often."""
    return _output(command, path.stat().st_mtime_ns)


def probe(path: Path, *entries: str) -> dict:
    return json.loads(output(path, "ffprobe", "-v", "error", "-of", "json", *entries, str(path)))


LOOK = ("-show_streams", "-show_packets", "-show_data_hash", "md5")


def streams(path: Path) -> list[dict]:
    return probe(path, *LOOK)["streams"]


def packets(path: Path, times: bool = True) -> dict[int, list[tuple]]:
    """Hash and time stamp of each packet, by stream."""
    looked = probe(path, *LOOK)
    found: dict[int, list[tuple]] = {stream["index"]: [] for stream in looked["streams"]}
    for packet in looked["packets"]:
        time = round(float(packet.get("pts_time", "nan")), 3) if times else None
        found[packet["stream_index"]].append((packet["data_hash"], time))
    return found


def decoded(path: Path, track: int = 0, rate: int = 48000) -> np.ndarray:
    """The first channel of a sound track, from the film's time 0."""
    command = (
        "ffmpeg", "-v", "error", "-copyts", "-i", str(path), "-map", f"0:a:{track}", "-af",
        f"aresample={rate}:async=1:min_hard_comp=0.0001:first_pts=0,pan=mono|c0=c0", "-f", "f32le", "-",
    )  # fmt: skip
    return np.frombuffer(output(path, *command), np.float32)


def subtitles(path: Path) -> str:
    """The first subtitles as SubRip."""
    command = ["ffmpeg", "-v", "error", "-copyts", "-i", str(path), "-map", "0:s:0", "-f", "srt", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def sound_clicks(path: Path, track: int = 0, rate: int = 48000) -> list[float]:
    """The times in seconds at which a sound track clicks."""
    samples = np.abs(decoded(path, track, rate))
    loud = np.flatnonzero(samples > 0.3)
    return [float(at) / rate for at in loud[np.diff(loud, prepend=-rate) > rate // 10]]


def flashes(path: Path) -> list[float]:
    """The times in seconds at which the picture becomes white."""
    with av.open(str(path)) as film:
        times = [float(frame.time) for frame in film.decode(video=0) if frame.to_ndarray(format="gray").mean() > 100]
    return [at for i, at in enumerate(times) if not i or at - times[i - 1] > 0.1]
