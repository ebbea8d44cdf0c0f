"""Embed speakers and repair embeddings with ONNX Runtime and NumPy, without draws of noise.

models.extractor and models.vector_repairer do the same in torch.
"""

from typing import Any

import numpy as np

from enhance_cli.audio.spectra.stft_numpy import make_window, stft
from enhance_cli.errors import UsageError
from enhance_cli.models.extractor import normalized
from enhance_cli.models.graphs.graph import Graph
from enhance_cli.models.graphs.model import OnnxModel
from enhance_cli.models.spec import Spec
from enhance_cli.processes import PROCESSES

SPEAKER_PREDICTION = {"kind": "data", "skip": "signal"}  # x0 = a(t) x + output of the network
MIN_LENGTH, MAX_LENGTH = np.float32(1e-12), np.float32(1e18)  # lengths of usable vectors


class GraphExtractor(OnnxModel):
    """Embed speech, as models.extractor.Extractor."""

    graph: Graph
    INPUTS, OUTPUTS = ("power",), ("embedding",)

    def __init__(self, spec: Spec, graph: Graph, threads: int | None = None):
        super().__init__(spec, graph, threads)
        self.id = spec.extractor_id
        self.dimension = spec.embedding_dimension
        self.sample_rate: int = spec.sample_rate
        self._hop = graph.facts["hop"]
        self._window = make_window("hann", graph.facts["n_fft"])

    def embed_segments(self, waves: np.ndarray) -> np.ndarray:
        """Return embeddings (B, D) of waves (B, N) float32 at `sample_rate`."""
        spectra = stft(waves.astype(np.float32), self._window, self._hop)[:, :-1]
        power = np.square(spectra.real) + np.square(spectra.imag)
        return self.graph.run(["embedding"], {"power": power})[0]


class GraphRepairModel(OnnxModel):
    """Hold a repair model ready to run."""

    graph: Graph
    INPUTS, OUTPUTS = ("x", "t"), ("output",)

    def repairer(self, **settings: Any) -> "GraphRepairer":
        """Return the model over blocks of embeddings, with the settings of GraphRepairer."""
        return GraphRepairer(self.spec, self.graph, **settings)


class GraphRepairer:
    """Repair blocks of embeddings by DDIM from the vector itself, as models.vector_repairer.VectorRepairer."""

    def __init__(
        self,
        spec: Spec,
        graph: Graph,
        *,
        steps: int | None,
        time: float | None,
        draws: int,
        seed: int,
        ensemble: float,
        keep_length: bool,
    ):
        """Take the settings of VectorRepairer. `seed` is not used.

        Raises UsageError for a number of steps or a time that the model does not have, and for draws of noise.
        """
        if draws:
            raise UsageError("--draws draws noise, which needs torch", "use --runtime torch")
        self.spec, self._graph, self.ensemble, self.keep_length = spec, graph, ensemble, keep_length
        self.dimension = spec.embedding_dimension
        self.steps, sampler = spec.choose(steps, None)
        settings = spec.sampler_args.get(sampler, {})
        start = time if time is not None or self.steps > 1 else spec.default_time
        self._limit: float | None = settings.get("limit")
        process = PROCESSES[spec.process](**spec.process_args)
        self._times = process.levels(self.steps, start)
        self._signal, self._spread = schedule(process.beta_min, process.beta_max, process.count)

    def repair(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (repaired (B, D), unusable (B,) bool) for embeddings (B, D) float32. Unusable ones are as they were."""
        with np.errstate(over="ignore", invalid="ignore"):
            length = np.sqrt(np.square(block).sum(axis=1, keepdims=True))
        bad = ~((length > MIN_LENGTH) & (length < MAX_LENGTH))
        usable = np.where(bad, np.float32(0), block)
        unit = usable / np.where(bad, np.float32(1), length)
        y = unit * np.float32(self.dimension**0.5) if self.spec.normalise == "unit-rms" else usable
        repaired = normalized(self._sampled(y))
        if self.ensemble:
            repaired = normalized(np.float32(self.ensemble) * unit + np.float32(1 - self.ensemble) * repaired)
        if self.keep_length:
            repaired = repaired * length
        return np.where(bad, block, repaired), bad[:, 0]

    def _sampled(self, y: np.ndarray) -> np.ndarray:
        """Return the estimates (B, D) by DDIM, which starts at the vectors y (B, D) as the process has them."""
        x = self._at(self._times[0])[0] * y
        for t, s in zip(self._times, self._times[1:]):
            (signal, spread), (signal_after, spread_after) = self._at(t), self._at(s)
            output = self._graph.run(["output"], {"x": x, "t": np.array([t], np.float32)})[0]
            x0 = np.sqrt(1 - spread**2) * x + output
            if self._limit is not None:
                x0 = x0.clip(-self._limit, self._limit)
            x = x0 if s < 0 else signal_after * x0 + spread_after / spread * (x - signal * x0)
        return x

    def _at(self, t: float) -> tuple[np.float32, np.float32]:
        """Return the factor of the signal and the standard deviation of the noise at time t."""
        row = int(np.clip(round(t) + 1, 0, len(self._signal) - 1))
        return self._signal[row], self._spread[row]


def schedule(beta_min: float, beta_max: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sqrt(p) and sqrt(1 - p) at the times -1, 0, 1, ..., float32, as processes.ddpm.schedule."""
    beta = np.linspace(beta_min**0.5, beta_max**0.5, count, dtype=np.float32) ** 2
    kept = np.cumprod((1 - beta).astype(np.float64)).astype(np.float32)
    kept = np.concatenate([[1.0], kept.astype(np.float64)])
    return np.sqrt(kept).astype(np.float32), np.sqrt(1 - kept).astype(np.float32)
