"""`enhance enhance-embedding`: recordings and stored embeddings in, repaired embeddings out, in the same form and order."""

import json
import pickle
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import enhance_cli
from enhance_cli.models.spec import read_spec
from enhance_cli.vectors import Vectors, files_of, read, write
from tests import audio_zoo as zoo

SPEECH = Path(__file__).parents[1] / "audio_files" / "pairs"
K, D = 40, 256
IDS = [f"s{i % 3}/utt{i}" for i in range(K)]


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((K, D)).astype(np.float32)


def store(path, rows, ids=IDS, extractor=None):
    write(files_of(path), Vectors(list(ids), rows, extractor), path.suffix[1:], path)
    return path


def names(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def cosines(a, b):
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def speech(folder, *names):
    for name in names or ("p232_263", "p257_094"):
        for kind in ("clean", "noisy"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(SPEECH / kind / f"{name}.flac", folder / kind)
    return folder


# --- stored embeddings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["npy", "npz", "safetensors", "ark", "scp", "parquet", "csv"])
def test_every_form_comes_out_as_it_came_in(form, enhance, repair_model, rows, tmp_path):
    store(tmp_path / f"x.{form}", rows)
    result = enhance("enhance-embedding", f"x.{form}", "-m", repair_model)
    assert result.code == 0 and result.lines == [f"x_enhanced.{form}"]
    expected = enhance_cli.enhance_embedding(rows, model=str(repair_model))
    found = read(tmp_path / f"x_enhanced.{form}")
    assert found.ids == read(tmp_path / f"x.{form}").ids
    np.testing.assert_allclose(found.rows, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), 1, atol=1e-5)
    assert cosines(found.rows, rows).min() > 0.5 and cosines(found.rows, rows).max() < 0.9999
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_neither_order_nor_company_changes_a_vector(enhance, repair_model, rows, tmp_path):
    for name, part in (("all", slice(None)), ("back", slice(None, None, -1)), ("one", slice(3, 4))):
        store(tmp_path / f"{name}.npz", rows[part], IDS[part])
        enhance("enhance-embedding", f"{name}.npz", "-m", repair_model, "--draws", 3, "--seed", 5)
    whole, back, one = (read(tmp_path / f"{name}_enhanced.npz") for name in ("all", "back", "one"))
    np.testing.assert_array_equal(whole.rows[::-1], back.rows)
    np.testing.assert_array_equal(whole.rows[3:4], one.rows)
    enhance("enhance-embedding", "all.npz", "-o", "other.npz", "-m", repair_model, "--draws", 3, "--seed", 6)
    assert not np.array_equal(read(tmp_path / "other.npz").rows, whole.rows)


def test_settings_do_what_they_say_and_python_gives_the_same(enhance, repair_model, rows, tmp_path):
    store(tmp_path / "x.npy", rows)
    made = {}
    for number, (flags, options) in enumerate(
        [
            ([], {}),
            (["--ensemble", 1], {"ensemble": 1.0}),
            (["--ensemble", 0.5], {"ensemble": 0.5}),
            (["--t", 200], {"time": 200}),
            (["--time", 50], {"time": 50}),
            (["--steps", 4], {"steps": 4}),
            (["--draws", 2, "--seed", 1], {"draws": 2, "seed": 1}),
            (["--normalize", "keep"], {"normalize": "keep"}),
        ]
    ):
        assert enhance("enhance-embedding", "x.npy", "-o", f"{number}.npy", "-m", repair_model, *flags).code == 0
        made[" ".join(map(str, flags))] = found = np.load(tmp_path / f"{number}.npy")
        np.testing.assert_allclose(
            found, enhance_cli.enhance_embedding(rows, model=str(repair_model), **options), atol=1e-6
        )
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(made["--ensemble 1"], unit, atol=1e-6)
    mixed = unit + made[""]
    np.testing.assert_allclose(made["--ensemble 0.5"], mixed / np.linalg.norm(mixed, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(
        made["--normalize keep"], made[""] * np.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-4
    )
    np.testing.assert_array_equal(made["--time 50"], made[""])
    others = ("--t 200", "--steps 4", "--draws 2 --seed 1")
    assert all(np.abs(made[name] - made[""]).max() > 1e-4 for name in others)
    row = enhance_cli.enhance_embedding(rows[0].astype(np.float64), model=str(repair_model))
    assert row.shape == (D,) and np.allclose(row, made[""][0], atol=1e-6)


def test_a_folder_tree_is_repeated_skipped_sharded_and_reported(enhance, repair_model, rows, tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.npz", "b.csv", "sub/c.scp"):
        store(tmp_path / "in" / name, rows)
    common = ["in", "-r", "-o", "out", "-m", repair_model]
    planned = enhance("enhance-embedding", *common, "--dry-run")
    assert set(planned.lines) == {"out/a.npz", "out/b.csv", "out/sub/c.scp"} and not (tmp_path / "out").exists()
    parts = [
        enhance("enhance-embedding", *common, "--shard", f"{i}/2", "--report", "r.jsonl", "--json") for i in (1, 2)
    ]
    records = [json.loads(line) for part in parts for line in part.lines]
    assert [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()] == records
    assert {Path(r["output"]).name for r in records} == {"a.npz", "b.csv", "c.scp"}
    assert all((r["status"], r["vectors"], r["unusable"], r["model"], r["steps"], r["extractor"])
               == ("done", K, [], "mend", 1, "ge2e-resemblyzer") for r in records)  # fmt: skip
    assert names(tmp_path / "out") == {"a.npz", "b.csv", "sub/c.scp", "sub/c.ark"}
    assert dict(kaldiio.load_scp(str(tmp_path / "out/sub/c.scp")))[IDS[1]].shape == (D,)
    again = enhance("enhance-embedding", *common)
    assert again.code == 0 and again.stdout == b"" and again.stderr.count("skipped") == 4


def test_python_names_the_rows_that_it_cannot_repair(repair_model, rows):
    rows[4], rows[9] = 0, np.inf
    with pytest.warns(UserWarning, match="zero or not finite come back as they were: 4, 9"):
        repaired = enhance_cli.enhance_embedding(rows, model=str(repair_model))
    np.testing.assert_array_equal(repaired[[4, 9]], rows[[4, 9]])


def test_stored_embeddings_on_standard_input_are_told_where_they_belong(run_enhance, rows, tmp_path):
    store(tmp_path / "x.npy", rows)
    result = run_enhance("enhance-embedding", "-", input=(tmp_path / "x.npy").read_bytes())
    assert (result.code, result.stdout) == (1, b"") and len(result.errors) == 1
    assert "standard input is not audio" in result.errors[0]
    assert result.errors[0].endswith("stored embeddings must be a file with a name")


def test_embeddings_in_a_file_of_another_kind_are_told_which_are_read(enhance, repair_model, rows, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(rows))
    result = enhance("enhance-embedding", "x.pkl", "-m", repair_model)
    assert result.code == 1 and len(result.errors) == 1
    assert result.errors[0].startswith("error: x.pkl is not audio")
    assert "; stored embeddings end in .npy, .npz, " in result.errors[0]
    (tmp_path / "x.wav").write_bytes(b"no audio")
    assert "embeddings" not in enhance("enhance-embedding", "x.wav", "-m", repair_model).errors[0]


def test_another_format_and_standard_output(enhance, repair_model, rows, tmp_path):
    store(tmp_path / "x.npz", rows, extractor="ge2e-resemblyzer")
    assert enhance("enhance-embedding", "x.npz", "--format", "safetensors", "-m", repair_model).code == 0
    with safe_open(tmp_path / "x_enhanced.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["ids"]) == IDS and file.metadata()["extractor"] == "ge2e-resemblyzer"
    piped = enhance("enhance-embedding", "x.npz", "-o", "-", "-m", repair_model, "--quiet")
    (tmp_path / "piped.npz").write_bytes(piped.stdout)
    assert piped.code == 0 and read(tmp_path / "piped.npz").ids == IDS


# --- recordings ---------------------------------------------------------------------------------------------


def test_recordings_one_by_one_all_in_one_and_from_python(enhance, repair_model, tmp_path):
    speech(tmp_path)
    each = enhance("enhance-embedding", "clean", "noisy", "-m", repair_model)
    assert each.code == 0 and len(each.lines) == 4 and "clean/p232_263_enhanced.npz" in each.lines
    single = read(tmp_path / "clean/p232_263_enhanced.npz")
    assert single.ids == ["p232_263.flac"] and single.extractor == "ge2e-resemblyzer"
    made = enhance("enhance-embedding", "*/*.flac", "-o", "all.ark", "-m", repair_model, "--report", "r.jsonl")
    assert made.code == 0 and made.lines == ["all.ark"]
    together = read(tmp_path / "all.ark")
    assert together.ids == [f"{kind}/{name}.flac" for kind in ("clean", "noisy") for name in ("p232_263", "p257_094")]
    np.testing.assert_array_equal(together.rows[0], single.rows[0])
    alone = enhance("enhance-embedding", "clean", "-o", "alone", "-m", repair_model, "--threads", 1)
    assert alone.code == 0
    np.testing.assert_array_equal(read(tmp_path / "alone/p232_263.npz").rows, single.rows)
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(r["status"], r["output"], r["vectors"]) for r in records] == [("done", "all.ark", 1)] * 4
    audio, rate = soundfile.read(tmp_path / "clean/p232_263.flac", always_2d=True)
    called = enhance_cli.enhance_embedding(audio.T, rate, model=str(repair_model))
    np.testing.assert_allclose(called, single.rows[0], atol=1e-5)
    assert cosines(together.rows[:1], together.rows[2:3]) > cosines(together.rows[:1], together.rows[1:2])


def test_settings_of_the_embedding_change_it(enhance, repair_model, tmp_path):
    audio, rate = soundfile.read(SPEECH / "noisy/p232_263.flac")
    zoo.save(tmp_path / "a.wav", np.pad(audio, (0, 3 * rate))[None], rate)
    common = ["a.wav", "-m", repair_model]
    for name, flags in (
        ("a", []),
        ("vad", ["--vad"]),
        ("segment", ["--segment", "0.8"]),
        ("named", ["--extractor", "ge2e"]),
    ):
        assert enhance("enhance-embedding", *common, "-o", f"{name}.npy", *flags).code == 0
    a, vad, segment, named = (np.load(tmp_path / f"{name}.npy") for name in ("a", "vad", "segment", "named"))
    np.testing.assert_array_equal(a, named)
    assert 0.7 < cosines(a, vad) < 0.99999 and 0.7 < cosines(a, segment) < 0.99999


@pytest.mark.slow
def test_a_recording_from_a_pipe(run_enhance, tmp_path):
    audio = (SPEECH / "clean/p232_263.flac").read_bytes()
    piped = run_enhance("enhance-embedding", "-", "-m", "seed-ge2e", "--quiet", input=audio)
    (tmp_path / "x.npz").write_bytes(piped.stdout)
    assert piped.code == 0 and read(tmp_path / "x.npz").rows.shape == (1, D)


# --- what can be wrong --------------------------------------------------------------------------------------


def test_rows_that_cannot_be_repaired_are_named_and_left_the_others_done(enhance, repair_model, rows, tmp_path):
    good = enhance_cli.enhance_embedding(rows, model=str(repair_model))
    bad = {3: np.nan, 7: 0.0, 9: np.inf}
    rows[3, 5], rows[7], rows[9, 0] = bad.values()
    store(tmp_path / "x.npz", rows)
    result = enhance("enhance-embedding", "x.npz", "-m", repair_model, "--report", "r.jsonl")
    assert result.code == 1 and result.lines == ["x_enhanced.npz"]
    assert [line.split(": ")[2].split()[:2] for line in result.errors] == [["embedding", IDS[i]] for i in bad]
    assert json.loads((tmp_path / "r.jsonl").read_text())["unusable"] == [IDS[i] for i in bad]
    found = read(tmp_path / "x_enhanced.npz")
    assert found.ids == IDS
    np.testing.assert_array_equal(found.rows[list(bad)], rows[list(bad)])
    rest = [i for i in range(K) if i not in bad]
    np.testing.assert_allclose(found.rows[rest], good[rest], atol=1e-6)


def test_bad_recordings_fail_alone(enhance, repair_model, tmp_path):
    speech(tmp_path / "in", "p232_263")
    zoo.save(tmp_path / "in/short.wav", zoo.noise(1, 1600))
    zoo.save(tmp_path / "in/silence.wav", np.zeros((1, 48000), np.float32))
    (tmp_path / "in/text.wav").write_text("not audio")
    said = {"short.wav": "only 0.10 s long", "silence.wav": "silent", "text.wav": "text.wav"}
    for output in ("out", "all.npz"):
        result = enhance("enhance-embedding", "in", "-r", "-o", output, "-m", repair_model, "--json")
        records = {Path(r["input"]).name: r for r in map(json.loads, result.lines)}
        assert result.code == 1 and len(result.errors) == 3 and "2 done, 0 skipped, 3 failed" in result.stderr
        for name, why in said.items():
            assert (
                records[name]["status"] == "failed"
                and why in records[name]["reason"]
                and name in records[name]["reason"]
            )
    assert names(tmp_path / "out") == {"clean/p232_263.npz", "noisy/p232_263.npz"}
    assert read(tmp_path / "all.npz").ids == ["clean/p232_263.flac", "noisy/p232_263.flac"]


def test_only_what_failed_is_done_again_under_the_same_ids(enhance, repair_model, tmp_path):
    speech(tmp_path / "in", "p232_263")
    zoo.save(tmp_path / "in/clean/late.wav", zoo.noise(1, 1600))
    assert enhance("enhance-embedding", "in", "-r", "-o", "out", "-m", repair_model, "--report", "r.jsonl").code == 1
    speech(tmp_path / "other", "p257_094")
    shutil.copy(tmp_path / "other/clean/p257_094.flac", tmp_path / "in/clean/late.wav")
    again = ["--retry-failed", "r.jsonl", "-m", repair_model, "--report", "r.jsonl"]
    assert enhance("enhance-embedding", *again).lines == ["out/clean/late.npz"]
    assert read(tmp_path / "out/clean/late.npz").ids == ["clean/late.wav"]
    nothing = enhance("enhance-embedding", *again)
    assert (nothing.code, nothing.lines) == (0, []) and "no file in it has failed" in nothing.stderr


def test_what_failed_of_another_command_or_of_one_file_for_all_is_not_done_again(enhance, repair_model, tmp_path):
    speech(tmp_path / "in", "p232_263")
    zoo.save(tmp_path / "in/short.wav", zoo.noise(1, 1600))
    run = ["enhance-embedding", "in", "-r", "-m", repair_model, "--report"]
    assert enhance(*run, "all.jsonl", "-o", "all.npz").code == enhance(*run, "r.jsonl", "-o", "out").code == 1
    refused = enhance("enhance-embedding", "--retry-failed", "all.jsonl", "-m", repair_model)
    assert refused.code == 2 and "all.npz is made of several inputs at once" in refused.stderr
    refused = enhance("denoise", "--retry-failed", "r.jsonl")
    assert refused.code == 2 and "this command does not make out/short.npz" in refused.stderr


def test_no_recording_no_file(enhance, repair_model, tmp_path):
    zoo.save(tmp_path / "short.wav", zoo.noise(1, 1600))
    result = enhance("enhance-embedding", "short.wav", "-o", "x.npz", "-m", repair_model)
    assert result.code == 1 and names(tmp_path) == {"short.wav"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p, rows: store(p, rows[:, :192]), "x.npz: vectors of shape [40, 192]: mend repairs 256 numbers each"),
        (lambda p, rows: store(p, rows, ["a", *IDS[:-2], "a"]), "x.npz: the id a is there 2 times"),
        (
            lambda p, rows: store(p, rows, extractor="other"),
            "x.npz: mend repairs embeddings of ge2e-resemblyzer, not of other",
        ),
        (
            lambda p, rows: np.savez(p, embeddings=rows, extractor=np.array(["ge2e-resemblyzer"] * 39 + ["other"])),
            "x.npz: embeddings of several extractors (ge2e-resemblyzer, other)",
        ),
        (lambda p, rows: p.write_bytes(b"no zip"), "x.npz"),
        (lambda p, rows: None, "x.npz: this file does not exist"),
    ],
)
def test_a_bad_file_fails_alone_with_one_line(make, said, enhance, repair_model, rows, tmp_path):
    make(tmp_path / "x.npz", rows)
    store(tmp_path / "good.npz", rows)
    result = enhance("enhance-embedding", "x.npz", "good.npz", "-m", repair_model)
    assert result.code == 1 and result.lines == ["good_enhanced.npz"]
    assert len(result.errors) == 1 and said in result.errors[0] and not (tmp_path / "x_enhanced.npz").exists()


WRONG = [
    (
        ["x.npz", "--extractor", "ecapa-voxceleb"],
        3,
        "mend repairs embeddings of ge2e-resemblyzer, not of speechbrain-ecapa-voxceleb",
    ),
    (["x.npz", "--extractor", "nobody"], 3, "unknown model 'nobody'"),
    (["x.npz", "-m", "nobody"], 3, "unknown model 'nobody'"),
    (["x.npz", "--steps", "0"], 2, "--steps 0"),
    (["x.npz", "--t", "1000"], 2, ""),
    (["x.npz", "--ensemble", "2"], 2, ""),
    (["x.npz", "--normalize", "loud"], 2, ""),
    (["x.npz", "--format", "xml"], 2, "--format xml: must be one of npy, npz"),
    (["a.wav", "-o", "b.wav"], 2, "b.wav: embeddings are not audio"),
    (["x.npz", "-o", "x.csv", "--format", "npy"], 2, "x.csv is not named as --format npy is: give one of them"),
    (["x.npz", "-o", "x.json"], 2, "x.json: embeddings cannot be written to such a file: choose from npy, npz"),
    (["in", "-o", "all.npz", "--shard", "1/2"], 2, "make a file for every recording"),
    ([], 2, "there are no input files"),
    (["x.npz", "-o", "x.npz"], 2, "the output would overwrite this input"),
    (["x.npz", "a.wav", "-o", "all.npz"], 2, "2 inputs cannot go into one file"),
    (["x.npz", "-o", "-", "--json"], 2, "--json and the results cannot both"),
    (["in", "other", "-r", "-o", "all.npz"], 2, "2 recordings would have the id a.wav"),
    (["in/my voice.wav", "-o", "all.ark"], 2, "cannot be used in a Kaldi file"),
    (["empty"], 2, "there are no audio files or embeddings in this folder"),
    (["x.npz", "-o", "kept.scp"], 2, "kept.ark: this output exists"),
    (["x.npz", "--shard", "3/2"], 2, "--shard 3/2"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "said"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_use_is_refused_before_any_work(arguments, code, said, enhance, repair_model, rows, tmp_path):
    for folder in ("in", "other", "empty"):
        (tmp_path / folder).mkdir()
    for name in ("a.wav", "in/a.wav", "other/a.wav", "in/my voice.wav"):
        zoo.save(tmp_path / name, zoo.noise(1, 16000))
    store(tmp_path / "x.npz", rows)
    (tmp_path / "kept.ark").write_text("mine")
    before = names(tmp_path)
    model = [] if "-m" in arguments else ["-m", repair_model]
    result = enhance("enhance-embedding", *arguments, *model)
    assert (result.code, result.stdout) == (code, b"") and said in result.stderr and "Traceback" not in result.stderr
    assert names(tmp_path) == before and (tmp_path / "kept.ark").read_text() == "mine"


def test_an_extractor_that_is_not_here_yet_is_named(enhance, repair_model, rows, tmp_path):
    header = replace(read_spec(repair_model), extractor={"id": "speechbrain-ecapa-voxceleb", "dimension": 256})
    save_file(load_file(repair_model), tmp_path / "m.safetensors", header.to_metadata())
    zoo.save(tmp_path / "a.wav", zoo.noise(1, 16000))
    result = enhance("enhance-embedding", "a.wav", "-m", "m.safetensors")
    assert result.code == 3 and "run `enhance models pull ecapa-voxceleb`" in result.stderr
    store(tmp_path / "x.npz", rows)
    assert enhance("enhance-embedding", "x.npz", "-m", "m.safetensors").code == 0  # stored ones need no extractor


KILLED_AT_THE_FIFTH = """
import os, signal
from enhance_cli.__main__ import main
from enhance_cli.batch.embeddings.checkpoint import EmbeddingCheckpoint

added, add = [], EmbeddingCheckpoint.add

def add_or_die(self, *found):
    if len(added) >= 4:
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, *found)
    added.append(found)

EmbeddingCheckpoint.add = add_or_die
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_at_work_on_one_file_for_all_it_goes_on_and_gives_the_same(start_python, enhance, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(12):
        zoo.save(tmp_path / "in" / f"{number:02}.wav", zoo.noise(1, 48000, number))
    command = ["enhance-embedding", "in", "-o", "all.npz", "-m", "seed-ge2e", "--threads", "1"]
    assert enhance(*command).code == 0
    expected = (tmp_path / "all.npz").read_bytes()
    (tmp_path / "all.npz").unlink()
    with start_python("-c", KILLED_AT_THE_FIFTH, *command, "--report", "r.jsonl") as process:
        assert process.wait(600) == -signal.SIGKILL
    assert (tmp_path / ".all.npz.rows.part").read_bytes().count(b"\n") >= 4 and not (tmp_path / "all.npz").exists()
    assert (tmp_path / "r.jsonl").read_bytes() == b""  # nothing is said to be done before the file is there
    result = enhance(*command, "--report", "r.jsonl")
    assert result.code == 0 and (tmp_path / "all.npz").read_bytes() == expected
    assert names(tmp_path) == {"all.npz", "r.jsonl", *(f"in/{number:02}.wav" for number in range(12))}
    assert [json.loads(line)["status"] for line in (tmp_path / "r.jsonl").read_text().splitlines()] == ["done"] * 12
