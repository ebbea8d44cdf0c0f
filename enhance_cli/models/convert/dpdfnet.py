"""Read DPDFNet as published: a torch file of tensors, whose batch normalizations are folded here.

The start of the running means is not in the files. At 48 kHz it is a table of the published program
(dpdfnet_initial_states.npz beside this file, Apache-2.0), else a straight line.
(https://github.com/ceva-ip/DPDFNet, commit fadf269abc8207743cc7ff05e8cace6154008c04)
"""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from enhance_cli.errors import ModelError
from enhance_cli.models.convert.checkpoint import read
from enhance_cli.models.convert.speakers import fitting
from enhance_cli.models.spec import Spec

NETWORK = "dpdfnet"
EPSILON = 1e-5  # of the batch normalizations
FRAMES_PER_SECOND = 50  # of windows of n_fft samples
REMEDY = "use a file of the folder checkpoints of Ceva-IP/DPDFNet"

Tensors = dict[str, Tensor]


def convert(source: Path) -> tuple[Tensors, Spec]:
    """Return the weights by the names of networks.dpdfnet, and the header. Raises ModelError."""
    found = read(source)
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    try:
        args = arguments(found)
        state = renamed(found, args) | starts(args)
    except (LookupError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(f"{source}: not a DPDFNet ({error})", REMEDY) from error
    spec = Spec(
        name=source.stem, network=NETWORK, process="", network_args=args, frontend=None,
        sample_rate=FRAMES_PER_SECOND * args["n_fft"], samplers=(), max_steps=1, normalise="none",
    )  # fmt: skip
    return fitting(source, state, NETWORK, args), spec


def arguments(found: Tensors) -> dict[str, Any]:
    """Return the arguments of the network, by the shapes of the tensors. Raises LookupError."""
    by_bands = "enc.erb_fc_emb.0.layers.0.weight" not in found
    blocks = {name.split(".")[3] for name in found if name.startswith("enc.dprnn_erb.blocks.")}
    kernels = [sum(name.startswith(f"erb_dec.convt{i}.0.convs.") for name in found) for i in (1, 2, 3)]
    taps = found["df_dec.df_out.0.layers.0.bias"]
    return {
        "n_fft": 2 * (len(found["erb_fb"]) - 1),
        "blocks": len(blocks),
        "low_bins": len(taps) * _groups(found, "df_dec.df_out.0") // 10,
        "strides": [max(1, count) for count in kernels],
        "bands": (found["erb_fb"] > 0).sum(dim=0).tolist() if by_bands else None,
        "channels": len(found["enc.erb_conv0.1.weight"]),
        "hidden": found["enc.emb_gru.gru.weight_hh_l0"].shape[1],
    }


def starts(args: dict[str, Any]) -> Tensors:
    """Return the start of the two running means, in dB and as a magnitude."""
    bins, low = args["n_fft"] // 2 + 1, args["low_bins"]
    if (bins, low, args["bands"]) == (481, 96, None):
        table = resources.files("enhance_cli.models.convert") / "dpdfnet_initial_states.npz"
        with table.open("rb") as file, np.load(file) as arrays:
            level, magnitude = arrays["mag_mu0_481"], arrays["spec_s0_96"]
    else:
        level = np.linspace(-60, -90, len(args["bands"]) if args["bands"] else bins)
        magnitude = np.linspace(1e-3, 1e-4, low)
    return {name: torch.from_numpy(a).float() for name, a in (("level_start", level), ("magnitude_start", magnitude))}


def renamed(found: Tensors, args: dict[str, Any]) -> Tensors:
    """Return the weights by our names, the normalizations folded. Raises LookupError."""

    def folded(layer: str, weight: str, norm: str) -> Tensors:
        gain = found[f"{norm}.weight"] / (found[f"{norm}.running_var"] + EPSILON).sqrt()
        bias = found[f"{norm}.bias"] - found[f"{norm}.running_mean"] * gain
        return {f"{layer}.weight": found[f"{weight}.weight"] * gain[:, None, None, None], f"{layer}.bias": bias}

    def separable(layer: str, upstream: str, kernels: int = 1) -> Tensors:
        if kernels == 1:
            depthwise = found[f"{upstream}.0.weight"]
        else:
            weights = [found[f"{upstream}.0.convs.{i}.weight"] for i in range(kernels)]
            depthwise = torch.stack(weights, dim=1).flatten(0, 1)
        return {f"{layer}.depthwise.weight": depthwise} | folded(f"{layer}.pointwise", f"{upstream}.1", f"{upstream}.2")

    def halves(layer: str, upstream: str) -> Tensors:
        return {f"{layer}.weight": torch.cat([found[f"{upstream}.convs.{i}.weight"] for i in (0, 1)])}

    def grouped(layer: str, upstream: str) -> Tensors:
        layers = [f"{upstream}.layers.{g}" for g in range(_groups(found, upstream))]
        weight = torch.stack([found[f"{name}.weight"].T for name in layers])
        return {f"{layer}.weight": weight, f"{layer}.bias": torch.cat([found[f"{name}.bias"] for name in layers])}

    state = folded("erb_conv0", "enc.erb_conv0.1", "enc.erb_conv0.2")
    for name in ("erb_conv1", "erb_conv2", "erb_conv3", "df_conv1"):
        state |= separable(name, f"enc.{name}")
    for i, stride in enumerate(args["strides"], 1):
        state |= separable(f"convt{i}", f"erb_dec.convt{i}", stride)
    for i in range(4):
        state |= folded(f"conv{i}p", f"erb_dec.conv{i}p.0", f"erb_dec.conv{i}p.1")
    state |= folded("conv0_out", "erb_dec.conv0_out.0", "erb_dec.conv0_out.1")
    state |= halves("df_conv0.0", "enc.df_conv0.1") | folded("df_conv0.1", "enc.df_conv0.2", "enc.df_conv0.3")
    state |= halves("df_convp.0", "df_dec.df_convp.1")
    state |= folded("df_convp.1", "df_dec.df_convp.2", "df_dec.df_convp.3")
    for ours, theirs in GROUPED.items():
        if args["bands"] is None or not ours.startswith("erb_fc"):
            state |= grouped(ours, theirs)
    for pattern, ours in KEPT:
        state |= {re.sub(pattern, ours, name): tensor for name, tensor in found.items() if re.match(pattern, name)}
    return state


GROUPED = {
    "erb_fc_emb": "enc.erb_fc_emb.0",
    "df_fc_emb": "enc.df_fc_emb.0",
    "encoder_gru.linear_in": "enc.emb_gru.linear_in.0",
    "encoder_out": "enc.emb_gru.linear_out.0",
    "erb_gru.linear_in": "erb_dec.emb_gru.linear_in.0",
    "erb_out": "erb_dec.emb_gru.linear_out.0",
    "erb_fc_out": "erb_dec.erb_fc_emb.0",
    "df_gru.linear_in": "df_dec.df_gru.linear_in.0",
    "df_skip": "df_dec.df_skip",
    "df_out": "df_dec.df_out.0",
}
KEPT = (  # layers that differ in their names only
    (r"^enc\.(dprnn_\w+)\.blocks\.", r"\1."),
    (r"^enc\.emb_gru\.gru\.", "encoder_gru.gru."),
    (r"^enc\.lsnr_fc\.0\.", "lsnr."),
    (r"^erb_dec\.emb_gru\.gru\.", "erb_gru.gru."),
    (r"^df_dec\.df_gru\.gru\.", "df_gru.gru."),
)


def _groups(found: Tensors, upstream: str) -> int:
    return sum(name.startswith(f"{upstream}.layers.") and name.endswith(".bias") for name in found)
