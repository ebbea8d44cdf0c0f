"""Assign a loudspeaker to each channel, and order channels as each container wants them.

A layout is a tuple of loudspeakers in the order of the channels, with the names of FFmpeg and SMPTE ST 2036. Channels keep
the order of the file that they were read from. Only the writer reorders them for its container.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

Layout = tuple[str, ...]

# Bit k of the channel mask in WAVE_FORMAT_EXTENSIBLE; FLAC and FFmpeg keep channels in this order.
SPEAKERS: Layout = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip
# FLAC format specification, section 9.1.3. Also assumed for 5 and more channels whose loudspeakers a file does not name
FLAC_LAYOUTS: dict[int, Layout] = {
    count: tuple(names.split())
    for count, names in enumerate(
        ("FC", "FL FR", "FL FR FC", "FL FR BL BR", "FL FR FC BL BR", "FL FR FC LFE BL BR", "FL FR FC LFE BC SL SR",
         "FL FR FC LFE BL BR SL SR"), 1,
    )
}  # fmt: skip
# Vorbis I specification, section 4.3.9; the same for Opus (RFC 7845, section 5.1.1.2)
VORBIS_LAYOUTS: dict[int, Layout] = {
    count: tuple(names.split())
    for count, names in enumerate(
        ("FC", "FL FR", "FL FC FR", "FL FR BL BR", "FL FC FR BL BR", "FL FC FR BL BR LFE", "FL FC FR SL SR BC LFE",
         "FL FC FR SL SR BL BR LFE"), 1,
    )
}  # fmt: skip
# layouts that FFmpeg's AAC decoder reads back without an additional description of the channels
AAC_LAYOUTS: tuple[Layout, ...] = (
    *(FLAC_LAYOUTS[count] for count in (1, 2, 3, 4, 5, 6)), ("FL", "FR", "FC", "BC"), ("FL", "FR", "LFE"), ("FL", "FR", "BC"),
    ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
)  # fmt: skip
# layouts that FFmpeg writes into an M4A for channels without names, by their number
M4A_LAYOUTS: dict[int, Layout] = FLAC_LAYOUTS | {
    4: ("FL", "FR", "FC", "BC"), 7: ("FL", "FR", "FC", "LFE", "BL", "BR", "BC")
}  # fmt: skip
# layouts of Apple Lossless, one for each number of channels; it keeps the whole band of all of them
ALAC_LAYOUTS: dict[int, Layout] = M4A_LAYOUTS | {8: ("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC")}
# Core Audio labels other than bit + 1 -> loudspeaker
_OTHER_LABELS = {33: "BL", 34: "BR", 35: "FLW", 36: "FRW", 37: "LFE2", 42: "FC"}
# Core Audio layout tags (the upper 16 bits) of fixed order
_TAGS: dict[int, str] = {
    100: "FC", 101: "FL FR", 108: "FL FR BL BR", 113: "FL FR FC", 114: "FC FL FR", 115: "FL FR FC BC",
    116: "FC FL FR BC", 117: "FL FR FC BL BR", 118: "FL FR BL BR FC", 119: "FL FC FR BL BR", 120: "FC FL FR BL BR",
    121: "FL FR FC LFE BL BR", 122: "FL FR BL BR FC LFE", 123: "FL FC FR BL BR LFE", 124: "FC FL FR BL BR LFE",
    125: "FL FR FC LFE BL BR BC", 126: "FL FR FC LFE BL BR FLC FRC", 127: "FC FLC FRC FL FR BL BR LFE",
    128: "FL FR FC LFE SL SR BL BR", 129: "FL FR BL BR FC LFE FLC FRC", 131: "FL FR BC", 132: "FL FR BL BR",
    133: "FL FR LFE", 134: "FL FR LFE BC", 135: "FL FR LFE BL BR", 136: "FL FR FC LFE", 137: "FL FR FC LFE BC",
    138: "FL FR BL BR LFE", 139: "FL FR BL BR FC BC", 140: "FL FR SL SR FC BL BR", 141: "FC FL FR BL BR BC",
    142: "FC FL FR BL BR BC LFE", 143: "FC FL FR SL SR BL BR", 144: "FC FL FR SL SR BL BR BC",
    148: "FL FR BL BR FC FLC FRC", 149: "FC LFE", 150: "FL FC FR", 151: "FL FC FR BC", 152: "FL FC FR LFE",
    153: "FL FR BC LFE", 154: "FL FC FR BC LFE", 155: "FL FC FR BL BR BC", 156: "FL FC FR SL SR BL BR",
    157: "FL FC FR BL BR LFE BC", 160: "FL FC FR SL SR LFE BL BR", 161: "FL FC FR BL BR LFE FLC FRC",
    168: "FC FL FR LFE", 169: "FC FL FR BC LFE",
}  # fmt: skip
# tag 128, which FFmpeg writes into a CAF for channels in the order of the mask
CORE_AUDIO_7_1: Layout = ("FL", "FR", "FC", "LFE", "SL", "SR", "BL", "BR")
AMBISONIC = bytes.fromhex("2107d3118644c8c1ca000000")  # how the subformats of B-format end in WAVE_FORMAT_EXTENSIBLE
# Channels cancel each other if the energy of their mean is below this share of the mean of their energies
_CANCELLED = 0.003
# BS.1770-4 and EBU R 128, as FFmpeg's ebur128 applies them
_SURROUND = frozenset(["BL", "BR", "BC", "SL", "SR", "TBL", "TBC", "TBR"])


def from_mask(mask: int, channels: int) -> Layout | None:
    """Return the layout of a WAVE channel mask, or None if it does not name all `channels`."""
    named = tuple(name for bit, name in enumerate(SPEAKERS) if mask >> bit & 1)
    return named if len(named) == channels and mask < 1 << len(SPEAKERS) else None


def to_mask(layout: Layout) -> int | None:
    """Return the WAVE channel mask of a layout in any order, or None if a loudspeaker has no bit in it."""
    if len(set(layout)) != len(layout) or not set(layout) <= set(SPEAKERS):
        return None
    return sum(1 << SPEAKERS.index(name) for name in layout)


def from_names(names: Sequence[str]) -> Layout | None:
    """Return a layout if all of `names` are loudspeakers and differ, else None."""
    return tuple(names) if names and to_mask(tuple(names)) is not None else None


def permutation(layout: Layout, wanted: Layout) -> list[int] | None:
    """Return the channels of `layout` in the order of `wanted`, or None if these are not the same loudspeakers.

    If a layout has only one of the side pair and the back pair, the two are treated as equal, since 5.1 is written with
    either.
    """
    if set(layout) != set(wanted):
        twins = {"SL": "BL", "SR": "BR", "BL": "SL", "BR": "SR"}
        both = {"SL", "BL"} <= set(layout) | set(wanted) and not {"SL", "BL"} <= set(layout)
        layout = tuple(twins.get(name, name) for name in layout) if both else layout
    if len(layout) != len(wanted) or set(layout) != set(wanted):
        return None
    return [layout.index(name) for name in wanted]


def mask_order(layout: Layout) -> Layout:
    """Return the loudspeakers of `layout` in the order of the WAVE mask."""
    return tuple(sorted(layout, key=SPEAKERS.index))


def loudness_weights(layout: Layout | None, channels: int) -> np.ndarray:
    """Return the weight (C,) of each channel in BS.1770: 1.41 for surround, 0 for low-frequency effects, otherwise 1.

    Five to eight channels without names are assumed to be 5.0, 5.1, 6.1 and 7.1.
    """
    if layout is None:
        layout = FLAC_LAYOUTS[channels] if 5 <= channels <= 8 else ("",) * channels
    return np.array([0.0 if name.startswith("LFE") else 1.41 if name in _SURROUND else 1.0 for name in layout])


def from_core_audio(chunk: bytes, channels: int) -> Layout | None:
    """Return the layout in a `chan` chunk of CAF (`CHAN` of AIFF), or None if it does not name all `channels`."""
    if len(chunk) < 12:
        return None
    tag, bitmap, count = struct.unpack_from(">III", chunk)
    if tag == 0x10000:
        return from_mask(bitmap, channels)
    if tag:
        names = tuple(_TAGS.get(tag >> 16, "").split())
        return names if len(names) == channels == tag & 0xFFFF else None
    if count != channels or len(chunk) < 12 + 20 * count:
        return None
    labels = [struct.unpack_from(">I", chunk, 12 + 20 * i)[0] for i in range(count)]
    known = {bit + 1: name for bit, name in enumerate(SPEAKERS)} | _OTHER_LABELS
    return from_names([known.get(label, "") for label in labels])


def to_core_audio(layout: Layout) -> bytes:
    """Return a `chan` chunk that describes each channel by its label."""
    labels = [SPEAKERS.index(name) + 1 for name in layout]
    return struct.pack(">III", 0, 0, len(labels)) + b"".join(struct.pack(">II12x", label, 0) for label in labels)


def cancels(audio: np.ndarray) -> bool:
    """Return whether the channels of (C, N) samples cancel each other in their mean, as with opposite polarity."""
    return cancelled(mean_energies(audio))


def mean_energies(audio: np.ndarray) -> np.ndarray:
    """Return (2,) for (C, N) samples: the energy of the mean of their channels, and the mean of their energies."""
    mean = audio.mean(axis=0, dtype=np.float64)
    return np.array([np.square(mean).sum(), np.square(audio, dtype=np.float64).mean(axis=0).sum()])


def cancelled(energies: np.ndarray) -> bool:
    """Return whether channels with these `mean_energies` cancel each other."""
    return bool(energies[0] < _CANCELLED * energies[1])


def to_mono(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean (N,) float32 of the channels of (C, n) blocks, or the first channel where the mean cancels them."""
    return mono_and_cancelled(blocks)[0]


def mono_and_cancelled(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, bool]:
    """Return the same as `to_mono`, and whether the mean cancels the channels.

    Two channels of opposite polarity, caused by a wrongly wired cable, must not become silence.
    """
    means, firsts, energies = [], [], np.zeros(2)
    for block in blocks:
        mean = block.mean(axis=0, dtype=np.float32)
        means.append(mean)
        if block.shape[0] > 1:
            firsts.append(block[0].astype(np.float32))
            energies += mean_energies(block)
    cancel = bool(firsts) and cancelled(energies)
    return np.concatenate((firsts if cancel else means) or [np.zeros(0, np.float32)]), cancel
