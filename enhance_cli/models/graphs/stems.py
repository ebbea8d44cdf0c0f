"""Run stem models with ONNX Runtime and NumPy, as models.stems and models.windowed_separator do in torch.

Only extractors that make masks for all stems in one pass are here, without refinement.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from enhance_cli.audio.spectra.stft_numpy import istft, make_window, stft
from enhance_cli.models.graphs.graph import Graph
from enhance_cli.models.graphs.model import OnnxModel
from enhance_cli.models.spec import Spec

N_FFT, HOP = 2048, 512  # of audio.spectra.mixture_consistency


class GraphStemModel(OnnxModel):
    """Hold a stem model ready to run, as models.stems.StemModel."""

    graph: Graph
    INPUTS, OUTPUTS = ("spectrum",), ("masks",)

    def windowed(self, stems: Sequence[str], **settings: Any) -> "GraphSeparator":
        """Return the model over windows of waveforms, with the settings of GraphSeparator."""
        return GraphSeparator(self.spec, self.graph, stems, **settings)


class GraphSeparator:
    """Extract stems from windows, as models.windowed_separator.WindowedSeparator."""

    sigma = None

    def __init__(
        self,
        spec: Spec,
        graph: Graph,
        stems: Sequence[str],
        *,
        steps: int | None,
        sampler: str | None,
        sigma: float | None,
        seed: int,
        sums_to_mix: bool,
    ):
        """Take the settings of WindowedSeparator. `sigma` and `seed` are for refinement, and not used."""
        self.spec, self.graph, self.sums_to_mix = spec, graph, sums_to_mix
        self.rate, self.grid = spec.sample_rate, spec.frames_multiple
        self.steps, self.sampler = spec.choose(steps, sampler)
        self.reach = graph.facts["receptive_field"] + N_FFT
        self._hop = graph.facts["hop"]
        self._window = make_window("hann", graph.facts["n_fft"])
        self._stems = [spec.stems.index(stem) for stem in stems]

    def separate(
        self, windows: Sequence[np.ndarray], starts: Sequence[int], scales: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Extract the stems of windows of one shape. Arguments and result as in WindowedSeparator."""
        return [
            self._separate(window.astype(np.float32), scale.astype(np.float32))
            for window, scale in zip(windows, scales)
        ]

    def _separate(self, mix: np.ndarray, scale: np.ndarray) -> np.ndarray:
        samples = mix.shape[1]
        multiple = np.lcm(self.grid, self._hop)
        spectrum = stft(np.pad(mix * scale, ((0, 0), (0, -samples % multiple))), self._window, self._hop)
        spectrum *= np.float32(len(self._window) ** -0.5)
        parts = np.stack([spectrum.real, spectrum.imag], axis=-1)
        masks = self.graph.run(["masks"], {"spectrum": parts})[0]  # (C, K, T, F, 2)
        masks = np.ascontiguousarray(masks[:, self._stems]).view(np.complex64)[..., 0]
        spectra = masks.swapaxes(0, 1) * spectrum / np.float32(len(self._window) ** -0.5)
        found = istft(spectra, self._window, self._hop, samples) / scale  # (K, C, n)
        if self.sums_to_mix:
            found = found + share_out(found, mix - found.sum(axis=0))
        shares = upper_shares(found, mix, sum_to_one=self.sums_to_mix)
        return np.concatenate([found, shares, mix[None]]).reshape(-1, samples)


def share_out(stems: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return the share (K, C, n) of each of the stems in `rest` (C, n), as audio.spectra.mixture_consistency.share_out."""
    window = make_window("hann", N_FFT)
    sizes = np.abs(stft(stems, window, HOP)) + np.float32(1e-6)
    waves = istft(sizes / sizes.sum(axis=0) * stft(rest, window, HOP), window, HOP, rest.shape[-1])
    return waves + (rest - waves.sum(axis=0)) / np.float32(len(stems))


def upper_shares(stems: np.ndarray, mix: np.ndarray, *, sum_to_one: bool) -> np.ndarray:
    """Return the share (K, C, n) of each of the stems (K, C, n) in the energy of the upper half of the band of the mix."""
    window = make_window("hann", N_FFT)
    energies, whole = (
        np.square(np.abs(stft(x, window, HOP)[..., N_FFT // 4 :])).sum(axis=-1) + np.float32(1e-12)
        for x in (stems, mix)
    )
    shares = energies / (energies.sum(axis=0) if sum_to_one else np.maximum(energies, whole))
    positions = np.minimum(np.arange(stems.shape[-1], dtype=np.float32) / HOP, shares.shape[-1] - 1)
    before = positions.astype(int)
    after = np.minimum(before + 1, shares.shape[-1] - 1)
    part = positions - before
    return shares[..., before] * (1 - part) + shares[..., after] * part
