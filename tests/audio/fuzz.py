"""Damages sound files of every format at random and puts each through `enhance_file`: a program, run by test_fuzz.py.

    python -m tests.audio.fuzz FOLDER COUNT [FIRST]

Its arguments are a folder to work in, how many damaged files of each kind to make, and the number of the first. Before
each file its name goes to standard output, so that the last name tells where a crash or a hang was; so does every outcome
that is neither a result nor a clean refusal. The same arguments make the same files. The process is bounded: SECONDS of the
processor a file and, on a machine that others load too, WAITING in all, and MEMORY beyond what it has once its libraries
are loaded and each kind of file has been read.
"""

import random
import resource
import shutil
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path, PurePath

from enhance_cli.audio.read import open_audio
from enhance_cli.batch.files import FileOptions, enhance_file
from enhance_cli.batch.job import Job
from enhance_cli.errors import EnhanceError
from tests import audio_zoo as zoo

SECONDS, WAITING, MEMORY = 10, 200, 1 << 30
FIELD = Path(__file__).parents[1] / "audio_files" / "field"
FRAMES = 2400
PLAIN = [  # container, subtype
    ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_24"), ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"), ("CAF", "PCM_24"), ("CAF", "ALAC_16"), ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
    ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip
FOREIGN = [  # name, codec, FFmpeg's name of the container
    ("a.wma", "wmav2", "asf"), ("a.avi", "ac3", "avi"), ("a.flv", "aac", "flv"), ("a.ts", "aac", "mpegts"),
    ("a.mp4", "aac", "mp4"), ("a.ac3", "ac3", "ac3"), ("a.aac", "aac", "adts"),
]  # fmt: skip
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def kinds(folder: Path) -> list[Path]:
    """One sound file of every kind, with tags where the format has a usual place for them."""
    folder.mkdir()
    files = []
    for container, subtype in PLAIN:
        rate = 48000 if subtype == "OPUS" else zoo.RATE
        path = folder / f"{container}_{subtype}.{'ogg' if container == 'OGG' else container.lower()}"
        files.append(zoo.save(path, zoo.noise(2 if subtype != "GSM610" else 1, FRAMES), rate, container, subtype))
    files += [zoo.broadcast_wav(folder), zoo.streamed_wav(folder), zoo.refused_opus(folder)]
    files += [zoo.m4a(folder, FRAMES), zoo.m4a(folder, FRAMES, "lossless.m4a", "alac")]
    files += [
        zoo.m4a(folder, FRAMES, "film.mkv", container="matroska"),
        zoo.m4a(folder, FRAMES, "a.wv", "wavpack", "wv"),
    ]
    files += [zoo.m4a(folder, FRAMES, "flac.ogg", "flac", "ogg"), zoo.m4a(folder, FRAMES, "a.tta", "tta", "tta")]
    for name, codec, container in FOREIGN:
        files.append(zoo.m4a(folder, FRAMES, name, codec, container))
    for name in ("chained_three_seconds.ogg", "id3_in_front.flac", "header_says_1s_holds_3s.wav", "camera_24bit.mov"):
        files.append(Path(shutil.copy(FIELD / name, folder / name)))
    return files


# --- ways to damage a file ------------------------------------------------------------------------------------


def flip_in_header(raw: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        raw[rng.randrange(min(len(raw), 128))] ^= 1 << rng.randrange(8)


def lie_in_header(raw: bytearray, rng: random.Random) -> None:
    """A length, rate or count becomes a number at the edge of what fits."""
    for _ in range(rng.randint(1, 2)):
        form = rng.choice("<>") + rng.choice("HIIQ")
        size = struct.calcsize(form)
        value = rng.choice(EDGES) if size < 8 else rng.choice((*EDGES, 2**63 - 1, 2**63, 2**64 - 1))
        at = rng.randrange(max(min(len(raw), 256) - size, 1))
        raw[at : at + size] = struct.pack(form, value & (256**size - 1))


def flip_anywhere(raw: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 64)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)


def cut_off(raw: bytearray, rng: random.Random) -> None:
    del raw[rng.choice((rng.randrange(len(raw)), rng.randrange(min(len(raw), 128)))) :]


def drop_piece(raw: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(raw))
    del raw[at : at + rng.randint(1, 2000)]


def repeat_piece(raw: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(raw))
    raw[at:at] = raw[at : at + rng.randint(1, 2000)]


def blank_piece(raw: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(raw))
    count = min(rng.randint(1, 2000), len(raw) - at)
    raw[at : at + count] = bytes([rng.choice((0, 255))]) * count


def rewrite_header(raw: bytearray, rng: random.Random) -> None:
    """Noise where the header was, with its first letters left so that readers take it on."""
    end = min(len(raw), rng.randint(20, 200))
    raw[12:end] = rng.randbytes(end - 12)


def swap_pieces(raw: bytearray, rng: random.Random) -> None:
    """Two stretches change places, as chunks that a careless program has put back in another order."""
    size = min(rng.randint(4, 2000), len(raw) // 4)
    one, other = rng.randrange(len(raw) // 2 - size), rng.randrange(len(raw) // 2, len(raw) - size)
    raw[one : one + size], raw[other : other + size] = raw[other : other + size], raw[one : one + size]


def join(raw: bytearray, rng: random.Random) -> None:
    """The file behind itself, one of the two cut off or damaged in its header."""
    whole = bytes(raw)
    rng.choice((cut_off, lie_in_header, flip_in_header))(raw, rng)
    raw[:] = whole + bytes(raw) if rng.random() < 0.5 else bytes(raw) + whole


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [
    flip_in_header, lie_in_header, lie_in_header, flip_anywhere, cut_off, drop_piece, repeat_piece, blank_piece, rewrite_header,
    swap_pieces, join,
]  # fmt: skip


def damaged(raw: bytes, number: int, kind: str) -> tuple[bytes, str]:
    """Damage `number` to a file of that kind, and what it is called."""
    rng = random.Random(f"{kind} {number}")
    damage = DAMAGES[number % len(DAMAGES)]
    changed = bytearray(raw)
    damage(changed, rng)
    return bytes(changed), damage.__name__


# --- putting files through ------------------------------------------------------------------------------------


def unchanged(blocks, rate, channels, level):
    """The process that does nothing."""
    return blocks


def attempt(source: Path, folder: Path) -> str:
    """Put one file through and say how it ended; whatever is written must be readable, and nothing else left."""
    job = Job(source, PurePath(source.name), folder / f"{source.stem}.wav")
    try:
        fields = enhance_file(job, unchanged, FileOptions(measure=False))
        with open_audio(job.target) as result:
            frames = sum(block.shape[1] for block in result.blocks())
        ended = "done" if abs(frames / result.info.rate - fields["seconds_audio"]) < 0.1 else f"WRONG: {frames} samples"
    except EnhanceError as error:
        named = str(source) in str(error) or str(job.target) in str(error)
        ended = "refused" if named and "\n" not in str(error) else f"WRONG: {error!r}"
        if job.target.exists():
            ended = "WRONG: refused, and yet there is an output"
    except Exception as error:  # noqa: BLE001 - that is what we are looking for
        ended = f"WRONG: {error!r}"
    job.target.unlink(missing_ok=True)
    left = [path.name for path in folder.iterdir()]
    return f"WRONG: {left} left behind" if left else ended


def bound_time(seconds: float, waiting: float) -> None:
    """End this process after so much time, 0 for never. Nothing catches it: even a loop inside a decoder ends there."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, waiting)


def main(folder: Path, count: int, first: int = 0) -> None:
    """Put the damages `first` and so on, `count` of each kind of file, through one after the other."""
    sources, outputs = kinds(folder / "kinds"), folder / "out"
    outputs.mkdir()
    for source in sources:
        print(f"{source.name} as it is", attempt(source, outputs), sep="\t", flush=True)
    if sys.platform == "linux":  # elsewhere the peak is measured, but not bounded
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    for source in sources:
        raw = source.read_bytes()
        for number in range(first, first + count):
            path = folder / f"damaged{source.suffix}"
            changed, how = damaged(raw, number, source.name)
            path.write_bytes(changed)
            print(f"{source.name} {number} {how}", end="\t", flush=True)
            bound_time(SECONDS, WAITING)
            print(attempt(path, outputs), flush=True)
            bound_time(0, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
