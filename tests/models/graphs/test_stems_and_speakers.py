"""Stems and embeddings in ONNX Runtime: the numbers of torch, whatever the windows, the threads and the company."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import enhance_cli
from enhance_cli.errors import ModelError, UsageError
from enhance_cli.models import registry
from enhance_cli.models.graphs.export_file import export_model

AUDIO = Path(__file__).parents[2] / "audio_files"


def mix(seconds=4.0):
    with soundfile.SoundFile(AUDIO / "music" / "mixture.flac") as file:
        audio = file.read(int(seconds * file.samplerate), dtype="float32", always_2d=True).T
        return np.concatenate([audio, 0.5 * audio[:, ::-1]])[:2], file.samplerate


def speech():
    return soundfile.read(AUDIO / "noisy_speech.flac", dtype="float32")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"stem": ["drums", "bass"], "residual": True}, {"window_seconds": 2.5}])
def test_both_runtimes_give_the_same_stems(options):
    audio, rate = mix()
    mine, torchs = (
        enhance_cli.StemExtractor(device="cpu", runtime=runtime, **options)(audio, rate)
        for runtime in ("onnx", "torch")
    )
    assert list(mine) == list(torchs)
    for name, stem in mine.items():
        assert np.abs(stem).max() > 0.01 and np.abs(stem - torchs[name]).max() < 1e-5


@pytest.mark.slow
def test_stems_sum_to_the_mix_and_threads_change_no_bit():
    audio, rate = mix()
    one, two = (
        enhance_cli.StemExtractor(device="cpu", runtime="onnx", threads=threads, window_seconds=2.5)(audio, rate)
        for threads in (1, 2)
    )
    assert np.abs(sum(one.values()) - audio).max() < 1e-6
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    "options", [{}, {"steps": 4, "time": 200.0}, {"steps": 20}, {"normalize": "keep", "ensemble": 0.3}]
)
def test_both_runtimes_repair_alike(options):
    audio, rate = speech()
    mine, torchs = (
        enhance_cli.SpeakerRepairer(device="cpu", runtime=runtime, **options).embed(audio, rate)
        for runtime in ("onnx", "torch")
    )
    assert np.abs(mine - torchs).max() < 1e-5


def test_unusable_vectors_stay_and_the_others_do_not_depend_on_them():
    vectors = np.random.default_rng(0).standard_normal((520, 256)).astype(np.float32)
    repairer = enhance_cli.SpeakerRepairer(device="cpu", runtime="onnx")
    alone = repairer(vectors)
    bad = vectors.copy()
    bad[3], bad[5, 2], bad[7] = 0, np.nan, 1e30
    with pytest.warns(UserWarning, match="3, 5, 7"):
        found = repairer(bad)
    assert np.array_equal(found[[3, 5, 7]], bad[[3, 5, 7]], equal_nan=True)
    others = np.setdiff1d(np.arange(520), [3, 5, 7])
    assert np.array_equal(found[others], alone[others]) and np.abs(alone - vectors).max() > 0.1


def test_draws_of_noise_need_torch():
    with pytest.raises(UsageError, match="--draws draws noise"):
        enhance_cli.SpeakerRepairer(device="cpu", runtime="onnx", draws=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stems-s", "ge2e", "seed-ge2e"])
def test_exported_they_are_models_as_well(tmp_path, name):
    path = tmp_path / "x.onnx"
    export_model(registry.find(name, None), path)
    if name == "stems-s":
        audio, rate = mix(2.0)
        mine, own = (enhance_cli.extract_stem(audio, rate, "bass", model=m, device="cpu") for m in (str(path), None))
    else:
        kind = "extractor" if name == "ge2e" else "model"
        audio, rate = speech()
        mine, own = (
            enhance_cli.SpeakerRepairer(device="cpu", **given).embed(audio, rate) for given in ({kind: str(path)}, {})
        )
    assert np.abs(mine - own).max() < 1e-5


def test_a_graph_for_another_task_is_refused(tmp_path):
    path = tmp_path / "x.onnx"
    export_model(registry.find("ge2e", None), path)
    with pytest.raises(ModelError, match="a model for embed-speaker, not for denoise"):
        enhance_cli.Denoiser(str(path))
