"""Measure the time of every separator with published weights on one core, and beside it that of its authors' own program.

    python tests/benchmarks/separator_speed.py [NAME ...] [--seconds 4] [--runs 2] [--upstream FOLDER] [--table docs/models.md]

The networks have random weights of the published sizes, so nothing has to be fetched: the figures are about time only. It is
the time of the processor per second of audio (stereo, mono for TIGER), so that other work on the machine counts little. One
pass is one call of the network. The whole task makes as many as windows lie over each sample, for all stems.

With --upstream the same weights also run in the programs of their authors, which take turns with ours, and both must give the
same. FOLDER holds clones of github.com/ZFTurbo/Music-Source-Separation-Training and of github.com/JusperLee/TIGER (or of
suyccc/TIGER, where the network is), called "msst" and "tiger". Their networks need einops, beartype and
rotary-embedding-torch. librosa, which only makes a table of bands there, is replaced by torchaudio.

With --table the table between the marks in the file is replaced, or its rows of the named models.
"""

import argparse
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from enhance_cli.networks import NETWORKS
from tests.benchmarks.tables import put_rows

RATE = 44100
SCNET = {"dims": (4, 64, 128, 256), "strides": (1, 4, 16), "kernels": (3, 4, 16), "conv_depths": (3, 2, 1), "pairs": 6}
SEPARATORS = {  # network, its settings, windows over each sample, networks for all stems
    "bs-roformer-musdb": ("bs_roformer", {}, 2, 1),
    "mel-roformer-vocals": ("mel_band_roformer", {}, 2, 1),
    "tiger-dnr": ("tiger_dnr", {}, 3, 3),
    "scnet-small": ("scnet", SCNET | {"dims": (4, 32, 64, 128), "shares": (0.175, 0.392, 0.433)}, 4, 1),
    "scnet-large": ("scnet", SCNET | {"shares": (0.225, 0.372, 0.403)}, 4, 1),
    "scnet-xl-ihf": ("scnet", {}, 4, 1),
}


def ours(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a pass of our network, (1, C, N) -> (1, K, C, N) or one stem (1, 1, N)."""
    if hasattr(network, "extract_all"):
        return network.extract_all
    dialogue = torch.tensor([[1, 0, 0]])
    return lambda mix: network.extract(mix, dialogue)[0]


def find_roformers(folder: Path) -> None:
    """Let the RoFormers of `folder` be imported, with a table of bands by torchaudio instead of librosa."""
    from torchaudio.functional import melscale_fbanks

    def mel(*, sr: int, n_fft: int, n_mels: int) -> np.ndarray:
        bank = melscale_fbanks(n_fft // 2 + 1, 0.0, sr / 2, n_mels, sr, norm="slaney", mel_scale="slaney")
        bank[-1] = 0  # rounding there, where a triangle ends
        return bank.T.numpy().copy()

    stand_in("librosa").filters = types.SimpleNamespace(mel=mel)
    sys.path.insert(0, str(folder / "msst"))


def bs_roformer(folder: Path, state: dict[str, Tensor], _: dict) -> Callable[[Tensor], Tensor]:
    find_roformers(folder)
    from models.bs_roformer.bs_roformer import BSRoformer

    network = BSRoformer(
        dim=384, depth=8, stereo=True, num_stems=4, time_transformer_depth=1, freq_transformer_depth=1, dim_head=64,
        heads=8, flash_attn=True, stft_hop_length=441, mask_estimator_depth=2, mlp_expansion_factor=2, zero_dc=False,
    )  # fmt: skip
    return loaded(network, state)


def loaded(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Return a RoFormer with our weights. Its frequencies of the positions are constants that ours does not store."""
    frequencies = {k: v for k, v in network.state_dict().items() if k.endswith("rotary_embed.freqs")}
    network.load_state_dict(state | frequencies)
    return network.eval()


def mel_band_roformer(folder: Path, state: dict[str, Tensor], _: dict) -> Callable[[Tensor], Tensor]:
    find_roformers(folder)
    from models.bs_roformer.mel_band_roformer import MelBandRoformer

    network = MelBandRoformer(
        dim=384, depth=6, stereo=True, num_stems=1, time_transformer_depth=1, freq_transformer_depth=1, num_bands=60,
        dim_head=64, heads=8, flash_attn=True, stft_hop_length=441, mask_estimator_depth=2, zero_dc=False,
        match_input_audio_length=True,
    )  # fmt: skip
    loaded(network, state)
    return lambda mix: network(mix)[:, None]


def tiger_dnr(folder: Path, state: dict[str, Tensor], _: dict) -> Callable[[Tensor], Tensor]:
    for package in ("look2hear", "look2hear.models", "look2hear.layers"):
        stand_in(package).__path__ = [str(folder / "tiger" / package.replace(".", "/"))]
    from look2hear.models.tiger_dnr import TIGERDNR

    network = TIGERDNR()
    network.load_state_dict(state)
    network.eval()
    return lambda mix: network.dialog(mix)[:, 2:3]


def scnet(folder: Path, state: dict[str, Tensor], settings: dict) -> Callable[[Tensor], Tensor]:
    sys.path.insert(0, str(folder / "msst"))
    from models.scnet.scnet import SCNet

    usual = {
        "shares": (0.23, 0.37, 0.4),
        "strides": (1, 4, 4),
        "kernels": (3, 4, 4),
        "conv_depths": (3, 3, 3),
        "pairs": 8,
    }
    names = {"shares": "band_SR", "strides": "band_stride", "kernels": "band_kernel", "pairs": "num_dplayer"}
    settings = {names.get(name, name): value for name, value in (usual | settings).items()}
    network = SCNet(**{"dims": (4, 64, 128, 256)} | settings)
    network.load_state_dict(state)
    return network.eval()


UPSTREAM = {"bs_roformer": bs_roformer, "mel_band_roformer": mel_band_roformer, "tiger_dnr": tiger_dnr, "scnet": scnet}


def stand_in(name: str) -> types.ModuleType:
    return sys.modules.setdefault(name, types.ModuleType(name))


@torch.inference_mode()
def measure(name: str, seconds: float, runs: int, upstream: Path | None) -> dict:
    """Return the row of a separator: the quickest of several passes of each program, in turn, after one that warms up."""
    kind, settings, windows, networks = SEPARATORS[name]
    torch.manual_seed(0)
    network = NETWORKS[kind](**settings).eval().requires_grad_(False)
    mix = 0.1 * torch.randn(1, 1 if kind == "tiger_dnr" else 2, round(seconds * RATE))
    passes = [ours(network)]
    if upstream is not None:
        passes.append(UPSTREAM[kind](upstream, network.state_dict(), settings))
        short = mix[..., : RATE // 2]
        mine, theirs = (run(short) for run in passes)
        difference = float((mine - theirs).norm() / theirs.norm())
        if difference > 1e-4:
            raise SystemExit(f"{name}: the two programs differ by {difference:.2g}")
    times: list[list[float]] = [[] for _ in passes]
    for _ in range(runs):
        for run, found in zip(passes, times):
            begin = time.process_time()
            run(mix)
            found.append((time.process_time() - begin) / seconds)
    once, *others = (min(found) for found in times)
    factor = once * windows * networks
    return {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        "pass": once,
        "factor": factor,
        "cpu": "quick" if factor <= 0.1 else "fair" if factor <= 1 else "slow" if factor <= 10 else "GPU",
        "upstream": others[0] if others else None,
    }


def table(rows: list[dict]) -> str:
    lines = ["| model | parameters | one pass | the whole task | CPU | one pass of its authors' program | ratio |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [
            f"`{row['name']}`",
            f"{row['parameters']:.1f} M",
            f"{row['pass']:.2f}",
            f"{row['factor']:.1f}",
            row["cpu"],
        ]
        theirs = row["upstream"]
        cells += ["", ""] if theirs is None else [f"{theirs:.2f}", f"{theirs / row['pass']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SEPARATORS))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--upstream", type=Path)
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in asked.names:
        rows.append(measure(name, asked.seconds, asked.runs, asked.upstream))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(rows))
    if asked.table:
        put_rows(asked.table, "separator_speed", table(rows), whole=asked.names == list(SEPARATORS))


if __name__ == "__main__":
    main()
