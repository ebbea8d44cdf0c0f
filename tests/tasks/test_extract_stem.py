"""Extracting stems: sums and residuals, stereo, any length and rate, independence of windows and batches, bad settings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from enhance_cli.audio.levels.level import Meter
from enhance_cli.errors import UsageError
from enhance_cli.models import registry
from enhance_cli.models.graphs.packaged import load_graph
from enhance_cli.models.graphs.stems import GraphStemModel
from enhance_cli.models.spec import Spec
from enhance_cli.models.stems import StemModel, load_stems
from enhance_cli.models.weights import load_network
from enhance_cli.networks.stem_pair import StemPair
from enhance_cli.tasks.extract_stem import StemExtractor, StemOptions
from tests.tasks.whole import extract_stems as run

AUDIO = Path(__file__).parents[1] / "audio_files"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(stem_model):
    return StemModel(*load_network(stem_model), CPU)


@pytest.fixture(scope="module")
def song():
    """(2, 3 s at 16 kHz): low and high tones, drums that are not in the middle, and noise."""
    rng = np.random.default_rng(0)
    time = np.arange(3 * 16000) / 16000
    tones = 0.2 * np.sin(2 * np.pi * 110 * time) + 0.1 * np.sin(2 * np.pi * 1500 * time)
    hits = 0.5 * rng.standard_normal(time.size) * np.exp(-20 * (time % 0.5))
    noise = 0.02 * rng.standard_normal((2, time.size))
    return (tones + np.array([[0.8], [0.2]]) * hits + noise).astype(np.float32)


def error(a, b) -> float:
    return float(np.abs(a - b).max())


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("length", [1, 100, 3001, 40000])
def test_all_stems_sum_to_the_mix_at_any_rate_and_length(model, song, rate, length):
    mix = song[:, :length]
    stems = run(mix, rate, model, StemOptions(steps=0))
    assert list(stems) == ["bass", "drums", "guitar", "piano"]
    assert all(stem.shape == mix.shape and stem.dtype == mix.dtype for stem in stems.values())
    assert error(sum(stems.values()), mix) < 2e-6
    if length > 3000:
        assert all(stem.std() > 0.02 * mix.std() for stem in stems.values())


@pytest.mark.parametrize("full_band", [True, False])
def test_the_residual_is_the_mix_less_the_stems(model, song, full_band):
    options = StemOptions(stems=("drums", "bass"), residual=True, full_band=full_band)
    found = run(song.astype(np.float64), 16000, model, options)
    assert list(found) == ["bass", "drums", "residual"]  # in the model's order
    assert error(found["bass"] + found["drums"] + found["residual"], song) < 1e-12
    every = run(song, 16000, model, StemOptions(residual=True))
    assert every["residual"].std() > 0.05  # what nobody claims is not shared out


def test_a_stem_does_not_depend_on_what_else_is_asked_for(model, song):
    alone = run(song, 16000, model, StemOptions(stems=("drums",), steps=2))["drums"]
    both = run(song, 16000, model, StemOptions(stems=("bass", "drums"), steps=2))["drums"]
    assert error(alone, both) < 1e-6


def test_channels_are_separated_alike_and_apart(model, song):
    """The same channel twice gives the same stem twice; a silent one stays silent, and the other as it is alone."""
    mono = song[:1]
    stem = lambda mix: run(mix, 16000, model, StemOptions(stems=("bass",)))["bass"]
    alone, twice = stem(mono), stem(np.concatenate([mono, mono]))
    assert error(twice[0], twice[1]) < 1e-6 and error(twice[0], alone[0]) < 1e-6
    six = stem(np.concatenate([mono] * 6))
    assert six.shape == (6, mono.shape[1]) and error(six[5], alone[0]) < 1e-6


def test_batches_and_blocks_change_nothing(model, song):
    options = dict(steps=2, stems=("drums",))
    whole = run(song, 16000, model, StemOptions(**options))["drums"]
    assert error(run(song, 16000, model, StemOptions(**options, batch_size=16))["drums"], whole) < 1e-5
    level = Meter(16000, 2, loudness=False)
    level.push(song)
    blocks = np.split(song, [7, 5000, 5001, 30000], axis=1)
    extractor = StemExtractor(model, StemOptions(**options))
    pieces = np.concatenate(list(extractor.process(iter(blocks), 16000, 2, level)), axis=1)
    assert error(pieces, whole) < 1e-5


def test_the_seed_and_the_noise_level_matter_only_to_the_refiner(model, song):
    stem = lambda **options: run(song, 16000, model, StemOptions(stems=("bass",), **options))["bass"]
    assert error(stem(seed=0), stem(seed=0)) == 0
    assert error(stem(seed=0), stem(seed=1)) > 1e-4
    assert error(stem(sigma=0.02), stem()) == 0  # one step starts at the model's level for one step
    assert error(stem(sigma=0.5), stem()) > 1e-4
    assert error(stem(steps=0, seed=0), stem(steps=0, seed=1)) == 0


def test_silence_stays_silent_and_is_its_own_residual(model):
    found = run(np.zeros((2, 5000), np.float32), 44100, model, StemOptions(residual=True))
    assert len(found) == 5 and not any(part.any() for part in found.values())


def test_what_lies_above_the_band_is_shared_out_or_cut(model, song):
    """The model ends at 4 kHz, the file at 24: without the high share nothing is left above."""
    time = np.arange(24000) / 48000
    mix = (0.3 * np.sin(2 * np.pi * 3000 * time) + 0.1 * np.sin(2 * np.pi * 15000 * time)).astype(np.float32)[None]
    high = lambda x: np.abs(np.fft.rfft(x[0, 4000:-4000])[4000:]).sum()  # from 12 kHz
    kept = run(mix, 48000, model, StemOptions(steps=0))
    assert error(sum(kept.values()), mix) < 2e-6
    cut = run(mix, 48000, model, StemOptions(steps=0, full_band=False))
    assert all(high(stem) < 0.01 * high(mix) for stem in cut.values())


class Alternating(StemModel):
    """Hears the mix in the bass, but for every fourth of 256 ms, which it hears in the drums."""

    def separate(self, mix, stems, sample, steps, noise):
        drums = (torch.arange(mix.shape[-1], device=mix.device) // 2048 % 4 == 3).to(mix.dtype)
        heard = {"bass": (1 - drums) * mix, "drums": drums * mix}
        return torch.stack([heard.get(stem, torch.zeros_like(mix)) for stem in stems])


@pytest.mark.parametrize("stem", ["bass", "drums"])
def test_no_stem_is_louder_above_the_band_than_the_mix_or_turned_over_where_shares_change_and_files_end(
    stem, stem_model
):
    """Shares are resampled to the rate of the file, which rings wherever they change."""
    model = Alternating(*load_network(stem_model), CPU)
    mix = np.random.default_rng(0).standard_normal((1, 3 * 44100)).astype(np.float32)
    in_band = run(mix, 44100, model, StemOptions(("bass", "drums"), steps=0, full_band=False))
    whole = run(mix, 44100, model, StemOptions((stem,), steps=0))[stem]
    above, share = mix - in_band["bass"] - in_band["drums"], whole - in_band[stem]
    assert np.abs(above).mean() > 0.1 and np.abs(share).mean() > 0.02
    assert (np.abs(share) <= np.abs(above) + 1e-5).all() and (share * above >= -1e-5).all()


@pytest.mark.parametrize(
    "options, word",
    [
        ({"stems": ("cello",)}, "--stem cello: stems does not extract it: choose from bass, drums, guitar, piano, all"),
        ({"steps": 5}, "--steps 5: stems takes 0 to 4 steps"),
        ({"sampler": "ddim"}, "--sampler ddim: stems does not run with it: choose from consistency, heun"),
        ({"sigma": 50.0}, "sigma 50: the process does not start there"),
        ({"sigma": 0.0}, "sigma 0: the process does not start there"),
    ],
)
def test_what_the_model_cannot_do_is_refused(model, options, word):
    with pytest.raises(UsageError, match=word):
        StemExtractor(model, StemOptions(**options))


class Blur(torch.nn.Module):
    """A network of finite reach: each stem is the mix shifted by as many samples as its place says, squared."""

    receptive_field = 64

    def extract(self, mix, label):
        shifted = torch.stack([mix.roll(k, -1) for k in range(label.shape[1])], dim=1)
        shifted[:, 1:, :, :4] = 0
        return (label[:, :, None, None] * shifted.square()).sum(1), None


def test_windows_of_a_network_with_finite_reach_leave_no_trace(song):
    spec = dict(task="extract-stem", frontend=None, sample_rate=16000, stems=("a", "b"), complete=True, min_steps=0)
    pair = StemPair.__new__(StemPair)
    torch.nn.Module.__init__(pair)
    pair.extractor, pair.refiner = Blur(), None
    results = []
    for seconds in (0.512, 10.0):
        header = Spec("n", "stem_pair", "edm", max_steps=0, default_steps=0, window_seconds=seconds, **spec)
        header = Spec(**{**header.__dict__, "samplers": ("none",), "frames_multiple": 512, "normalise": "none"})
        results.append(run(song, 16000, StemModel(header, pair, CPU)))
    for stem in ("a", "b"):
        assert error(results[0][stem], results[1][stem]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("loud", ["a clap 50 dB above", "half of it 40 dB above"])
def test_one_loud_moment_does_not_rule_the_whole_mix(loud):
    """The shipped network hears loudness: all stems of a mix that it hears 40 dB below its level are wrong."""
    mix, rate = soundfile.read(AUDIO / "music" / "mixture.flac", dtype="float32", always_2d=True)
    mix, model = mix.T[:, : 6 * rate], load_graph(GraphStemModel, registry.find("stems-s", "extract-stem"), 1)
    before = run(mix, rate, model)
    if loud.startswith("a clap"):
        clap = np.random.default_rng(0).standard_normal((len(mix), rate // 20)) * mix.std() * 10**2.5
        other = np.concatenate([mix, np.zeros((len(mix), rate), np.float32), clap.astype(np.float32)], axis=1)
    else:
        other = np.concatenate([mix, 100 * mix], axis=1)
    after = run(other, rate, model)
    part = slice(0, 4 * rate)
    for stem, wave in before.items():
        error = np.sum((after[stem][:, part] - wave[:, part]) ** 2) / np.sum(wave[:, part] ** 2)
        assert 10 * np.log10(error) < -20, stem


def test_opposite_polarity_gives_the_stems_of_one_channel():
    mix, rate = soundfile.read(AUDIO / "music" / "mixture.flac", dtype="float32", always_2d=True)
    mix, model = mix.T[:1, : 3 * rate], load_graph(GraphStemModel, registry.find("stems-s", "extract-stem"), 1)
    both = run(np.concatenate([mix, -mix]), rate, model)
    assert np.allclose(both["drums"][0], run(mix, rate, model)["drums"][0], atol=1e-4)


def test_both_runtimes_follow_the_level_of_the_mix():
    mix, rate = soundfile.read(AUDIO / "music" / "mixture.flac", dtype="float32", always_2d=True)
    quiet = np.concatenate([0.01 * mix.T[:, : 3 * rate], mix.T[:, : 3 * rate]], axis=1)
    entry = registry.find("stems-s", "extract-stem")
    by_graph, by_torch = (
        run(quiet, rate, model) for model in (load_graph(GraphStemModel, entry, 1), load_stems(entry, CPU))
    )
    for stem in by_graph:
        assert np.allclose(by_graph[stem], by_torch[stem], atol=1e-3)
        assert np.allclose(by_graph[stem][:, :rate], by_torch[stem][:, :rate], atol=1e-5)


def heard(audio: np.ndarray, network=None, window=None, **fields) -> np.ndarray:
    """How many times louder a model heard each sample of `audio` (C, N) at 16 kHz: a stem that is the square of it tells."""
    pair = StemPair.__new__(StemPair)
    torch.nn.Module.__init__(pair)
    pair.extractor, pair.refiner = network or Blur(), None
    header = Spec(
        "n", "stem_pair", "edm", task="extract-stem", frontend=None, sample_rate=16000, stems=("a", "b"), min_steps=0,
        max_steps=0, default_steps=0, samplers=("none",), frames_multiple=512, **fields,
    )  # fmt: skip
    stem = run(audio, 16000, StemModel(header, pair, CPU), StemOptions(stems=("a",), window_seconds=window))["a"]
    return stem / np.square(audio)


def test_the_model_hears_a_mix_at_the_level_that_it_was_trained_at():
    """By deviation of the mean of both channels as Demucs does, by active level, or as it is unless it exceeds full scale."""
    rng = np.random.default_rng(0)
    mix = rng.uniform(0.1, 0.2, (2, 32000)) * np.where(rng.random((2, 32000)) < 0.5, -1, 1)
    level = Meter(16000, 2, loudness=False)
    level.push(mix)
    active = np.sqrt(np.mean(np.square(level.active_levels)))
    assert heard(mix, normalise="deviation") == pytest.approx(1 / mix.mean(axis=0).std(), rel=1e-4)
    assert heard(mix, normalise="level", level=0.07) == pytest.approx(0.07 / active, rel=1e-4)
    assert heard(mix, normalise="none") == pytest.approx(1, rel=1e-4)
    assert heard(10 * mix, normalise="none") == pytest.approx(1 / np.abs(10 * mix).max(), rel=1e-4)


def test_channels_of_opposite_polarity_are_heard_at_their_active_level():
    """The deviation of their mean is nothing, and the mix would be heard as loud as can be."""
    rng = np.random.default_rng(0)
    mono = rng.uniform(0.1, 0.2, (1, 32000)) * np.where(rng.random(32000) < 0.5, -1, 1)
    level = Meter(16000, 1, loudness=False)
    level.push(mono)
    for rest, cancelled in ((0.0, True), (0.08, True), (0.2, False)):  # shares of the mean: 0, 4 and 10 %
        found = heard(np.concatenate([mono, (rest - 1) * mono]), normalise="deviation")
        wanted = 1 / level.active_levels[0] if cancelled else 1 / (rest / 2 * mono.std())
        assert found == pytest.approx(wanted, rel=0.1)


def test_passages_of_far_apart_levels_are_each_heard_at_their_own():
    rng = np.random.default_rng(0)
    mix = rng.uniform(0.1, 0.2, (1, 16000 * 8)) * np.where(rng.random(16000 * 8) < 0.5, -1, 1)
    mix[:, 16000 * 4 :] *= 0.01
    for fields in ({"normalise": "deviation"}, {"normalise": "level", "level": 1.0}):
        found = heard(mix, **fields)
        loud, quiet = np.median(found[:, 16000:48000]), np.median(found[:, -48000:-16000])
        assert quiet / loud == pytest.approx(100, rel=0.1) and loud == pytest.approx(1 / 0.15, rel=0.3)


def test_the_shortest_windows_are_one_step_of_the_network_long():
    """And not of no sample at all, of which no number would ever fill the file."""
    endless = Blur()
    endless.receptive_field = None
    audio = np.random.default_rng(0).uniform(0.1, 0.2, (1, 1000))
    for network in (None, endless):
        assert heard(audio, network, 1e-4, normalise="none") == pytest.approx(1, rel=1e-4)
