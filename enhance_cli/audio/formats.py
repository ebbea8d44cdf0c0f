"""Choose the format of an output file: container, sample type and rate of its input, unless the user chose others.

Requests that a format cannot fulfill are refused here, before any work. Only a rate that the user did not choose is
changed to the nearest allowed one (MP3 and Opus allow few).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enhance_cli.audio.channels import Layout
from enhance_cli.audio.info import LOSSY, AudioInfo, Chapter, depth
from enhance_cli.audio.output_channels import arrange
from enhance_cli.audio.sample_types import choose_rate, choose_subtype
from enhance_cli.errors import UsageError

# Name for --format, or extension of a file -> container. OPUS means Opus in Ogg.
CONTAINERS = {
    "wav": "WAV", "wave": "WAV", "bwf": "WAV", "rf64": "RF64", "w64": "W64", "flac": "FLAC", "mp3": "MP3",
    "ogg": "OGG", "oga": "OGG", "opus": "OPUS", "aif": "AIFF", "aiff": "AIFF", "aifc": "AIFF", "caf": "CAF",
    "au": "AU", "snd": "AU", "m4a": "M4A", "m4b": "M4A",
}  # fmt: skip
FILMS = {"mkv": "MKV", "webm": "WEBM", "mp4": "MP4", "m4v": "MP4", "mov": "MOV", "avi": "AVI"}
VIDEO_SUFFIXES = frozenset(f".{extension}" for extension in FILMS)
FOREIGN_VIDEO_SUFFIXES = frozenset(  # can be read but not written
    (".flv", ".f4v", ".ts", ".m2ts", ".mts", ".wmv", ".asf", ".mpg", ".mpeg", ".vob", ".3gp", ".ogv", ".mxf", ".nut")
)
# In folders, only files with these suffixes are found. Files that the user names may have any suffix.
AUDIO_SUFFIXES = frozenset(f".{extension}" for extension in CONTAINERS) | {
    ".aac", ".mka", ".mp2", ".wma", ".amr", ".ac3", ".eac3", ".ape", ".wv", ".tta", ".sph", ".nist", ".g722",
    ".spx", ".dts", ".voc", ".dss", ".3ga", ".mpga", ".weba", ".thd", ".mlp", ".latm", ".loas", ".adts", ".mp1", ".awb",
    ".paf", ".sf", ".ircam", ".8svx", ".svx", ".pvf", ".avr", ".sds", ".gsm", ".tak", ".mpc", ".ra",
}  # fmt: skip
_EXTENSIONS = {"OPUS": ".opus", "AIFF": ".aiff", "WAVEX": ".wav", "RF64": ".wav"}
_WAVE = ("WAV", "WAVEX", "RF64")
_UNWRITTEN = ("MPEG_LAYER_I", "MPEG_LAYER_II", "SPEEX")  # codecs in containers that are written
_MOST_CHANNELS = {"MP3": 2, "FLAC": 8, "M4A": 8}


@dataclass(frozen=True)
class Film:
    """Describe the video from which everything but one sound track is copied.

    `track`: number of the sound track to replace, from 1. `late`: seconds from the start of the picture to the start of
    this track. `keep_original`: also keep this track, after the new one. `title`: title of the new track, None for that of
    the old one. `mark`: mark of the output. `tags`: copy codec tags, instead of letting the container choose them.
    `data`: copy data streams.
    """

    source: Path
    track: int
    late: float = 0.0
    keep_original: bool = False
    title: str | None = None
    mark: str = ""
    tags: bool = True
    data: bool = True


@dataclass(frozen=True)
class OutputFormat:
    """Describe a format to write. Names of containers and subtypes are those of libsndfile (and M4A).

    Args:
        rate: in Hz.
        bitrate: in bits per second, for lossy subtypes.
        layout: loudspeakers of the channels in the order in which they are written.
        order: indices of the input channels in that order, None if it is the same.
        mask, ambisonic: for a WAVE_FORMAT_EXTENSIBLE header. FLAC has the mask in a comment.
        bits: used bits of an integer sample, if they are fewer than the subtype has.
        notes: notes on properties of the input that are not kept.
        chapters: for encoders that can write them.
        dither: add triangular noise (TPDF) before rounding.
        film: the rest of a video, or None.
        encoder: FFmpeg's name of the encoder, for a video.
    """

    container: str
    subtype: str
    rate: int
    extension: str
    bitrate: int | None = None
    layout: Layout | None = None
    order: tuple[int, ...] | None = None
    mask: int | None = None
    ambisonic: bool = False
    bits: int | None = None
    notes: tuple[str, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    dither: bool = False
    film: Film | None = None
    encoder: str = ""


def is_film(extension: str | None) -> bool:
    """Return whether files of this extension (".mkv", any case) are videos that can be written."""
    return extension is not None and extension.lower().lstrip(".") in FILMS


def can_write(extension: str) -> bool:
    """Return whether files of this extension (".wav", any case) can be written."""
    return extension.lower().lstrip(".") in CONTAINERS


def extension_for(name: str | None) -> str | None:
    """Return the extension (".flac") for a value of --format. Raises UsageError for a format that cannot be written."""
    if name is None:
        return None
    if not can_write(name) and not is_film(name):
        raise UsageError(
            f"--format {name}: this format cannot be written", f"choose from {', '.join([*CONTAINERS, *FILMS])}"
        )
    return f".{name.lower().lstrip('.')}"


def output_format(
    info: AudioInfo,
    extension: str | None,
    container: str | None = None,
    bit_depth: str | None = None,
    rate: int | None = None,
) -> OutputFormat:
    """Return the format for an output made from `info`, named `extension` (".wav", None: chosen by the container).

    `container`: as in --format. `bit_depth`: 16, 24, 32 or float. `rate`: in Hz. None keeps the input's. Raises
    UsageError for values that the format cannot hold, and for formats that cannot be written.
    """
    target = _target(info, extension, container)
    subtype = choose_subtype(info, target, bit_depth)
    chosen = choose_rate(info, target, subtype, rate)
    most = _MOST_CHANNELS.get("FLAC" if subtype.startswith(("ALAC", "FLAC")) else target, 255)
    if info.channels > most:
        raise UsageError(f"{target} holds at most {most} channels, not {info.channels}", "try --format wav")
    bitrate = (info.bitrate or 80_000 * info.channels) if subtype in LOSSY else None
    extension = extension or _EXTENSIONS.get(target, f".{target.lower()}")
    family = "OGG" if target == "OPUS" else target
    speakers, notes = arrange(info, "ALAC" if family == "M4A" and subtype.startswith("ALAC") else family)
    if family == "WAV" and (speakers.get("mask") is not None or info.ambisonic):
        family = "WAVEX"
    bits = info.bits if subtype == info.subtype else None
    if bit_depth is None:
        notes += _losses(info, family, subtype)
    if rate is None and chosen < info.rate:
        notes.append(f"{info.rate} Hz are not kept: the result has {chosen}")
    return OutputFormat(family, subtype, chosen, extension, bitrate, bits=bits, notes=tuple(notes), **speakers)


def loses_bits(info: AudioInfo, fmt: OutputFormat) -> bool:
    """Return whether samples with more bits are rounded to 16 or fewer bits."""
    after = depth(fmt.subtype)
    return after is not None and after <= 16 and (depth(info.subtype) or 32) > after


def _losses(info: AudioInfo, container: str, subtype: str) -> list[str]:
    """Return notes on the parts of container, codec and depth that are not kept."""
    notes = []
    new = {"WAVEX": "WAV", "RF64": "WAV"}.get(container, container)
    own = {"WAVEX": "WAV", "RF64": "WAV"}.get(info.container, info.container)
    own = "M4A" if own == "MP4" and new == "M4A" else own
    codec = info.subtype.partition("_")[0]
    if own in FILMS.values() and info.film:
        notes.append(f"the sound alone is written, as {new}")
    elif own in FILMS.values():
        if info.path.suffix.lower() not in VIDEO_SUFFIXES:  # such as .mka
            notes.append(f"{info.path.suffix[1:].upper() or own} cannot be written: the result is {new}")
    elif own not in CONTAINERS.values():
        notes.append(f"{info.container} cannot be written: the result is {new}")
    elif own != new and info.subtype in _UNWRITTEN:
        notes.append(
            f"{codec if codec != 'MPEG' else 'MPEG audio'} of this kind cannot be written: the result is {new}"
        )
    elif own == new and subtype != info.subtype and not (info.subtype.startswith("PCM") and subtype.startswith("PCM")):
        notes.append(f"the codec {codec} is not kept: the result is {new} with {subtype.replace('_', ' ')}")
    before, after = depth(info.subtype), depth(subtype)
    if before and after and after < before:
        notes.append(f"{before} bits are not kept: the result has {after}")
    return notes


def refuse_impossible(extension: str | None, container: str | None, bit_depth: str | None, rate: int | None) -> None:
    """Raise UsageError for a request (as in `output_format`) that would fail for every input."""
    target = CONTAINERS.get((container or extension or "").lower().lstrip("."))
    if target is None:  # as the input is
        return
    subtype = "ALAC_16" if target == "M4A" else "PCM_16"  # both allow any rate
    output_format(AudioInfo(Path(), target, subtype, rate or 48000, 1, None, ""), extension, container, bit_depth, rate)


def _target(info: AudioInfo, extension: str | None, container: str | None) -> str:
    """Return the container to write. OPUS stands for Opus in OGG."""
    own = "OPUS" if info.subtype == "OPUS" and info.container == "OGG" else info.container
    own = "M4A" if own == "MP4" and extension and extension.lower() in (".m4a", ".m4b") else own
    by_name = CONTAINERS.get(extension.lower().lstrip(".")) if extension else None
    if container is not None:
        asked = CONTAINERS.get(container.lower().lstrip("."))
        if asked is None:
            raise UsageError(f"--format {container} cannot be written", f"choose one of {', '.join(CONTAINERS)}")
        if by_name and not _fits(by_name, asked):
            raise UsageError(f"--format {container} does not fit a file named *{extension}", "change one of the two")
        return asked
    if extension and by_name is None:
        raise UsageError(f"*{extension} files cannot be written", "choose --format wav, flac, mp3, ogg, opus or m4a")
    if by_name is None and own not in CONTAINERS.values() and own != "WAVEX":
        return "WAV"  # since the input's container cannot be written
    if extension and extension.lower() == ".rf64":
        return "RF64"
    return own if by_name is None or _fits(by_name, own) else by_name


def may_hold(extension: str, container: str) -> bool:
    """Return whether a file with the `extension` ".wav" may have the format `container`, as in --format."""
    named, asked = ((CONTAINERS | FILMS).get(word.lower().lstrip(".")) for word in (extension, container))
    return asked is None or (named is not None and _fits(named, asked))


def _fits(named: str, container: str) -> bool:
    """Return whether a file with the extension of `named` may hold `container`: .wav also holds RF64, .ogg also Opus."""
    return named == container or (named in _WAVE and container in _WAVE) or (named == "OGG" and container == "OPUS")
