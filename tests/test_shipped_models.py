"""The models that ship, on real recordings: they clean noise, leave clean speech and silence alone, and are
what weights.toml says."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

import enhance_cli
from enhance_cli import metrics
from enhance_cli.models.registry import entries, find
from enhance_cli.models.spec import file_sha256, read_spec

pytestmark = pytest.mark.slow

NOT_TRAINED_HERE = ("ge2e", "deepfilternet3", "copy-up")  # the last one is a rule
PAIRS = Path(__file__).parent / "audio_files" / "pairs"
SHIPPED = ["denoise-48k", "denoise-s"]


def pairs():
    for clean in sorted((PAIRS / "clean").glob("*.flac")):
        yield tuple(soundfile.read(path, dtype="float32")[0] for path in (clean, PAIRS / "noisy" / clean.name))


@pytest.fixture(scope="module", params=SHIPPED)
def model(request):
    return enhance_cli.load_model(request.param, device="cpu")


def mean_scores(estimates) -> dict[str, float]:
    """PESQ, ESTOI and SI-SDR of an estimate of each of the pairs."""
    names = ("pesq", "estoi", "si_sdr")
    rows = [[metrics.load(m)(clean, out, 16000) for m in names] for (clean, _), out in zip(pairs(), estimates)]
    return dict(zip(names, np.mean(rows, axis=0)))


@pytest.fixture(scope="module")
def unprocessed() -> dict[str, float]:
    return mean_scores(noisy for _, noisy in pairs())


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_noisy_speech_comes_out_much_better_at_every_step_count(model, unprocessed, steps):
    scores = mean_scores(enhance_cli.denoise(noisy, 16000, model=model, steps=steps) for _, noisy in pairs())
    assert scores["pesq"] > unprocessed["pesq"] + 0.25
    assert scores["estoi"] > unprocessed["estoi"] + 0.04
    assert scores["si_sdr"] > unprocessed["si_sdr"] + 5


def test_clean_speech_comes_out_clean(model):
    scores = [metrics.load("pesq")(c, enhance_cli.denoise(c, 16000, model=model), 16000) for c, _ in pairs()]
    assert np.mean(scores) > 4.0


def test_silence_stays_silent_and_a_faint_hiss_is_not_raised(model):
    assert not enhance_cli.denoise(np.zeros((2, 20000), np.float32), 16000, model=model).any()
    hiss = 1e-4 * np.random.default_rng(0).standard_normal((1, 48000)).astype(np.float32)
    assert np.square(enhance_cli.denoise(hiss, 16000, model=model)).mean() < np.square(hiss).mean()


def test_level_does_not_matter(model):
    _, noisy = next(pairs())
    loud, soft = (enhance_cli.denoise(gain * noisy, 16000, model=model) for gain in (1.0, 0.01))
    assert np.abs(loud - 100 * soft).max() < 1e-3 * np.abs(loud).max()


def test_bf16_on_a_cpu_changes_nothing_that_one_could_hear(model):
    _, noisy = next(pairs())
    exact = enhance_cli.denoise(noisy, 16000, model=model)
    quick = enhance_cli.denoise(noisy, 16000, model=model.spec.name, device="cpu", precision="bf16")
    assert 0 < np.square(quick - exact).mean() < 1e-5 * np.square(exact).mean()


def test_gaps_in_speech_sound_more_like_speech_than_where_they_only_fade():
    fade, fill = enhance_cli.Inpainter(), enhance_cli.Inpainter("inpaint-s", device="cpu")
    scores = []
    for clean, _ in pairs():
        gaps = [(begin, begin + 0.2) for begin in np.arange(0.5, len(clean) / 16000 - 0.4, 0.8)]
        filled = (inpainter(clean, 16000, gaps) for inpainter in (fade, fill))
        scores.append([metrics.load("pesq")(clean, estimate, 16000) for estimate in filled])
    faded, made = np.mean(scores, axis=0)
    assert made > faded + 0.05


@pytest.mark.parametrize("entry", entries(), ids=lambda e: e.name)
def test_shipped_files_match_their_table_and_have_a_card(entry):
    assert file_sha256(entry.path) == entry.sha256
    spec = read_spec(entry.path)
    assert (spec.name, spec.task, spec.working_rate, spec.licence) == (
        entry.name, entry.task, entry.sample_rate, entry.licence,
    )  # fmt: skip
    if entry.name not in NOT_TRAINED_HERE:
        assert spec.training["commit"] and spec.training["date"] and spec.training["validation"]
    assert f"# {entry.name}" in entry.path.with_suffix(".md").read_text()


def test_there_is_one_default_and_all_checkpoints_together_are_small():
    tasks = {e.task for e in entries()} - {"inpaint"}  # which needs no model
    assert sorted(e.task for e in entries() if e.default) == sorted(tasks)
    assert find(None, "denoise").default
    assert sum(len(zlib.compress(e.path.read_bytes())) for e in entries()) < 39.5e6  # in the wheel


def test_speech_of_a_fiftieth_of_a_second_is_not_taken_for_noise():
    """A network that has heard nothing before mutes such clips by up to 20 dB: a share of its change is applied."""
    denoiser, rng, ratios = enhance_cli.Denoiser(), np.random.default_rng(0), []
    for clean, noisy in pairs():
        energy = np.convolve(np.square(clean), np.ones(320), "valid")
        for at in rng.choice(np.flatnonzero(energy > np.quantile(energy, 0.7)), 8):
            speech, clip = clean[at : at + 320], noisy[at : at + 320]
            ratios.append(10 * np.log10(np.square(denoiser(clip[None], 16000)).sum() / np.square(speech).sum()))
    assert min(ratios) > -6 and np.mean(ratios) > -2
