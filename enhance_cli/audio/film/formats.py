"""Choose the codec of the new sound track of a video: that of the old track, if the container and FFmpeg support it.

The bit rate is that of the old track. If the container cannot hold the codec, or FFmpeg cannot encode it (Vorbis in PyAV,
DTS, TrueHD), it is replaced by the most similar one, and a note says so. Lossless sound gets a lossless codec, if the
container has any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from enhance_cli.audio.formats import FILMS, Film, OutputFormat
from enhance_cli.audio.info import FLOATS, LOSSY, AudioInfo, depth, is_lossless
from enhance_cli.errors import UsageError

_ALL_RATES: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Codec:
    """Describe an encoder: its subtype, highest number of channels, allowed rates in Hz and bit rates in kb/s (empty: all)."""

    subtype: str
    channels: int
    rates: tuple[int, ...] = _ALL_RATES
    kilobits: tuple[int, ...] = ()
    most_kilobits: int = 510  # for each channel


_CODECS = {
    "aac": _Codec("AAC", 8, (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)),
    "ac3": _Codec(
        "AC3", 6, (32000, 44100, 48000),
        (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
    ),
    "eac3": _Codec("EAC3", 6, (32000, 44100, 48000)),
    "libopus": _Codec("OPUS", 8, (8000, 12000, 16000, 24000, 48000), most_kilobits=256),
    "libmp3lame": _Codec(
        "MPEG_LAYER_III", 2, (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    ),
    "mp2": _Codec(
        "MPEG_LAYER_II", 2, (16000, 22050, 24000, 32000, 44100, 48000),
        (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    ),
    "flac": _Codec("FLAC", 8), "alac": _Codec("ALAC", 8), "pcm": _Codec("PCM", 64),
}  # fmt: skip
_HOLDS = {  # encoders by container. The first suitable one replaces an encoder that the container cannot hold
    "MKV": ("flac", "aac", "pcm", "libopus", "ac3", "eac3", "libmp3lame", "mp2", "alac"),
    "WEBM": ("libopus",),
    "MP4": ("alac", "aac", "ac3", "eac3", "libopus", "libmp3lame", "flac"),
    "MOV": ("alac", "aac", "pcm", "ac3", "eac3", "libmp3lame"),
    "AVI": ("pcm", "libmp3lame", "ac3", "aac", "mp2"),
}
_LOSSLESS = ("flac", "alac", "pcm")
_ENCODERS = {
    "AAC": "aac", "AC3": "ac3", "EAC3": "eac3", "OPUS": "libopus", "VORBIS": "libopus", "MPEG_LAYER_III": "libmp3lame",
    "MPEG_LAYER_II": "mp2", "FLAC": "flac", "ALAC": "alac", "PCM": "pcm", "FLOAT": "pcm", "DOUBLE": "pcm",
}  # fmt: skip
_KEPT_PCM = tuple(f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be"))
_USUAL = 80_000  # bits per second and channel, if the bit rate of the old track is not known
_PLENTY = 160_000  # bits per second and channel, at most, if one lossy codec replaces another


def film_format(
    info: AudioInfo,
    extension: str,
    film: Film,
    *,
    bitrate: int | None = None,
    bit_depth: str | None = None,
    rate: int | None = None,
) -> OutputFormat:
    """Return the format for a video made from `info`, named `extension` (".mkv").

    `bitrate`: bits per second of the old track. `bit_depth`: 16, 24, 32 or float. `rate`: in Hz. None keeps the input's.
    Raises UsageError for values that no codec of the container can hold.
    """
    container = FILMS[extension.lower().lstrip(".")]
    name = _encoder(info, container, bit_depth)
    codec = _CODECS[name]
    if info.channels > codec.channels:
        raise UsageError(f"{container} holds at most {codec.channels} channels here, not {info.channels}", "try .mkv")
    if bit_depth is not None and name not in _LOSSLESS:
        raise UsageError(f"the sound of this video, {codec.subtype}, has no bit depth", "leave --bit-depth out")
    subtype = _subtype(info, name, bit_depth)
    bits = _bits_per_second(info, name, bitrate) if name not in _LOSSLESS else None
    before = info.subtype.partition("_")[0] if info.subtype not in LOSSY else info.subtype
    notes = []
    packed = info.subtype == "FLOAT" and not info.codec.startswith("pcm_") and info.codec != ""  # such as WavPack
    if _ENCODERS.get(before) != name or before == "VORBIS" or packed:
        said = subtype.replace("_", " ") if name in _LOSSLESS else codec.subtype
        old = info.codec.upper() if packed else info.subtype.replace("_", " ")
        notes.append(f"the codec {old} is not kept: the sound of the {container} is {said}")
    return OutputFormat(
        container, subtype, _rate(info, codec, rate), extension, bits, layout=info.layout, film=film,
        encoder=_pcm(info, subtype) if name == "pcm" else name, notes=tuple(notes),
    )  # fmt: skip


def with_bitrate(fmt: OutputFormat, info: AudioInfo, bitrate: int | None) -> OutputFormat:
    """Return a format of film_format with the bit rate of the old track, which is known only after reading it."""
    name = "pcm" if fmt.encoder.startswith("pcm_") else fmt.encoder
    return fmt if name in _LOSSLESS else replace(fmt, bitrate=_bits_per_second(info, name, bitrate))


def refuse_for_film(extension: str, container: str | None, start: float, duration: float | None) -> None:
    """Raise UsageError for a part of a video, and for a format that does not fit the name of the file."""
    if start or duration is not None:
        raise UsageError(
            f"--start and --duration take a part of the sound, and a *{extension} file keeps its pictures whole",
            "leave them out, or write the sound alone, with --format wav",
        )
    if container is not None and FILMS.get(container.lower().lstrip(".")) != FILMS[extension.lower().lstrip(".")]:
        raise UsageError(f"--format {container} does not fit a file named *{extension}", "change one of the two")


def _encoder(info: AudioInfo, container: str, bit_depth: str | None) -> str:
    """Return the name of a codec in `container` for the samples of `info`."""
    held = _HOLDS[container]
    family = info.subtype if info.subtype in LOSSY else info.subtype.partition("_")[0]
    own = _ENCODERS.get(family)
    own = None if own == "flac" and bit_depth in ("32", "float") else own
    fitting = [name for name in held if _CODECS[name].channels >= info.channels]
    if own in fitting:
        return own
    like = [name for name in fitting if (name in _LOSSLESS) == is_lossless(info.subtype)]
    return (like or fitting or held)[0]


def _subtype(info: AudioInfo, name: str, bit_depth: str | None) -> str:
    codec = _CODECS[name]
    if name not in _LOSSLESS:
        return codec.subtype
    asked = None if bit_depth in (None, "float") else int(bit_depth or 0)
    floats = bit_depth == "float" or bit_depth is None and info.subtype in FLOATS
    if floats and name == "pcm":
        return "DOUBLE" if info.subtype == "DOUBLE" and bit_depth is None else "FLOAT"
    if bit_depth in ("float", "32") and name != "pcm":
        raise UsageError(f"{codec.subtype} cannot hold --bit-depth {bit_depth} here", "choose 16 or 24")
    bits = asked or depth(info.subtype) or (24 if floats else 16)
    return f"{codec.subtype}_{16 if bits <= 16 else 24 if bits <= 24 or name != 'pcm' else 32}"


def _pcm(info: AudioInfo, subtype: str) -> str:
    """Return FFmpeg's encoder for PCM: the codec of the old track, including its byte order, if it has that depth."""
    wanted = {"PCM_16": "s16", "PCM_24": "s24", "PCM_32": "s32", "FLOAT": "f32", "DOUBLE": "f64"}[subtype]
    return info.codec if info.codec in _KEPT_PCM and wanted in info.codec else f"pcm_{wanted}le"


def _bits_per_second(info: AudioInfo, name: str, bitrate: int | None) -> int:
    codec = _CODECS[name]
    known = bitrate if info.subtype in LOSSY or depth(info.subtype) is None else None
    wanted = known or _USUAL * info.channels
    if codec.subtype != info.subtype:
        wanted = min(wanted, _PLENTY * info.channels)
    wanted = min(wanted, 1000 * codec.most_kilobits * info.channels)
    if codec.kilobits:
        return 1000 * min(codec.kilobits, key=lambda kilobits: abs(1000 * kilobits - wanted))
    return wanted


def _rate(info: AudioInfo, codec: _Codec, asked: int | None) -> int:
    rate = asked or info.rate
    if not codec.rates or rate in codec.rates:
        return rate
    if asked is not None:
        raise UsageError(
            f"{codec.subtype} cannot be written at {rate} Hz", f"choose one of {', '.join(map(str, codec.rates))} Hz"
        )
    return min((legal for legal in codec.rates if legal >= rate), default=codec.rates[-1])
