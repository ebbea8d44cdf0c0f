"""Inputs and outputs in object storage, by a real S3 server: the same bytes, names and manners as on a disk."""

import json
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from enhance_cli.batch.job import Job
from enhance_cli.batch.storage import StoredFile, locate, put
from enhance_cli.batch.transfer import fetched
from enhance_cli.errors import AudioError, UsageError
from tests import audio_zoo as zoo

pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
pytest.importorskip("moto")
pytest.importorskip("flask")

from tests.object_storage import bucket  # noqa: E402

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def s3():
    with bucket("s3") as system:
        yield system


@pytest.fixture
def noisy(tmp_path) -> Path:
    """A tree of three files, one of them hidden."""
    for name in ("a.wav", "deep/b.flac", ".hidden.wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        zoo.save(tmp_path / "in" / name, zoo.noise(1, 8000))
    return tmp_path / "in"


@pytest.fixture
def room(tmp_path, monkeypatch) -> Path:
    """The folder for temporary files."""
    (tmp_path / "room").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    return tmp_path / "room"


def test_a_tree_in_a_bucket_gives_the_bytes_of_a_local_run_and_is_skipped_the_next_time(
    enhance, s3, tiny_model, tmp_path, noisy, room
):
    for path in noisy.rglob("*.*"):
        if path.is_file():
            s3.put_file(str(path), f"take/tree/{path.relative_to(noisy).as_posix()}")
    options = ["-m", tiny_model, "--recursive", "--report", "r.jsonl"]
    assert enhance("denoise", noisy, "-o", "local", *options).code == 0
    first = enhance("denoise", "s3://take/tree/", "-o", "s3://take/clean", *options)
    assert first.code == 0 and set(first.lines) == {"s3://take/clean/a.wav", "s3://take/clean/deep/b.flac"}
    assert s3.find("take/clean") == ["take/clean/a.wav", "take/clean/deep/b.flac"]
    for name in ("a.wav", "deep/b.flac"):
        assert s3.cat_file(f"take/clean/{name}") == zoo.without_place(tmp_path / "local" / name)
    again = enhance("denoise", "s3://take/tree", "-o", "s3://take/clean", *options)
    assert again.code == 0 and not again.lines and "2 skipped" in again.stderr
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    stored = {r["input"]: r for r in records if r["input"].startswith("s3://") and r["status"] == "done"}
    assert stored["s3://take/tree/deep/b.flac"]["output"] == "s3://take/clean/deep/b.flac"
    assert not list(room.iterdir())


def test_one_file_a_glob_and_results_beside_their_input(enhance, s3, identity_model, noisy):
    s3.put_file(str(noisy / "a.wav"), "take/one/x1.wav")
    s3.put_file(str(noisy / "a.wav"), "take/one/y1.wav")
    assert enhance("denoise", "s3://take/one/x?.wav", "-m", identity_model).lines == ["s3://take/one/x1_denoised.wav"]
    assert enhance("denoise", "s3://take/one/y1.wav", "-m", identity_model, "-o", "here.wav").lines == ["here.wav"]
    for output in ("s3://take/one/z.wav", "z.wav"):
        assert enhance("denoise", "here.wav", "-m", identity_model, "-o", output).code == 0
    assert s3.cat_file("take/one/z.wav") == zoo.without_place(Path("z.wav"))


def test_what_is_missing_or_broken_fails_alone_and_by_its_own_name(enhance, s3, identity_model, noisy, room):
    s3.put_file(str(noisy / "a.wav"), "take/bad/good.wav")
    s3.pipe_file("take/bad/broken.wav", b"RIFF....")
    words = [f"s3://take/bad/{name}.wav" for name in ("gone", "broken", "good")]
    result = enhance("denoise", *words, "-m", identity_model, "-o", "s3://take/bad/out", "--report", "r.jsonl")
    assert result.code == 1 and result.lines == ["s3://take/bad/out/good.wav"] and len(result.errors) == 2
    assert any("s3://take/bad/gone.wav: there is no such file" in line for line in result.errors)
    assert any(line.startswith("error: s3://take/bad/broken.wav is not audio") for line in result.errors)
    assert str(room) not in result.stderr and not list(room.iterdir())
    assert s3.find("take/bad/out") == ["take/bad/out/good.wav"]
    for name in ("gone", "broken"):
        s3.put_file(str(noisy / "a.wav"), f"take/bad/{name}.wav")
    again = enhance("denoise", "--retry-failed", "r.jsonl", "-m", identity_model)
    assert again.code == 0 and sorted(again.lines) == [f"s3://take/bad/out/{name}.wav" for name in ("broken", "gone")]


def test_embeddings_in_a_bucket_are_repaired_there(enhance, s3, repair_model, tmp_path, room):
    rows = np.random.default_rng(0).standard_normal((3, 256)).astype(np.float32)
    np.savez(tmp_path / "x.npz", ids=np.array(["a", "b", "c"]), embeddings=rows)
    s3.put_file(str(tmp_path / "x.npz"), "take/vectors/x.npz")
    assert enhance("enhance-embedding", "x.npz", "-o", "y.npz", "-m", repair_model).code == 0
    result = enhance("enhance-embedding", "s3://take/vectors/", "-o", "s3://take/repaired", "-m", repair_model)
    assert result.code == 0 and result.lines == ["s3://take/repaired/x.npz"]
    s3.get_file("take/repaired/x.npz", str(tmp_path / "z.npz"))
    here, there = np.load(tmp_path / "y.npz"), np.load(tmp_path / "z.npz")
    assert all(np.array_equal(here[name], there[name]) for name in here.files)
    refused = enhance("enhance-embedding", "x.npz", "-o", "s3://take/x.scp", "-m", repair_model)
    assert refused.code == 2 and ".scp cannot be in object storage" in refused.errors[0]


@pytest.mark.parametrize(
    "words, said",
    [
        (["s3://take/nothing"], "there are no audio files"),
        (["s3://take/*.wav"], "no file matches"),
        (["ftp://host/a.wav"], "not known"),
        (["a.wav", "-o", "s3://no-such-bucket/out"], "there is no bucket no-such-bucket"),
    ],
)
def test_senseless_addresses_are_refused_before_any_work(enhance, s3, identity_model, tmp_path, words, said):
    zoo.save(tmp_path / "a.wav", zoo.noise(1, 800))
    result = enhance("denoise", *words, "-m", identity_model)
    assert result.code == 2 and said in result.errors[0] and not result.lines


def test_several_outputs_of_one_input_reach_their_places_or_none_does(s3, noisy, room):
    s3.put_file(str(noisy / "a.wav"), "take/parts/a.wav")
    places = [("drums", StoredFile("s3://take/parts/drums/a.wav")), ("bass", StoredFile("s3://take/parts/bass/a.wav"))]
    job = Job(StoredFile("s3://take/parts/a.wav"), PurePosixPath("a.wav"), places[0][1], parts=tuple(places))
    with pytest.raises(ValueError), fetched(job) as local:
        local.targets[0].write_bytes(b"half")
        raise ValueError
    assert s3.find("take/parts") == ["take/parts/a.wav"]
    with fetched(job) as local:
        assert local.source.read_bytes() == (noisy / "a.wav").read_bytes()
        for target in local.targets:
            target.write_bytes(target.parent.name.encode())
    assert s3.cat_file("take/parts/drums/a.wav") != s3.cat_file("take/parts/bass/a.wav")
    assert not list(room.iterdir())


def test_a_put_that_fails_is_a_failed_file(s3, noisy):
    with pytest.raises(AudioError, match="s3://no-such-bucket/a.wav: "):
        put(noisy / "a.wav", StoredFile("s3://no-such-bucket/a.wav"))


def test_file_addresses_are_paths(enhance, identity_model, noisy, tmp_path):
    out = tmp_path / "with space"
    result = enhance("denoise", noisy.as_uri(), "-m", identity_model, "-o", out.as_uri())
    assert result.code == 0 and result.lines == [str(out / "a.wav")]
    assert locate("file:///x/y%20z.wav") == Path("/x/y z.wav")
    for wrong in ("file://a.wav", "file://host/a.wav", "file://"):
        with pytest.raises(UsageError, match=f"{wrong}: this address names no file of this machine"):
            locate(wrong)
    assert locate("file://localhost/x/y.wav") == Path("/x/y.wav")
    for other in ("ftp", "memory", "https", "abfs"):
        with pytest.raises(
            UsageError, match=f"{other}://x/y.wav: this kind of address is not known: use file://, s3://, gs://"
        ):
            locate(f"{other}://x/y.wav")
