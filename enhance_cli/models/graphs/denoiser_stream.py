"""Run denoising models as streams with ONNX Runtime, if their convolutions carry a state (networks.bridge_unet_stream).

A stream takes the samples of one channel and returns the change to them a second or so later. No frame is computed twice, and
the memory does not depend on the length of the recording. Blocks of any size give the samples of the whole recording.
"""

from collections.abc import Sequence

import numpy as np

from enhance_cli.audio.spectra.centered_frames import Analysis, Synthesis
from enhance_cli.audio.spectra.stft_numpy import make_window
from enhance_cli.models.graphs.graph import Graph
from enhance_cli.models.graphs.model import SpectrogramModel
from enhance_cli.models.sampling import Sampling, choose
from enhance_cli.samplers.bridge_ode import schedule

CHUNK = 80  # frames that are computed at a time, 1.3 s at 16 kHz: more are hardly faster, and take more memory


class StreamingDenoiser:
    """Open streams of a model, which may be used at the same time.

    `rate` in Hz. `block`: samples by which a stream goes on at a time.
    """

    def __init__(self, model: SpectrogramModel, sampling: Sampling):
        """Prepare the sampler bridge_ode. Raises UsageError for steps or settings that the model does not allow."""
        assert model.graph is not None  # `model` has a network
        self.model, self.graph, self.rate = model, model.graph, model.spec.sample_rate
        self.steps, _, settings = choose(model.spec, model.process, sampling)
        self.calls = schedule(model.process, self.steps, **settings) if self.steps else []
        self.block = CHUNK * model.frontend.hop

    def open(self) -> "ChannelStream":
        """Return a new stream."""
        return ChannelStream(self)


class ChannelStream:
    """Denoise one channel, or refine the estimate that a first stage has made of it."""

    def __init__(self, denoiser: StreamingDenoiser):
        model, graph = denoiser.model, denoiser.graph
        frontend = self._frontend = model.frontend
        window = make_window(frontend.window, frontend.n_fft)
        self._refines = bool(model.spec.first_stage)
        self._share = np.float32(model.spec.refinement if self._refines else 1)  # of the change
        self._analysis = Analysis(1 + self._refines, window, frontend.hop, beginning="silent", end="silent")
        self._synthesis = Synthesis(1, window, frontend.hop)
        self._calls = [(Call(graph, time), weights) for time, weights in denoiser.calls]
        self._ahead = graph.facts["receptive_field"]  # frames that the first call needs beyond a chunk
        self._frames = self._returned = 0  # frames that have been computed, samples that have been returned

    def push(self, rows: np.ndarray, last: bool = False) -> np.ndarray:
        """Take the next samples (1, n), or those of the channel and of its estimate (2, n), at the level of the model.

        Returns the change (1, m) to the samples that are ready, with `last` to all the rest.
        """
        self._analysis.push(rows)
        made = []
        while self._analysis.ready >= CHUNK + self._ahead:
            made.append(self._changed(CHUNK + self._ahead, last=False))
            self._ahead = 0
        samples = self._analysis.samples
        if last and samples:
            frames = 1 - (-samples // self._frontend.hop) - self._frames
            self._analysis.finish(frames)
            made += [self._changed(frames, last=True), self._synthesis.flush(samples)]
        if not made:
            return np.zeros((1, 0), np.float32)
        change = np.concatenate(made, axis=1)[:, : samples - self._returned]  # the last frame may end behind the signal
        self._returned += change.shape[1]
        return change

    def _changed(self, frames: int, *, last: bool) -> np.ndarray:
        """Return the change to the samples that are ready after the next frames."""
        self._frames += frames
        spectra = self._analysis.take(frames)
        made = self._frontend.compress(np.stack([spectra.real, spectra.imag], axis=1))
        noisy, start = made[:1], made[-1:]  # sampling starts at the estimate of the first stage, if there is one
        x = start
        for call, weights in self._calls:
            clean, x, noisy, start = call.push([x, noisy, start], last=last)
            if weights is None:
                x = clean
            else:
                carried, new, begun = map(np.float32, weights)
                x = carried * x + new * clean + begun * start
        if self._refines:
            silent = (noisy == 0).all(axis=3, keepdims=True).all(axis=1, keepdims=True)
            x = np.where(silent, start, x)  # digital silence stays digital silence
        change = self._share * (self._frontend.expand(x) - self._frontend.expand(start))
        return self._synthesis.push(change[:, 0] + np.complex64(1j) * change[:, 1])


class Call:
    """Estimate the clean frames of a stream at one time of the process."""

    def __init__(self, graph: Graph, time: float):
        facts = graph.facts
        self._graph, self._time = graph, np.full(1, time, np.float32)
        self._zeros, self._reach = facts["behind"], facts["receptive_field"]
        self._state = {f"state.{n}": np.zeros(shape, np.float32) for n, shape in enumerate(facts["state"])}
        self._outputs = ["estimate", *(f"new_{name}" for name in self._state)]
        self._held: np.ndarray | None = None  # frames (1, 2 R, n) whose estimates are not complete
        self._unseen = 0  # of these, frames that the network has not been given
        self._begun = False

    def push(self, frames: Sequence[np.ndarray], *, last: bool) -> list[np.ndarray]:
        """Return the estimates of complete frames, and these frames.

        `frames`: the next ones (1, 2, n, F) of the state of the sampler, of the noisy signal, and of signals that are only
        handed on. With `last`, all frames are complete.
        """
        new = np.concatenate(frames, axis=1)
        held = new if self._held is None else np.concatenate([self._held, new], axis=2)
        self._unseen += new.shape[2]
        if not last and self._unseen <= (0 if self._begun else self._reach):
            self._held = held
            return [held[:, 2 * n : 2 * n + 2, :0] for n in (0, *range(len(frames)))]
        x, noisy = held[:, :2, -self._unseen :], held[:, 2:4, -self._unseen :]
        behind = np.zeros(self._zeros, np.float32)[: None if last else 0]
        inputs = {"x": x, "y": noisy, "t": self._time, "behind": behind, **self._state}
        estimate, *state = self._graph.run(self._outputs, inputs)
        self._state, self._unseen, self._begun = dict(zip(self._state, state)), 0, True
        count = estimate.shape[2]
        self._held = held[:, :, count:]
        return [estimate, *(held[:, 2 * n : 2 * n + 2, :count] for n in range(len(frames)))]
