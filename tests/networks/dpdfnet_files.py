"""State dicts of DPDFNet with golden weights, in the layout of its published files."""

import numpy as np
import torch

from tests.golden_numbers import FOLDER, weight

BANDS_16K = [1] * 11 + [2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 7, 7, 8, 8, 10, 12, 12, 14, 16, 18]
KEYS = {
    (16000, 0): "dpdfnet_16k_0",
    (16000, 2): "dpdfnet_16k_2",
    (48000, 2): "dpdfnet_48hr_2",
    (8000, 2): "dpdfnet_8k_2",
}
KEPT = ("erb_fb", "erb_inv_fb", "stft.w", "istft.w_inv", "istft_norm.w_inv", "mask.erb_inv_fb")


def shapes(rate: int, blocks: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file. Of more than two blocks all have the shapes of the first."""
    listed = FOLDER / f"{KEYS[rate, min(blocks, 2)]}_keys.txt"
    lines = (line.split(" ", 1) for line in listed.read_text().splitlines())
    found = {name: tuple(int(n) for n in shape.strip("[]").split(",") if n) for name, shape in lines}
    for name, shape in list(found.items()):
        if ".blocks.0." in name:
            found |= {name.replace(".blocks.0.", f".blocks.{i}."): shape for i in range(2, blocks)}
    return found


def small(found: dict[str, tuple[int, ...]], channels: int = 16, hidden: int = 32) -> dict[str, tuple[int, ...]]:
    """The shapes with fewer channels, as two golden items have them."""
    return {name: _smaller(name, shape, channels, hidden) for name, shape in found.items()}


def _smaller(name: str, shape: tuple[int, ...], channels: int, hidden: int) -> tuple[int, ...]:
    if name.startswith(("erb", "stft", "istft", "mask")) and "dec" not in name:
        return shape
    gru = ".emb_gru.gru." in name or ".df_gru.gru." in name
    by = hidden / 256 if gru else channels / 64
    whole = {1, 2, 3, 5, 10}
    if ".layers." in name:  # pieces of hidden or embedding width, or of the taps
        ins = {"df_dec.df_out": hidden / 256, "linear_out": hidden / 256}
        outs = {"df_dec.df_out": 1, "linear_in": hidden / 256, "df_skip": hidden / 256}
        scale_in = next((v for k, v in ins.items() if k in name), channels / 64)
        scale_out = next((v for k, v in outs.items() if k in name), channels / 64)
        scales = (scale_out, scale_in)
        return tuple(round(n * s) for n, s in zip(shape, scales))
    if "lsnr" in name:
        return tuple(n if n == 1 else round(n * channels / 64) for n in shape)
    return tuple(n if n in whole else round(n * by) for n in shape)


def state(rate: int, wanted: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """A state dict of golden weights. Only the number and the places of bands matter in the matrices of bands."""
    values = {
        name: torch.from_numpy(np.asarray(weight(name, shape))) if shape else torch.tensor(0)
        for name, shape in wanted.items()
    }
    bins = rate // 100 + 1
    matrix = torch.zeros(bins, 32)
    widths = BANDS_16K if rate == 16000 else [1] * 31 + [bins - 31]
    begin = 0
    for band, width in enumerate(widths):
        matrix[begin : begin + width, band] = 1 / width
        begin += width
    values |= {"erb_fb": matrix, "erb_inv_fb": (matrix.T > 0).float(), "mask.erb_inv_fb": (matrix.T > 0).float()}
    return {name: values[name] for name in wanted}
