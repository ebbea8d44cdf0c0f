"""Inputs and outputs in Google Cloud Storage, by a server that speaks its language: test_storage.py in brief."""

import json
import logging

import pytest

from tests import audio_zoo as zoo

pytest.importorskip("fsspec")
pytest.importorskip("gcsfs")
pytest.importorskip("gcp_storage_emulator")

from tests.object_storage import bucket  # noqa: E402

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def gs():
    with bucket("gs") as system:
        yield system


@pytest.fixture
def noisy(tmp_path, gs):
    """A tree of two files, here and in the bucket."""
    for name in ("a.wav", "deep/b.flac"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        zoo.save(path, zoo.noise(1, 8000))
        gs.put_file(str(path), f"take/tree/{name}")
    return tmp_path / "in"


def test_a_tree_in_a_bucket_gives_the_bytes_of_a_local_run_and_is_skipped_the_next_time(
    enhance, gs, tiny_model, tmp_path, noisy
):
    options = ["-m", tiny_model, "--recursive"]
    assert enhance("denoise", noisy, "-o", "local", *options).code == 0
    first = enhance("denoise", "gs://take/tree/", "-o", "gs://take/clean", *options)
    assert first.code == 0 and set(first.lines) == {"gs://take/clean/a.wav", "gs://take/clean/deep/b.flac"}
    for name in ("a.wav", "deep/b.flac"):
        assert gs.cat_file(f"take/clean/{name}") == zoo.without_place(tmp_path / "local" / name)
    again = enhance("denoise", "gs://take/tree", "-o", "gs://take/clean", *options)
    assert again.code == 0 and not again.lines and "2 skipped" in again.stderr
    one = enhance("denoise", "gs://take/tr?e/a.wav", "-m", tiny_model, "-o", "gs://take/globbed/")
    assert one.lines == ["gs://take/globbed/tree/a.wav"]


def test_what_is_missing_or_broken_fails_alone_and_by_its_own_name(enhance, gs, identity_model, noisy):
    gs.pipe_file("take/bad/broken.wav", b"RIFF....")
    words = ["gs://take/bad/gone.wav", "gs://take/bad/broken.wav", "gs://take/tree/a.wav"]
    result = enhance("denoise", *words, "-m", identity_model, "-o", "gs://take/out", "--json")
    assert result.code == 1 and gs.find("take/out") == ["take/out/a.wav"]
    reasons = {r["input"]: r["reason"] for r in map(json.loads, result.lines)}
    assert reasons[words[0]] == "gs://take/bad/gone.wav: there is no such file: check the name"
    assert reasons[words[1]].startswith("gs://take/bad/broken.wav is not audio") and reasons[words[2]] is None


def test_a_bucket_that_is_not_there_is_refused_before_any_work_and_in_one_line(enhance, gs, identity_model, noisy):
    result = enhance("denoise", noisy, "-m", identity_model, "-o", "gs://no-such-bucket/out")
    assert result.code == 2 and not result.lines and len(result.stderr.splitlines()) == 1
    assert "there is no bucket no-such-bucket" in result.errors[0]
    assert not logging.getLogger("gcsfs").isEnabledFor(logging.WARNING), "its warnings would stand between our lines"
