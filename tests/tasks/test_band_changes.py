"""The change in the band of a denoising model and above it: windows and streams in time, at the right level, in closed form."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.errors import UsageError
from enhance_cli.models.sampling import Sampling
from enhance_cli.tasks import above_band, band_changes
from enhance_cli.tasks.band_changes import plan_windows
from enhance_cli.tasks.denoise import Denoiser
from enhance_cli.tasks.options import DenoiseOptions
from enhance_cli.tasks.stream import measured
from enhance_cli.tasks.windows import WindowPlan
from tests.tasks.test_denoise_parts import Silencer
from tests.tasks.whole import denoise as run

WORKING, OWN = 48000, 16000  # rates of the stream, and of the network that refines it
INSIDE = slice(9600, -9600)


class Halves:
    """In place of a network's stream: half of what it hears, 480 samples late, and a gain of a quarter at the top."""

    def __init__(self, gains: bool):
        self.gains, self.held, self.heard, self.threads = gains, None, [], set()

    def push(self, block, last=False):
        self.threads.add(threading.current_thread().name.split("_")[0])
        self.heard.append(block)
        self.held = block if self.held is None else np.concatenate([self.held, block], axis=1)
        ready = self.held if last else self.held[:, : max(self.held.shape[1] - 480, 0)]
        self.held = self.held[:, ready.shape[1] :]
        parts = [0.5 * ready, np.full_like(ready, 0.25)]
        return np.stack(parts[: 1 + self.gains])

    def fork(self):
        self.copy = Halves(self.gains)
        self.copy.held = self.held
        return self.copy


class Streaming(Silencer):
    """A model with memory, and with `refines` a second network, which takes away what the first has left."""

    def __init__(self, monkeypatch, *, gains=True, refines=False, normalise="none"):
        super().__init__(normalise)
        self.stream_network = object() if gains else SimpleNamespace(n_fft=1)
        self.process = object() if refines else None
        self.spec.working_rate, self.spec.sample_rate = WORKING, OWN if refines else WORKING
        self.spec.name, self.spec.choose = "halves", lambda steps, sampler: self.chosen.append((steps, sampler))
        self.chosen, self.opened, self.starts, self.stream = [], [], [], Halves(gains)

        def opened(network, channels, top):
            self.opened.append((network, channels, top))
            self.stream = Halves(gains)
            return self.stream

        monkeypatch.setattr(band_changes, "open_stream", opened)

    def refinements(self, windows, starts):
        self.starts += starts
        return [-window[len(window) // 2 :] for window in windows]


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("normalise", ["none", "peak", "level"])
@pytest.mark.parametrize("rate, top", [(16000, 8000), (48000, 24000), (96000, 24000)])
def test_the_change_of_a_stream_is_added_in_time_at_the_level_of_the_file(rate, top, normalise, monkeypatch):
    model = Streaming(monkeypatch, normalise=normalise)
    audio = np.stack([tone(1000, rate), 0.3 * tone(700, rate)])
    blocks = [audio[:, n : n + 3000] for n in range(0, audio.shape[1], 3000)]
    denoiser = Denoiser(model)
    level = measured(audio, rate)
    found = np.concatenate(list(denoiser.process(iter(blocks), rate, 2, level)), axis=1)
    assert found.shape == audio.shape
    inside = slice(None) if rate == WORKING else INSIDE  # to the last sample, which a resampler does not know
    np.testing.assert_allclose(found[:, inside], 0.5 * audio[:, inside], atol=2e-5)
    assert model.opened == [(model.stream_network, 2, top)] and model.stream.threads == {"windows"}
    heard = np.concatenate(model.stream.heard, axis=1)
    wanted = {"none": (0.1, 0.03), "peak": (1.0, 0.3), "level": (0.07 * 2**0.5,) * 2}[normalise]
    np.testing.assert_allclose(np.abs(heard[:, INSIDE]).max(axis=1), wanted, rtol=0.02)


@pytest.mark.parametrize("refines", [False, True])
def test_passages_of_far_apart_levels_come_back_at_their_own(refines, monkeypatch):
    """Each is heard at its level, the quiet one by a copy of the stream, and its change is scaled back by the same factors."""
    model = Streaming(monkeypatch, normalise="level", refines=refines)
    audio = np.concatenate([tone(12000, WORKING, 8), 0.01 * tone(12000, WORKING, 8)])[None]
    audio *= np.clip(np.sin(np.arange(audio.shape[1]) * 2 * np.pi * 4 / WORKING), 0.03, None)
    blocks = [audio[:, n : n + 30000] for n in range(0, audio.shape[1], 30000)]
    done = Denoiser(model).process(iter(blocks), WORKING, 1, measured(audio, WORKING))
    found = np.concatenate(list(done), axis=1)
    whole, copy = (np.abs(np.concatenate(s.heard, axis=1)[0]) for s in (model.stream, model.stream.copy))
    assert copy[-4 * WORKING :].max() == pytest.approx(whole[: 4 * WORKING].max(), rel=0.3)
    np.testing.assert_allclose(
        whole, np.abs(audio[0]) / measured(audio, WORKING).active_levels * model.spec.level, rtol=1e-3
    )
    for passage, close in ((slice(WORKING, 7 * WORKING), 2e-5), (slice(-7 * WORKING, -WORKING), 2e-6)):
        np.testing.assert_allclose(found[:, passage], 0.5 * audio[:, passage], atol=close)


@pytest.mark.parametrize("gains, full_band, share", [(True, True, 0.25), (True, False, 0.0), (False, False, 0.0)])
def test_above_the_band_a_recording_has_the_gain_just_below_or_is_cut(gains, full_band, share, monkeypatch):
    model, rate = Streaming(monkeypatch, gains=gains), 96000
    low, high = tone(1000, rate), tone(30000, rate)
    found = run((low + high)[None], rate, model, DenoiseOptions(full_band=full_band))
    np.testing.assert_allclose(found[0, INSIDE], (0.5 * low + share * high)[INSIDE], atol=1e-4)


def test_a_second_network_refines_the_band_that_it_knows_and_no_more(monkeypatch):
    model = Streaming(monkeypatch, refines=True)
    low, middle = tone(1000, WORKING, 12), tone(12000, WORKING, 12)
    found = run(np.stack([low + middle, 0.5 * low]), WORKING, model)
    np.testing.assert_allclose(found[0, INSIDE], 0.5 * middle[INSIDE], atol=1e-4)
    assert np.abs(found[1, INSIDE]).max() < 1e-4
    assert model.starts[:2] == [0, 5 * OWN // 256 * 256] and len(model.starts) == 3


@pytest.mark.parametrize("steps, changes", [(0, False), (2, True)])
def test_a_model_that_refines_is_asked_for_its_own_number_of_steps(steps, changes, monkeypatch):
    model = Streaming(monkeypatch, refines=True)
    model.steps = steps
    audio = tone(1000, WORKING)[None]
    assert bool(np.abs(run(audio, WORKING, model) - audio).max() > 0.01) == changes


def test_a_stream_has_no_steps_and_no_settings_of_a_sampler(monkeypatch):
    model = Streaming(monkeypatch)
    Denoiser(model, DenoiseOptions(steps=1, sampler="none"))
    assert model.chosen == [(1, "none")]
    with pytest.raises(UsageError, match="halves does not sample"):
        Denoiser(model, DenoiseOptions(sampler_args={"snr": 1}))


def test_a_sampled_model_is_told_every_choice_of_the_user():
    told = []

    class Told(Silencer):
        def windowed(self, sampling, *, guide):
            told.extend([sampling, guide])
            return self

    Denoiser(Told(), DenoiseOptions(steps=2, sampler="bridge_sde", sampler_args={"start": 0.5}, guide="other", seed=3))
    assert told == [Sampling(2, "bridge_sde", {"start": 0.5}, seed=3), "other"]


@pytest.mark.parametrize(
    "reach, guide, asked, of_model, wanted",
    [
        (512, 0, None, None, WindowPlan(5 * OWN // 256 * 256, 512, 0)),
        (500, 300, None, None, WindowPlan(5 * OWN // 256 * 256, 1024, 0)),  # both reaches together, on the grid
        (512, 0, 1.0, 3.0, WindowPlan(OWN // 256 * 256, 512, 0)),
        (512, 0, None, 3.0, WindowPlan(3 * OWN // 256 * 256, 512, 0)),
        (None, 0, None, None, WindowPlan(10 * OWN // 256 * 256, 7936, 7936)),  # half a second in hops
        (None, 300, None, None, WindowPlan(10 * OWN // 256 * 256, 7936 + 512, 7936)),
    ],
)
def test_windows_are_as_long_as_the_user_the_model_or_the_task_says_and_know_what_the_network_hears(
    reach, guide, asked, of_model, wanted
):
    windowed = SimpleNamespace(reach=reach, guide_reach=guide, rate=OWN, grid=256, hop=256)
    model = SimpleNamespace(spec=SimpleNamespace(window_seconds=of_model))
    assert plan_windows(model, windowed, DenoiseOptions(window_seconds=asked)) == wanted


@pytest.mark.parametrize("fills_up", [True, False])
def test_short_windows_are_filled_up_only_for_models_that_want_it(fills_up, monkeypatch):
    asked, model = [], Silencer()
    model.fills_up = fills_up
    monkeypatch.setattr(band_changes, "engine_for", lambda model, run, *rest: asked.append(rest))
    Denoiser(model, DenoiseOptions(batch_size=4, threads=2))
    assert asked == [(4, 5 * OWN // 256 * 256 + 1024 if fills_up else 0, 2)]


def test_a_windowed_change_is_added_in_time_and_cut_or_kept_above_the_band():
    audio = np.stack([tone(1000, WORKING) + tone(10000, WORKING), -tone(10000, WORKING)])
    cut = run(audio, WORKING, Silencer(), DenoiseOptions(full_band=False))
    assert np.abs(cut[:, INSIDE]).max() < 1e-4
    narrow = run(tone(1000, 17000)[None] + tone(8200, 17000), 17000, Silencer())  # too little above for a gain
    np.testing.assert_allclose(narrow[0, 3000:-3000], tone(8200, 17000)[3000:-3000], atol=5e-3)


class Late:
    """In place of UpperBand: gives back minus the signal above, five samples late."""

    def __init__(self):
        self.held, self.told = np.zeros((1, 0)), []

    def push(self, above, band, change, last=False):
        self.told.append((band, change))
        self.held = np.concatenate([self.held, -above], axis=1)
        ready = self.held if last else self.held[:, : max(self.held.shape[1] - 5, 0)]
        self.held = self.held[:, ready.shape[1] :]
        return ready


def test_noise_above_the_band_is_suppressed_in_time_also_at_the_end():
    x, band = np.random.default_rng(0).standard_normal((2, 1, 40))
    change = 0.1 * x
    pairs = [(x[:, n : n + 8], (change[:, n : n + 8], band[:, n : n + 8])) for n in range(0, 40, 8)]
    upper = Late()
    found = list(above_band.suppress_noise(iter(pairs), upper))
    assert np.array_equal(np.concatenate([given for given, _ in found], axis=1), x)
    np.testing.assert_allclose(np.concatenate([whole for _, whole in found], axis=1), change - (x - band))
    for (told_band, told_change), (_, (one, other)) in zip(upper.told, pairs):
        assert np.array_equal(told_band, other) and np.array_equal(told_change, one)
