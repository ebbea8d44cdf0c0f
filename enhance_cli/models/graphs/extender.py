"""Extend bandwidth with ONNX Runtime and NumPy, as models.windowed_extender does in torch.

Only networks that predict the levels of bands are supported.
"""

from collections.abc import Sequence

import numpy as np

from enhance_cli.audio.spectra import fine_bands_numpy as fine_bands
from enhance_cli.models.frame_noise_numpy import SAMPLE_BLOCK, FrameNoise
from enhance_cli.models.graphs.graph import Graph
from enhance_cli.models.graphs.model import OnnxModel
from enhance_cli.models.spec import Spec

LEVEL_NETWORKS = ("band_levels", "copy_up")


class GraphExtenderModel(OnnxModel):
    """Hold a model for bandwidth ready to run, as models.load.Model."""

    graph: Graph
    INPUTS, OUTPUTS = ("levels", "known"), ("made", "peaks")

    def extender(self, *, seed: int) -> "GraphExtender":
        """Return the model over windows of waveforms."""
        return GraphExtender(self.spec, self.graph, seed=seed)


class GraphExtender:
    """Make the band that is missing in windows at 48 kHz, as models.windowed_extender.WindowedExtender."""

    rate, grid = fine_bands.RATE, fine_bands.HOP

    def __init__(self, spec: Spec, graph: Graph, *, seed: int):
        self.spec, self.graph, self.seed = spec, graph, seed
        self.reach: int = (graph.facts["receptive_field"] + 2) * fine_bands.HOP

    def check(self, edge: float) -> None:
        """Accept any band: networks that predict levels continue all of them."""

    def wide(
        self, windows: Sequence[np.ndarray], starts: Sequence[int], edges: Sequence[float], levels: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return windows (C, n) with a band above the edge. Arguments as in WindowedExtender."""
        return [self._wide(*of_one) for of_one in zip(windows, starts, edges, levels)]

    def _wide(self, window: np.ndarray, start: int, edge: float, level: np.ndarray) -> np.ndarray:
        samples, factor = window.shape[1], self.spec.scale_for(level).astype(np.float32)
        spectra = fine_bands.analyze(_whole_frames(factor * window.astype(np.float32)))
        power = (np.square(spectra.real) + np.square(spectra.imag)).mean(axis=0)
        known = np.array([fine_bands.known_bands(edge)], np.int64)
        inputs = {"levels": fine_bands.levels(power)[None], "known": known}
        wanted, peaks = self.graph.run(["made", "peaks"], inputs)
        drawn = FrameNoise(self.seed, start, (1, samples), block=SAMPLE_BLOCK)()[0]
        noise = fine_bands.analyze(_whole_frames(drawn))[0]
        full = fine_bands.fill(spectra, edge, wanted[0], peaks[0], noise)
        return fine_bands.synthesize(full, samples) / factor


def _whole_frames(audio: np.ndarray) -> np.ndarray:
    return np.pad(audio, ((0, 0), (0, -audio.shape[1] % fine_bands.HOP)))
