"""`enhance verify`: scores and decision of a pair, error rates of a list of trials, and what is refused."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import enhance_cli
from enhance_cli.commands.verify.embeddings import in_files
from enhance_cli.metrics import eer, min_dcf
from enhance_cli.models.load import load_file
from enhance_cli.tasks.embedding_pipeline import EmbeddingPipeline
from enhance_cli.vectors import Vectors, files_of, write
from tests import audio_zoo as zoo

SPEECH = Path(__file__).parents[2] / "audio_files" / "pairs"
FILES = ("p232_263", "p232_328", "p257_094", "p257_395")
D = 256


@pytest.fixture
def speech(tmp_path):
    for kind in ("clean", "noisy"):
        (tmp_path / kind).mkdir()
        for name in FILES:
            shutil.copy(SPEECH / kind / f"{name}.flac", tmp_path / kind)
    return tmp_path


@pytest.fixture
def stored(tmp_path):
    """Ten speakers with six utterances each, far enough apart to tell most of them, in a file and a list of all pairs."""
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(10), 6)
    rows = (rng.standard_normal((10, D))[speaker] + 3.5 * rng.standard_normal((60, D))).astype(np.float32)
    ids = [f"s{s}/u{i}" for i, s in enumerate(speaker)]
    save(tmp_path / "x.npz", ids, rows)
    one, other = np.triu_indices(60, 1)
    targets = speaker[one] == speaker[other]
    lines = [f"{int(t)} {ids[a]} {ids[b]}" for t, a, b in zip(targets, one, other)]
    (tmp_path / "trials").write_text("\n".join(lines) + "\n")
    return rows, one, other, targets


def save(path, ids, rows, extractor=None):
    write(files_of(path), Vectors(list(ids), np.asarray(rows, np.float32), extractor), path.suffix[1:], path)


def cosine(a, b):
    return np.sum(a * b, axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


# --- pairs --------------------------------------------------------------------------------------------------


def test_two_recordings_of_one_voice_and_of_two(enhance, repair_model, speech):
    pairs = {
        "same": ("clean/p232_263.flac", "clean/p232_328.flac"),
        "other": ("clean/p232_263.flac", "clean/p257_094.flac"),
    }
    found = {
        k: json.loads(enhance("verify", *pair, "-m", repair_model, "--json").lines[0]) for k, pair in pairs.items()
    }
    assert found["same"]["raw"] > found["other"]["raw"] and found["same"]["raw"] != found["same"]["repaired"]
    for one in found.values():
        assert one["threshold"] == 0.75 and one["same"] == (one["repaired"] >= 0.75) and one["model"] == "mend"
    between = (found["same"]["repaired"] + found["other"]["repaired"]) / 2
    for name, said in (("same", "the same speaker"), ("other", "different speakers")):
        line = enhance("verify", *pairs[name], "-m", repair_model, "--threshold", between).lines
        assert len(line) == 1 and line[0].endswith(said) and f"raw {found[name]['raw']:.4f}" in line[0]
    itself = json.loads(enhance("verify", pairs["same"][0], pairs["same"][0], "-m", repair_model, "--json").lines[0])
    assert itself["raw"] == pytest.approx(1) and itself["repaired"] == pytest.approx(1)


def test_two_stored_embeddings(enhance, repair_model, stored, tmp_path):
    rows = stored[0]
    repaired = enhance_cli.enhance_embedding(rows, model=str(repair_model))
    by_id = json.loads(enhance("verify", "s0/u0", "s0/u1", "--vectors", "x.npz", "-m", repair_model, "--json").lines[0])
    assert by_id["raw"] == pytest.approx(cosine(rows[0], rows[1]), abs=1e-6)
    assert by_id["repaired"] == pytest.approx(cosine(repaired[0], repaired[1]), abs=1e-5)
    for i in (0, 1):
        save(tmp_path / f"{i}.npz", ["a"], rows[i : i + 1])
    by_file = json.loads(enhance("verify", "0.npz", "1.npz", "-m", repair_model, "--json").lines[0])
    assert (by_file["raw"], by_file["repaired"]) == (by_id["raw"], by_id["repaired"])


def test_a_decision_says_what_its_threshold_rests_on_and_where_it_is_uncertain(enhance, stored):
    pair = ["verify", "s0/u0", "s0/u1", "--vectors", "x.npz"]
    own = json.loads(enhance(*pair, "--json").lines[0])
    low, high = own["uncertain_range"]
    assert low < own["threshold"] < high and own["uncertain"] == (low < own["repaired"] < high)
    assert "162 recordings of 36 speakers held out of its training" in own["threshold_from"]
    assert "for speech like that only" in own["threshold_from"] and own["threshold_from"] in enhance(*pair).stderr

    near = round(own["repaired"], 3) - 0.01
    given = enhance(*pair, "--threshold", near, "--uncertain", near - 0.1, near + 0.1)
    assert given.lines[0].endswith("uncertain, rather the same speaker") and "held out" not in given.stderr
    given = enhance(*pair, "--threshold", near + 0.1, "--uncertain", near, near + 0.2)
    assert given.lines[0].endswith("uncertain, rather different speakers")
    assert enhance(*pair, "--threshold", near, "--uncertain", near - 0.1, near).lines[0].endswith("  the same speaker")
    plain = json.loads(enhance(*pair, "--threshold", near, "--json").lines[0])
    assert (plain["uncertain"], plain["uncertain_range"], plain["threshold_from"]) == (None, None, "--threshold")


# --- lists --------------------------------------------------------------------------------------------------


def test_error_rates_of_stored_embeddings_are_those_of_their_cosines(enhance, repair_model, stored, tmp_path):
    rows, one, other, targets = stored
    common = ["verify", "--trials", "trials", "--vectors", "x.npz", "-m", repair_model, "--bootstrap", 50]
    raw, repaired = map(json.loads, enhance(*common, "--json", "--t", 150).lines)
    for found, vectors in (
        (raw, rows),
        (repaired, enhance_cli.enhance_embedding(rows, model=str(repair_model), time=150)),
    ):
        scores = cosine(vectors[one], vectors[other])
        rate, threshold = eer.score(scores, targets)
        assert found["eer"] == pytest.approx(rate, abs=0.002) and found["threshold"] == pytest.approx(
            threshold, abs=0.002
        )
        assert found["min_dcf"] == pytest.approx(min_dcf.score(scores, targets), abs=0.01)
        low, high = found["uncertain_range"]  # a twentieth of either kind lies on its wrong side
        assert np.mean(scores[targets] < low) == pytest.approx(0.05, abs=0.01)
        assert np.mean(scores[~targets] > high) == pytest.approx(0.05, abs=0.01) and low < found["threshold"] < high
        assert (found["trials"], found["targets"]) == (len(targets), targets.sum())
        for name in ("eer", "min_dcf"):
            low, high = found[f"{name}_interval"]
            assert low <= found[name] <= high and high - low > 0.005
    assert repaired["eer_change"] == pytest.approx(repaired["eer"] / raw["eer"] - 1)
    low, high = repaired["eer_change_interval"]
    assert low < repaired["eer_change"] < high
    table = enhance(*common, "--t", 150, "--plot", "det.png").stdout.decode()
    assert (
        f"{100 * raw['eer']:.2f}" in table
        and f"{repaired['min_dcf']:.3f}" in table
        and "repair changes the EER by" in table
        and "{:.4f} to {:.4f}".format(*repaired["uncertain_range"]) in table
    )
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")


def test_cosines_that_rise_without_fewer_errors_are_said_to_do_just_that(enhance, stored, tmp_path):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((10, D)).repeat(6, axis=0) + 0.8 * rng.standard_normal((60, D))
    save(tmp_path / "apart.npz", [f"s{i // 6}/u{i}" for i in range(60)], rows)
    common = ["verify", "--trials", "trials", "--vectors", "apart.npz", "--bootstrap", 0]
    raw, repaired = map(json.loads, enhance(*common, "--json").lines)
    assert repaired["target_cosine"] > raw["target_cosine"] and raw["eer"] == repaired["eer"] == 0
    assert repaired["uncertain_range"] is None  # they lie further apart
    assert raw["target_cosine"] == pytest.approx(cosine(rows[stored[1]], rows[stored[2]])[stored[3]].mean(), abs=1e-3)
    assert "of one speaker rise" in enhance(*common).lines[-1] and "does not fall" in enhance(*common).lines[-1]
    assert "of one speaker rise" not in enhance(*common, "--ensemble", 1).stdout.decode()


def test_the_other_order_of_columns_and_comments(enhance, repair_model, stored, tmp_path):
    lines = [line.split() for line in (tmp_path / "trials").read_text().splitlines()]
    text = "".join(f"{a} {b} {'target' if label == '1' else 'nontarget'}\n" for label, a, b in lines)
    (tmp_path / "kaldi").write_text(f"# comment\n\n{text}")
    common = ["--vectors", "x.npz", "-m", repair_model, "--bootstrap", 0, "--json"]
    ours, theirs = (enhance("verify", "--trials", name, *common) for name in ("trials", "kaldi"))
    assert ours.code == theirs.code == 0 and ours.lines == theirs.lines and "eer_interval" not in ours.lines[0]


def test_trials_of_recordings_below_a_root(enhance, repair_model, speech):
    pairs = [(a, b) for i, a in enumerate(FILES) for b in FILES[i + 1 :]]
    lines = [f"{int(a[:4] == b[:4])}\tclean/{a}.flac\tnoisy/{b}.flac" for a, b in pairs]
    (speech / "trials").write_text("\n".join(lines))
    (speech / "elsewhere").mkdir()
    result = enhance("verify", "--trials", "trials", "--root", ".", "-m", repair_model, "--json")
    raw, repaired = map(json.loads, result.lines)
    assert (
        "eer_interval" not in raw
        and raw["uncertain_range"] is None
        and "no intervals: they take 10 speakers" in result.stderr
    )
    assert (raw["trials"], raw["targets"]) == (6, 2) and raw["eer"] <= 0.5
    wrong = enhance("verify", "--trials", "trials", "--root", "elsewhere", "-m", repair_model)
    assert wrong.code == 2 and "clean/p232_263.flac does not exist (and 5 more)" in wrong.stderr


def test_what_cannot_be_compared_is_named_and_left_out(enhance, repair_model, stored, tmp_path):
    rows = stored[0].copy()
    rows[0], rows[7] = np.nan, 0
    save(tmp_path / "bad.npz", [f"s{i // 6}/u{i}" for i in range(60)], rows)
    common = ["--trials", "trials", "-m", repair_model, "--bootstrap", 0, "--json"]
    result = enhance("verify", "--vectors", "bad.npz", *common)
    assert result.code == 1 and len(result.errors) == 2 and all(name in result.stderr for name in ("s0/u0:", "s1/u7:"))
    assert json.loads(result.lines[0])["trials"] == 58 * 57 / 2 and "117 of 1770 trials are left out" in result.stderr


def test_a_silent_and_a_short_recording(enhance, repair_model, speech):
    zoo.save(speech / "silent.wav", np.zeros((1, 32000), np.float32))
    zoo.save(speech / "short.wav", zoo.noise(1, 1600))
    for bad, said in (("silent.wav", "silent.wav: silent"), ("short.wav", "short.wav: only 0.10 s long")):
        result = enhance("verify", "clean/p232_263.flac", bad, "-m", repair_model)
        assert result.code == 1 and result.stdout == b"" and len(result.errors) == 1 and said in result.stderr


def test_recordings_are_embedded_side_by_side_with_the_bits_of_one_after_the_other(repair_model, speech):
    paths = [speech / kind / f"{name}.flac" for kind in ("clean", "noisy") for name in FILES]
    speakers = EmbeddingPipeline(load_file(repair_model, torch.device("cpu")))
    alone = np.stack([speakers.embed_file(path)[0] for path in paths])
    both, embed_file = threading.Barrier(2), speakers.embed_file
    speakers.embed_file = lambda path: (both.wait(timeout=600), embed_file(path))[1]  # breaks unless two are in hand
    np.testing.assert_array_equal(in_files(paths, speakers).rows, alone)


def test_files_of_a_list_that_cannot_be_used_are_named_and_left_out(enhance, repair_model, speech, stored):
    (speech / "broken.npy").write_text("no array")
    (speech / "broken.flac").write_text("no sound")
    save(speech / "stored.npz", ["a"], stored[0][:1], "ge2e-resemblyzer")
    save(speech / "short.npz", ["a"], stored[0][:1, :192])
    names = [*(f"clean/{name}.flac" for name in FILES), "broken.npy", "broken.flac", "short.npz", "stored.npz"]
    lines = [f"{int(a[:10] == b[:10])} {a} {b}" for i, a in enumerate(names) for b in names[i + 1 :]]
    (speech / "list").write_text("\n".join(lines))
    result = enhance("verify", "--trials", "list", "-m", repair_model, "--json")
    assert result.code == 1 and len(result.errors) == 3
    for name, error in zip(
        ("broken.npy: ", "short.npz: vectors of shape [1, 192]", "broken.flac is not audio"), result.errors
    ):
        assert name in error
    assert json.loads(result.lines[0])["trials"] == 5 * 4 / 2 and "18 of 28 trials are left out" in result.stderr


def test_a_list_of_which_one_kind_is_left_has_no_error_rate(enhance, repair_model, speech):
    zoo.save(speech / "silent.wav", np.zeros((1, 32000), np.float32))
    (speech / "list").write_text(f"1 clean/{FILES[0]}.flac clean/{FILES[1]}.flac\n0 clean/{FILES[0]}.flac silent.wav\n")
    result = enhance("verify", "--trials", "list", "-m", repair_model)
    assert (result.code, result.stdout) == (1, b"") and "1 of 2 trials are left out" in result.stderr
    assert "error: list: all trials that are left are of one speaker" in result.stderr


# --- what is refused ----------------------------------------------------------------------------------------

WRONG = [
    (["a.wav"], 2, "two recordings are compared, and 1 given: name two"),
    (["a.wav", "gone.wav"], 2, "gone.wav does not exist"),
    (["voices", "voices"], 2, "voices is a folder, and a voice is a file: name recordings"),
    (["--trials", "folders"], 2, "folders: voices is a folder"),
    (["s0/u0", "nobody", "--vectors", "x.npz"], 2, "nobody is not in x.npz"),
    (["--trials", "gone"], 2, "gone: this list cannot be read"),
    (["--trials", "empty"], 2, "empty: there are no trials in it"),
    (["--trials", "only"], 2, "only: all trials are of one speaker"),
    (["--trials", "broken"], 2, "broken: line 2 is not a trial"),
    (["--trials", "unknown", "--vectors", "x.npz"], 2, "unknown: nobody is not in x.npz"),
    (["a.wav", "a.wav", "--trials", "only"], 2, "--trials and a pair cannot be given together"),
    (["a.wav", "a.wav", "--plot", "x.png"], 2, "--plot draws the curves of a list"),
    (["--trials", "trials", "--threshold", "0.5"], 2, "--threshold and --uncertain decide a pair"),
    (["s0/u0", "s0/u1", "--vectors", "x.npz", "--uncertain", "0.8", "0.9"], 2, "does not hold the threshold 0.75"),
    (["--trials", "trials.txt", "--plot", "x.xyz"], 2, "--plot x.xyz: pictures are PNG: write x.png"),
    (["a.wav", "a.wav", "--extractor", "ecapa-voxceleb"], 3, "not of speechbrain-ecapa-voxceleb"),
    (["s0/u0", "s0/u1", "--vectors", "other.npz"], 1, "x: mend repairs embeddings of ge2e-resemblyzer, not of other"),
    (["s0/u0", "s0/u1", "--vectors", "short.npz"], 1, "short.npz: vectors of shape [2, 192]"),
    (["s0/u0", "s0/u1", "--vectors", "twice.npz"], 1, "twice.npz: the id a is there 2 times"),
    (["one.npz", "two.npz"], 1, "embeddings of different extractors: one.npz of ge2e-resemblyzer and two.npz of other"),
    (["x.npz", "one.npz"], 1, "x.npz: holds 60 embeddings"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_wrong_use_and_bad_data_are_refused_in_one_line(arguments, code, said, enhance, repair_model, stored, tmp_path):
    zoo.save(tmp_path / "a.wav", zoo.noise(1, 16000))
    ids, rows = [f"s{i // 6}/u{i}" for i in range(60)], stored[0]
    save(tmp_path / "other.npz", ids, rows, "other")
    save(tmp_path / "short.npz", ids, rows[:, :192])
    save(tmp_path / "twice.npz", ["a", "a"], rows[:2])
    save(tmp_path / "one.npz", ["a"], rows[:1], "ge2e-resemblyzer")
    save(tmp_path / "two.npz", ["a"], rows[1:2], "other")
    lists = {
        "empty": "# nothing\n\n",
        "only": "1 a.wav a.wav\n",
        "broken": "1 a.wav a.wav\nyes a.wav\n0 a.wav a.wav\n",
        "unknown": "1 s0/u0 s0/u1\n0 s0/u0 nobody\n",
        "folders": "1 a.wav voices\n0 a.wav gone.wav\n",
    }
    (tmp_path / "voices").mkdir()
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    result = enhance("verify", *arguments, "-m", repair_model)
    assert (result.code, result.stdout) == (code, b"") and result.stderr.count("\n") == 1, result.stderr
    assert said.removeprefix("x: ") in result.stderr and result.stderr.startswith("error: ")
    assert not list(tmp_path.glob("*.png"))


def test_level_polarity_and_loud_moments_do_not_make_another_voice(enhance, repair_model, tmp_path):
    """+18 dB in floats, a side of opposite polarity, and the other side of a call, which --channel leaves out."""
    voice, rate = soundfile.read(SPEECH / "clean" / "p232_263.flac", dtype="float32")
    other = np.resize(soundfile.read(SPEECH / "clean" / "p257_094.flac", dtype="float32")[0], voice.size)
    files = {"a": voice, "loud": 8 * voice, "anti": np.stack([voice, -voice], 1), "call": np.stack([voice, other], 1)}
    for name, audio in files.items():
        soundfile.write(tmp_path / f"{name}.wav", audio, 8000 if name == "call" else rate, subtype="FLOAT")
    score = lambda name, *flags: json.loads(enhance("verify", "a.wav", f"{name}.wav", "--json", *flags).stdout)["raw"]
    assert score("loud") > 0.9999 and score("anti") > 0.9999
    said = enhance("verify", "a.wav", "anti.wav").stderr
    assert "anti.wav: the channels cancel each other: the first was taken" in said
    assert "call.wav: two channels, perhaps the two sides of a call" in enhance("verify", "a.wav", "call.wav").stderr
    soundfile.write(tmp_path / "call.wav", files["call"], rate, subtype="FLOAT")
    assert score("call", "--channel", "1") > 0.9999 > 0.99 > score("call", "--channel", "2")
    assert enhance("verify", "a.wav", "call.wav", "--channel", "3").code == 1
    assert enhance("verify", "a.wav", "call.wav", "--channel", "left").code == 2
