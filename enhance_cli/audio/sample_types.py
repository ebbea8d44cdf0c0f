"""Choose the sample type (the subtype, as libsndfile calls it) and the rate of an output in a given container."""

import soundfile

from enhance_cli.audio.info import FLOATS, LOSSY, AudioInfo, depth, is_lossless
from enhance_cli.errors import UsageError

_DEPTHS = {"16": "PCM_16", "24": "PCM_24", "32": "PCM_32", "float": "FLOAT"}
_CODECS = {"MP3": "MPEG_LAYER_III", "OPUS": "OPUS", "OGG": "VORBIS", "M4A": "AAC"}
_RATES = {
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "OPUS": (8000, 12000, 16000, 24000, 48000),
    "AAC": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
}


def choose_subtype(info: AudioInfo, target: str, bit_depth: str | None) -> str:
    """Return the subtype for an output made from `info` in the container `target`.

    `bit_depth`: 16, 24, 32 or float, None for that of the input or the nearest one. Raises UsageError.
    """
    if target == info.container and is_lossless(info.subtype) and bit_depth is None and target in ("M4A", "OGG"):
        return f"{'ALAC' if target == 'M4A' else 'FLAC'}_{16 if depth(info.subtype) in (8, 16) else 24}"
    if target == "OPUS" or (target in _CODECS and bit_depth is None and not info.subtype.startswith("ALAC")):
        if bit_depth is not None:
            raise UsageError(f"{target} has no bit depth", "leave --bit-depth out, or choose --format wav or flac")
        return _CODECS[target]
    if target == "M4A":
        if bit_depth not in (None, "16", "24"):
            raise UsageError(
                f"M4A cannot hold {bit_depth}-bit samples", "choose --format wav, or leave --bit-depth out"
            )
        return info.subtype if bit_depth is None else f"ALAC_{bit_depth}"
    if target in _CODECS:
        raise UsageError(f"{target} has no bit depth", "leave --bit-depth out, or choose --format wav or flac")
    if bit_depth is not None:
        if bit_depth not in _DEPTHS:
            raise UsageError(f"--bit-depth {bit_depth} is unknown", f"choose one of {', '.join(_DEPTHS)}")
        if not soundfile.check_format(target, _DEPTHS[bit_depth]):
            sample_type = "floats" if bit_depth == "float" else f"{bit_depth} bits"
            raise UsageError(f"{target} cannot hold {sample_type}", "choose --format wav, or --bit-depth 24")
        return _DEPTHS[bit_depth]
    if target == "CAF" and info.subtype.startswith("ALAC"):
        exact = {"ALAC_16": "ALAC_16", "ALAC_32": "PCM_32"}.get(info.subtype, "ALAC_24")
        return exact if info.channels <= 2 else exact.replace("ALAC", "PCM")
    if info.subtype not in LOSSY and soundfile.check_format(target, info.subtype):
        return info.subtype
    return next(s for s in _nearest(info.subtype) if soundfile.check_format(target, s))


def _nearest(subtype: str) -> tuple[str, ...]:
    """Return subtypes to try, best first, for samples of `subtype` in a container that does not have it."""
    if subtype in FLOATS:
        return "FLOAT", "PCM_24", "PCM_16"
    bits = depth(subtype)
    if bits and bits > 24:
        return "PCM_32", "PCM_24", "PCM_16"
    if bits and bits > 16:
        return "PCM_24", "PCM_16"
    if subtype in ("PCM_U8", "PCM_S8"):
        return "PCM_U8", "PCM_S8", "PCM_16"
    return ("PCM_16",)


def choose_rate(info: AudioInfo, target: str, subtype: str, asked: int | None) -> int:
    """Return the rate in Hz, `asked` or that of the input or the nearest allowed one. Raises UsageError."""
    rate = asked or info.rate
    legal = _RATES.get(subtype)
    highest = {"FLAC": 655_350, "OGG": 200_000}.get(target, 768_000)
    if legal is None and rate <= highest or legal and rate in legal:
        return rate
    name = "Opus" if subtype == "OPUS" else target
    if asked is not None:
        rates = f"one of {', '.join(map(str, legal))}" if legal else f"at most {highest}"
        raise UsageError(f"{name} cannot be written at {rate} Hz", f"choose {rates} Hz, or --format wav")
    return min((r for r in legal if r >= rate), default=legal[-1]) if legal else highest
