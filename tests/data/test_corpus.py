"""Packing a corpus: what goes in, what stays out, what is held out, and what is said when nothing is left."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from enhance_cli.data import corpus
from enhance_cli.data.corpus import Source
from enhance_cli.errors import UsageError

RATE = 16000


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for speaker in ("ann", "bob", "cid", "dee"):
        folder = tmp_path / "root" / "speech" / speaker
        folder.mkdir(parents=True)
        for k in range(2):
            soundfile.write(folder / f"{speaker}{k}.flac", 0.1 * rng.standard_normal(8000), RATE)
    (tmp_path / "root" / "speech" / "ann" / "notes.txt").write_text("not audio")
    (tmp_path / "root" / "speech" / "bob" / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "root" / "scores.csv").write_text(
        "file,clean\nspeech/ann/ann0.flac,4.0\nspeech/ann/ann1.flac,2.0\nspeech/bob/bob0.flac,4.5\n"
    )
    return tmp_path / "root"


def load(root, *sources, log=lambda line: None):
    return corpus.load(list(sources), root, RATE, root.parent / "cache", log)


def test_everything_readable_is_packed_and_what_is_not_is_said(root):
    said = []
    packed = load(root, Source("speech", groups="folder", held_out=0.25), log=said.append)
    assert len(packed.train) == 6 and len(packed.valid) == 2
    assert any("broken.wav" in line for line in said)
    clip = packed.train[0]
    assert clip.length == 8000 and np.abs(packed.audio[clip.start : clip.start + 8000]).max() > 1000
    assert packed.hours(packed.train, RATE) == pytest.approx(3 / 3600)


def test_no_speaker_is_on_both_sides(root):
    packed = load(root, Source("speech", groups="folder", held_out=0.5))
    sides = [{clip.group for clip in side} for side in (packed.train, packed.valid)]
    assert len(sides[0]) == len(sides[1]) == 2 and not sides[0] & sides[1]


def test_a_source_of_few_speakers_is_validated_on_too_however_small_its_share(root):
    for k in range(40):
        path = root / "large" / f"{k:02}" / "a.flac"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.1 * np.ones(800), RATE)
    packed = load(root, Source("large", groups="folder", held_out=0.1), Source("speech", groups="folder", held_out=0.1))
    held = [{clip.group for clip in packed.valid if clip.source == source} for source in (0, 1)]
    assert [len(groups) for groups in held] == [4, 1]
    assert {clip.source for clip in packed.train} == {0, 1}


@pytest.mark.parametrize("path", ["ann/ann0.flac", "ann/mic1/ann0.flac", "ann/chapter/mic1/ann0.flac"])
def test_a_speaker_is_the_folder_below_the_source_however_deep_the_file(path):
    name = corpus.group(Source("speech/train", groups="folder"), Path("/data/speech/train") / path, Path("/data"))
    assert name == "speech/train/ann"


def test_speakers_with_the_same_microphones_stay_apart(root):
    for speaker in (root / "speech").iterdir():
        for k, file in enumerate(sorted(speaker.glob("*.flac"))):
            (speaker / f"mic{k}").mkdir()
            file.rename(speaker / f"mic{k}" / file.name)
    packed = load(root, Source("speech", groups="folder", held_out=0.5))
    sides = [sorted({clip.group for clip in side}) for side in (packed.train, packed.valid)]
    assert sorted(sides[0] + sides[1]) == [f"speech/{name}" for name in ("ann", "bob", "cid", "dee")]
    assert len(sides[0]) == len(sides[1]) == 2


def test_packing_happens_once_until_the_files_change(root):
    source = Source("speech", held_out=0.25)
    load(root, source)
    said = []
    load(root, source, log=said.append)
    assert not said
    soundfile.write(root / "speech" / "ann" / "more.wav", np.ones(8000) * 0.1, RATE)
    load(root, source, log=said.append)
    assert said


def test_packing_that_is_broken_off_leaves_nothing_and_is_done_again(root):
    def stop(line):
        if "broken.wav" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(root, Source("speech", held_out=0.25), log=stop)
    assert not list((root.parent / "cache").iterdir())
    assert len(load(root, Source("speech", held_out=0.25)).train) == 6


def test_scores_and_exclusions_choose_files(root):
    scored = Source("speech", scores="scores.csv", at_least={"clean": 3.9})
    assert [p.name for p in corpus.list_files(scored, root)] == ["ann0.flac", "bob0.flac"]
    without = Source("speech", exclude=("ann/*", "*/broken.wav"))
    assert {p.parent.name for p in corpus.list_files(without, root)} == {"bob", "cid", "dee"}
    only = Source("speech", include=("ann/*", "bob/*"), exclude=("*/bob1.flac", "*/broken.wav"))
    assert {p.parent.name for p in corpus.list_files(only, root)} == {"ann", "bob"}
    assert "bob1.flac" not in {p.name for p in corpus.list_files(only, root)}
    with pytest.raises(UsageError, match="no usable audio in it: check the recipe's include"):
        corpus.list_files(Source("speech", include=("nobody/*",)), root)


def test_missing_and_empty_folders(root):
    with pytest.raises(
        UsageError, match="no such folder: name the corpus root with --data, or your folders in a recipe"
    ):
        load(root, Source("nothing"))
    (root / "empty").mkdir()
    with pytest.raises(UsageError, match="no usable audio"):
        load(root, Source("empty"))
    both = load(root, Source("speech", held_out=0.25), Source("nothing", optional=True))
    assert both.train
    with pytest.raises(UsageError, match="nothing to validate on: set held_out"):
        load(root, Source("speech"))


def test_float_speech_above_full_scale_or_very_quiet_is_packed_with_a_gain_of_its_own(tmp_path):
    from tests import audio_zoo as zoo

    folder = tmp_path / "speech"
    folder.mkdir()
    shape = zoo.noise(1, 8000) / np.abs(zoo.noise(1, 8000)).max()
    for name, gain in (("loud", 8.0), ("quiet", 10 ** (-85 / 20)), ("usual", 0.5)):
        zoo.save(folder / f"{name}.wav", shape * np.float32(gain), subtype="FLOAT")
    (folder / "._loud.wav").write_bytes(b"a fork of macOS")
    (folder / "empty.wav").touch()
    said = []
    found = corpus.load(
        [Source("speech", groups="file", held_out=0.34)], tmp_path, zoo.RATE, tmp_path / "cache", said.append
    )
    clips = sorted([*found.train, *found.valid], key=lambda clip: clip.start)
    assert len(clips) == 3 and any("empty.wav is empty" in line for line in said)
    for clip in clips:
        audio = found.audio[clip.start : clip.start + clip.length] / 32768
        assert np.abs(audio).max() == pytest.approx(0.5, abs=0.001)
        assert np.allclose(audio, 0.5 * shape[0], atol=1e-4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes of POSIX")
def test_links_to_nothing_pipes_and_linked_folders_do_not_end_the_packing(tmp_path):
    for name in ("speech/a.wav", "elsewhere/b.wav"):
        (tmp_path / name).parent.mkdir()
        soundfile.write(tmp_path / name, 0.3 * np.ones(RATE), RATE)
    (tmp_path / "speech" / "gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "speech" / "linked").symlink_to("../elsewhere")
    (tmp_path / "speech" / "circle").symlink_to(".")
    os.mkfifo(tmp_path / "speech" / "pipe.wav")
    said = []
    packed = corpus.load([Source("speech")], tmp_path, RATE, tmp_path / "cache", said.append, whole=True)
    assert [clip.length for clip in packed.train] == [RATE, RATE]
    assert [line for line in said if "left out" in line and "gone.wav does not exist" in line]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_names_that_are_not_utf8_are_packed(tmp_path):
    (tmp_path / "speech").mkdir()
    for name in (b"caf\xe9.wav", b"th\xe9.wav"):
        soundfile.write(os.path.join(os.fsencode(tmp_path / "speech"), name), 0.3 * np.ones(RATE), RATE)
    corpus = load(tmp_path, Source("speech", held_out=0.5))
    assert len(corpus.train) == len(corpus.valid) == 1
