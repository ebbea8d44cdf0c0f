"""Arrange the channels of an output in the order of its container, and choose how their loudspeakers are stated.

WAV and FLAC list loudspeakers in the order of a bit mask, Ogg has one fixed order for each number of channels, AAC has a few.
"""

from enhance_cli.audio.channels import (
    AAC_LAYOUTS,
    ALAC_LAYOUTS,
    FLAC_LAYOUTS,
    M4A_LAYOUTS,
    VORBIS_LAYOUTS,
    Layout,
    mask_order,
    permutation,
    to_mask,
)
from enhance_cli.audio.info import AudioInfo


def arrange(info: AudioInfo, container: str) -> tuple[dict, list[str]]:
    """Return order, layout, mask and ambisonic of an OutputFormat, and a note if `container` cannot name the loudspeakers.

    ALAC stands for Apple Lossless in M4A.
    """
    wave = container in ("WAV", "WAVEX", "RF64")
    if wave and (info.mask is not None or info.ambisonic):  # as they are
        return {"layout": info.layout, "mask": info.mask, "ambisonic": info.ambisonic}, []
    if info.layout is None:
        return _arrange_unnamed(info, container)
    layout, count = info.layout, info.channels
    if container == "OGG":
        order = permutation(layout, VORBIS_LAYOUTS[count]) if count in VORBIS_LAYOUTS else None
        if order is not None:
            return {"layout": VORBIS_LAYOUTS[count], "order": tuple(order)}, []
        return {}, [_unnamed(container, layout)]
    if container in ("CAF", "AIFF") and info.container == container:
        return {"layout": layout}, []
    turned = _turned(layout, mask_order(layout))
    if container in ("CAF", "AIFF"):  # some readers look at the labels and not at their order
        return turned, []
    plain = count <= 2 and permutation(layout, FLAC_LAYOUTS[count]) is not None  # mono or stereo
    if wave:
        return turned | {"mask": None if plain else to_mask(layout)}, []
    if container == "FLAC":
        stated = info.mask is not None or info.container != "FLAC" or info.decoder != "libsndfile"
        return turned | {"mask": None if plain or not stated else to_mask(layout)}, []
    if container == "M4A":
        fitting = next((known for known in AAC_LAYOUTS if permutation(layout, known)), None)
        if fitting is None:
            return turned, [_unnamed(container, layout)]
        return _turned(layout, fitting), []
    if container == "ALAC":
        if permutation(layout, ALAC_LAYOUTS[count]) is None:
            return {"layout": ALAC_LAYOUTS[count]}, [_unnamed("M4A", layout)]
        return _turned(layout, ALAC_LAYOUTS[count]), []
    return turned, [] if plain else [_unnamed(container, mask_order(layout))]


def _arrange_unnamed(info: AudioInfo, container: str) -> tuple[dict, list[str]]:
    """Return the same if the input does not name its loudspeakers, with a note on those that players will assume."""
    count, name = info.channels, "M4A" if container == "ALAC" else container
    notes = [f"{container} does not say that this is ambisonic sound"] if info.ambisonic else []
    ogg = FLAC_LAYOUTS if count > 4 else VORBIS_LAYOUTS
    layouts = {"FLAC": FLAC_LAYOUTS, "OGG": ogg, "M4A": M4A_LAYOUTS, "ALAC": ALAC_LAYOUTS}
    taken = layouts.get(container, {}).get(count)
    if taken and count > 2 and not info.ambisonic and not (info.container == container == "FLAC"):
        cuts_lfe = "LFE" in taken and container not in ("FLAC", "ALAC")
        low = ", of which LFE keeps only the lowest tones" if cuts_lfe else ""
        notes = [f"the input does not name its loudspeakers: players take {name} for {' '.join(taken)}{low}"]
    if container == "ALAC":
        return {"layout": taken}, notes
    if container != "OGG" or count not in VORBIS_LAYOUTS or count < 5:
        return {}, notes
    return _turned(FLAC_LAYOUTS[count], VORBIS_LAYOUTS[count]), notes


def _turned(layout: Layout, wanted: Layout) -> dict:
    """Return the channels of `layout` in the order `wanted`, which names the same loudspeakers."""
    order = permutation(layout, wanted)
    return {"layout": wanted, "order": None if order is None else tuple(order)}


def _unnamed(container: str, layout: Layout) -> str:
    return f"{container} does not name the loudspeakers of these channels, {' '.join(layout)}"
