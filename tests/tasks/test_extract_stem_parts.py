"""The arithmetic around a model of stems: its windows, the shares above its band, and what it is told."""

from types import SimpleNamespace

import numpy as np
import pytest

from enhance_cli.tasks import extract_stem as module
from enhance_cli.tasks.engine import Engine
from enhance_cli.tasks.extract_stem import StemExtractor
from enhance_cli.tasks.options import StemOptions
from enhance_cli.tasks.stream import measured
from tests.tasks.whole import extract_stems as run

RATE = 16000


class Separator:
    """In place of a model: bass is a half of what it hears and drums a quarter, with given shares of what lies above."""

    device = SimpleNamespace(type="cpu")
    rate, grid, reach, steps, sampler, sigma = RATE, 512, 2048, 0, "none", None

    def __init__(self, shares=(0.5, 0.5), reach=2048, **fields):
        self.shares, self.reach, self.told, self.settings = shares, reach, [], {}
        plain = dict(normalise="none", level=0.1, window_seconds=None, overlap=None, channels=2, complete=True)
        self.spec = SimpleNamespace(
            sample_rate=RATE, stems=("bass", "drums"), choose_stems=self._chosen, **plain | fields
        )

    def _chosen(self, wanted):
        return self.spec.stems if wanted == ("all",) else tuple(s for s in self.spec.stems if s in wanted)

    def windowed(self, stems, **settings):
        self.stems, self.settings = stems, settings
        return self

    def windows_at_once(self, threads):
        return 1

    def separate(self, windows, starts, scales):
        self.told += list(
            zip(starts, [w.shape for w in windows], [np.broadcast_to(s, w.shape[1:]) for s, w in zip(scales, windows)])
        )
        gains = {"bass": 0.5, "drums": 0.25}
        return [
            np.concatenate(
                [gains[s] * w for s in self.stems]
                + [np.full_like(w, self.shares[self.spec.stems.index(s)]) for s in self.stems]
                + [w]
            )
            for w in windows
        ]


def mix(seconds: float, rate: int = RATE, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (channels, round(seconds * rate)))


def test_the_model_is_told_the_choices_of_the_user_and_whether_its_stems_are_all_that_there_is():
    choices = dict(steps=3, sampler="heun", sigma=0.2, seed=7)
    for stems, residual, complete, sums in (
        (("all",), False, True, True), (("drums",), False, True, False), (("all",), True, True, False),
        (("all",), False, False, False),
    ):  # fmt: skip
        model = Separator(complete=complete)
        StemExtractor(model, StemOptions(stems, residual=residual, **choices))
        assert model.settings == {**choices, "sums_to_mix": sums}


@pytest.mark.parametrize(
    "reach, of_model, asked, starts, longest",
    [
        (2048, None, None, [0, 159744, 2 * 159744], 159744 + 4096),  # 10 s, on the grid of the network
        (2048, 4.0, None, [0, 64000], 64000 + 4096),
        (2048, 4.0, 1.0, [0, 15872], 15872 + 4096),
        (None, None, None, [0, 159744 - 3 * 16000], 159744),  # a second of margin on both sides
        (None, None, 1.0, [0, 15872 // 2 - 15872 // 4], 15872),  # but never more than a quarter
    ],
)  # fmt: skip
def test_windows_are_as_long_as_the_user_the_model_or_the_task_says_and_overlap_by_what_the_network_needs(
    reach, of_model, asked, starts, longest
):
    model = Separator(reach=reach, window_seconds=of_model)
    options = StemOptions(window_seconds=asked)
    run(mix(30, channels=1), RATE, model, options)
    assert StemExtractor(model, options).plan.fade == (0 if reach else StemExtractor(model, options).plan.margin // 2)
    assert [start for start, *_ in model.told][: len(starts)] == starts
    assert max(shape[1] for _, shape, _ in model.told) == longest


def test_a_batch_counts_the_channels_that_the_network_takes_at_once(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "engine_for", lambda model, run, *rest: asked.append(rest) or Engine(run))
    extractor = StemExtractor(Separator(channels=2), StemOptions(batch_size=4, threads=3))
    assert asked == [(8, extractor.plan.whole, 3)]


def tone(frequency: float, seconds: float = 1.0, rate: int = 48000) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(
    "shares, complete, wanted",
    [
        ((0.5, 0.25), False, (0.5, 0.25)),
        ((1.5, -0.5), False, (1.0, 0.0)),  # resampled shares ring
        ((1.5, 0.5), True, (2 / 3, 1 / 3)),  # held between 0 and 1 before they are made to sum to 1
        ((-0.5, 0.5), True, (0.0, 1.0)),
        ((0.0, 0.0), True, (0.5, 0.5)),  # what nobody claims belongs to all alike
    ],
)
def test_what_lies_above_the_band_goes_to_the_stems_by_their_shares(shares, complete, wanted):
    audio = np.stack([tone(1000) + tone(15000), 0.5 * tone(1000) - tone(12000)])
    stems, inside = run(audio, 48000, Separator(shares, complete=complete)), slice(4800, -4800)
    high = np.stack([tone(15000), -tone(12000)])
    for stem, gain, share in zip(("bass", "drums"), (0.5, 0.25), wanted):
        np.testing.assert_allclose(stems[stem][:, inside], (gain * (audio - high) + share * high)[:, inside], atol=1e-4)
    cut = run(audio, 48000, Separator(shares), StemOptions(full_band=False))
    np.testing.assert_allclose(cut["bass"][:, inside], 0.5 * (audio - high)[:, inside], atol=1e-4)


def test_the_residual_is_all_that_the_chosen_stems_are_not_and_the_type_of_samples_stays():
    audio = mix(1)
    found = run(audio, RATE, Separator(), StemOptions(("drums",), residual=True))
    assert list(found) == ["drums", "residual"]
    np.testing.assert_allclose(found["drums"], 0.25 * audio, atol=1e-6)
    assert np.abs(found["drums"] + found["residual"] - audio).max() < 1e-15
    for dtype in (np.float32, np.float64):
        for options in (StemOptions(), StemOptions(full_band=False)):
            blocks = StemExtractor(Separator(), options).process(
                iter([audio.astype(dtype)]), RATE, 2, measured(audio, RATE)
            )
            assert {block.dtype for block in blocks} == {np.dtype(dtype)}


def test_channels_stay_apart():
    audio = np.stack([mix(1, channels=1)[0], np.zeros(RATE), 0.3 * mix(1, channels=1)[0]])
    found = run(audio, RATE, Separator())
    np.testing.assert_allclose(found["bass"], 0.5 * audio, atol=1e-6)
    np.testing.assert_allclose(found["drums"], 0.25 * audio, atol=1e-6)


def heard(model: Separator) -> np.ndarray:
    """The factors by time."""
    found = np.zeros(max(start + shape[1] for start, shape, _ in model.told))
    for start, shape, scale in model.told:
        found[start : start + shape[1]] = scale
    return found


def test_a_mix_without_anything_to_hear_is_not_divided_by_its_deviation():
    model = Separator(normalise="deviation")
    run(1e-8 * mix(1), RATE, model)
    np.testing.assert_array_equal(heard(model), 1.0)


def test_a_mix_above_full_scale_is_heard_at_full_scale_and_another_as_it_is():
    for gain, factor in ((0.1, 1.0), (1.0, 1.0), (10.0, None)):
        model, audio = Separator(), gain * mix(1)
        run(audio, RATE, model)
        np.testing.assert_allclose(heard(model), factor or 1 / np.abs(audio).max(), rtol=1e-6)


def test_a_mix_is_heard_at_its_own_level_of_the_moment_wherever_its_windows_begin():
    audio = mix(40, channels=1)
    audio[:, 20 * RATE :] *= 0.01
    wholes = []
    for seconds in (10.0, 3.0):
        model = Separator(normalise="level", level=0.1)
        run(audio, RATE, model, StemOptions(window_seconds=seconds))
        wholes.append(heard(model))
    np.testing.assert_allclose(wholes[0], wholes[1], rtol=1e-6)
    loud, quiet = wholes[0][5 * RATE], wholes[0][-5 * RATE]
    assert quiet / loud == pytest.approx(100, rel=0.05) and loud == pytest.approx(0.1 * 12**0.5, rel=0.3)
