"""Noisy and clean pairs from folders and from shards: what is drawn, in which order, and what is refused with one line."""

import io
import os
import re
import tarfile

import numpy as np
import pytest
import soundfile

from enhance_cli.audio.read import open_audio
from enhance_cli.data import pairs, shards
from enhance_cli.data.mixing import Mix
from enhance_cli.data.pairs import Pairs
from enhance_cli.errors import AudioError, UsageError
from tests import audio_zoo as zoo

RATE = 16000
FLAT = Mix(seconds=0.25, level=(0.0, 0.0))


def ramp(number: int, rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    """A signal whose value tells the time, on a carrier that tells which recording it is."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.1 + 0.3 * time) * np.sin(2 * np.pi * 200 * (number + 1) * time)


@pytest.fixture
def folder(tmp_path):
    """Four recordings; noisy is the clean one plus a tone of 3 kHz."""
    root = tmp_path / "train"
    for number in range(4):
        clean = ramp(number)
        tone = 0.05 * np.sin(2 * np.pi * 3000 * np.arange(clean.size) / RATE)
        for side, audio in (("clean", clean), ("noisy", clean + tone)):
            (root / side / "sub").mkdir(parents=True, exist_ok=True)
            soundfile.write(root / side / "sub" / f"{number}.wav", audio, RATE, subtype="FLOAT")
    return root


def make_shard(folder, path, skip=()):
    """What webdataset's writer leaves: KEY.noisy.wav and KEY.clean.wav side by side, and something else."""
    with tarfile.open(path, "w") as tar:
        for number in range(4):
            for side in ("clean", "noisy"):
                if (number, side) not in skip:
                    tar.add(folder / side / "sub" / f"{number}.wav", arcname=f"sub/{number:04d}.{side}.wav")
            note = tarfile.TarInfo(f"sub/{number:04d}.json")
            note.size = 2
            tar.addfile(note, io.BytesIO(b"{}"))
    return path


def test_both_sides_of_a_pair_are_the_same_excerpt_at_the_same_gain(folder):
    noisy, clean = Pairs(pairs.from_folder(folder), mix=FLAT, rate=RATE, seed=0).batch(0, 8)
    assert noisy.shape == clean.shape == (8, RATE // 4) and noisy.dtype == np.float32
    tone = np.abs(np.fft.rfft(noisy - clean))
    assert (tone.argmax(axis=1) == 750).all()
    assert np.square(tone[:, 750]).sum() > 0.999 * np.square(tone).sum()
    assert len({float(np.abs(row).max()) for row in clean}) == 8, "every excerpt begins somewhere else"


def test_every_pair_is_heard_once_before_any_is_heard_again(folder):
    drawn = Pairs(pairs.from_folder(folder), mix=FLAT, rate=RATE, seed=0)
    for epoch in range(3):
        clean = drawn.batch(epoch, 4)[1]
        carriers = np.abs(np.fft.rfft(clean)).argmax(axis=1)
        assert sorted(carriers) == [50, 100, 150, 200]


def test_a_batch_is_a_function_of_its_number_and_holds_the_items_of_smaller_ones(folder):
    one, other = (Pairs(pairs.from_folder(folder), mix=Mix(seconds=0.25), rate=RATE, seed=seed) for seed in (0, 1))
    whole, halves = one.batch(1, 4), [one.batch(number, 2) for number in (2, 3)]
    for side in (0, 1):
        assert np.array_equal(whole[side], np.concatenate([half[side] for half in halves]))
    assert not np.array_equal(whole[0], other.batch(1, 4)[0])


def test_other_rates_are_resampled_and_what_is_short_ends_in_silence(tmp_path):
    for side in ("clean", "noisy"):
        (tmp_path / side).mkdir()
        soundfile.write(tmp_path / side / "a.wav", ramp(0, 48000, 0.1), 48000, subtype="FLOAT")
    noisy, clean = Pairs(pairs.from_folder(tmp_path), mix=FLAT, rate=RATE, seed=0).batch(0, 1)
    assert clean.shape == (1, RATE // 4) and np.array_equal(noisy, clean)
    sound, silence = clean[0, : RATE // 10], clean[0, RATE // 10 :]
    wanted = ramp(0, RATE, 0.1)
    assert np.corrcoef(sound, wanted)[0, 1] > 0.9999 and not silence.any()


def test_shards_hold_what_folders_hold(folder, tmp_path):
    make_shard(folder, tmp_path / "some-000.tar")
    drawn = [
        Pairs(found, mix=FLAT, rate=RATE, seed=0)
        for found in (pairs.from_folder(folder), pairs.from_shards("some-*.tar", tmp_path))
    ]
    assert all(np.array_equal(*sides) for sides in zip(drawn[0].batch(3, 4), drawn[1].batch(3, 4)))


def test_shards_are_named_one_by_one_by_number_or_by_glob(folder, tmp_path):
    for number in range(3):
        make_shard(folder, tmp_path / f"some-{number:03d}.tar")
    assert len(pairs.from_shards("some-{000..002}.tar", tmp_path)) == 12
    assert [p.name for p in shards.expand("some-{001..002}.tar", tmp_path)] == ["some-001.tar", "some-002.tar"]
    assert len(shards.expand("*.tar", tmp_path)) == 3 == len(shards.expand(str(tmp_path / "*.tar"), tmp_path / "x"))
    with pytest.raises(UsageError, match="some-003.tar: no such shard"):
        shards.expand("some-{000..003}.tar", tmp_path)


def test_shards_that_cannot_be_used(folder, tmp_path):
    make_shard(folder, tmp_path / "half.tar", skip=[(2, "clean")])
    said = []
    assert len(pairs.from_shards("half.tar", tmp_path, said.append)) == 3
    assert re.search(r"left out: .*1 of 4 recordings have no counterpart \(.*half.tar:sub/0002.noisy.wav\)", *said)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as tar:
        tar.add(folder)
    with pytest.raises(UsageError, match="packed.tar.gz: not a plain tar file"):
        pairs.from_shards("packed.tar.gz", tmp_path)
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(folder / "clean" / "sub" / "0.wav", arcname="0.wav")
    with pytest.raises(UsageError, match="no pairs in it: name the members KEY.noisy.EXT"):
        pairs.from_shards("other.tar", tmp_path)


def test_folders_that_do_not_match(folder):
    with pytest.raises(UsageError, match="valid/noisy: no such folder: pairs lie in train/noisy"):
        pairs.from_folder(folder.parent / "valid")
    (folder / "clean" / "sub" / "3.wav").rename(folder / "clean" / "sub" / "4.wav")
    said = []
    assert len(pairs.from_folder(folder, said.append)) == 3
    assert re.search("left out: .*2 of 5 recordings have no counterpart .*3.wav", *said)
    for path in (folder / "clean" / "sub").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="clean: no audio in it"):
        pairs.from_folder(folder)


@pytest.mark.parametrize(
    "rate, seconds, message",
    [
        (8000, 1.0, r"1 of 4 recordings differ in rate \(.*2.wav 16000 Hz, clean 8000 Hz\)"),
        (RATE, 0.8, r"1 of 4 recordings differ in length \(.*2.wav 1.00 s, clean 0.80 s\)"),
    ],
)
def test_pairs_that_are_not_the_same_recording(folder, rate, seconds, message):
    soundfile.write(folder / "clean" / "sub" / "2.wav", ramp(2, rate, seconds), rate)
    said = []
    assert len(pairs.from_folder(folder, said.append)) == 3 and re.search(message, *said)
    for number in (0, 1, 3):
        for side in ("clean", "noisy"):
            (folder / side / "sub" / f"{number}.wav").unlink()
    with pytest.raises(UsageError, match=message.replace("of 4", "of 1")):
        pairs.from_folder(folder)


def test_a_damaged_file_is_named_at_once_and_one_that_goes_away_when_it_is_due(folder):
    found = Pairs(pairs.from_folder(folder), mix=FLAT, rate=RATE, seed=0)
    (folder / "noisy" / "sub" / "1.wav").write_text("not audio")
    said = []
    assert (
        len(pairs.from_folder(folder, said.append)) == 3
        and "cannot be read" in said[0]
        and "noisy/sub/1.wav" in said[0]
    )
    with pytest.raises(AudioError, match="noisy/sub/1.wav is not audio"):
        found.batch(0, 4)


def test_a_pair_with_a_sample_that_is_no_number_is_left_out_and_named(folder):
    path = folder / "clean" / "sub" / "1.wav"
    samples = soundfile.read(path, dtype="float32")[0]
    samples[-1] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    said: list[str] = []
    found = pairs.from_folder(folder, said.append)
    assert (
        len(found) == 3 and "1 of 4 recordings cannot be read" in said[0] and "clean/sub/1.wav has a sample" in said[0]
    )
    Pairs(found, mix=FLAT, rate=RATE, seed=0).batch(0, 4)


@pytest.mark.slow
def test_m4a_is_read_hidden_files_are_not_and_antiphase_is_sound(folder, tmp_path):
    for side in ("clean", "noisy"):
        zoo.m4a(folder / side / "sub", frames=48000, name="5.m4a")
        (folder / side / "sub" / "._0.wav").write_bytes(b"a fork of macOS")
        left = ramp(6)
        soundfile.write(folder / side / "sub" / "6.wav", np.stack([left, -left], axis=1), RATE)
    found = pairs.from_folder(folder)
    assert len(found) == 6 and {pair.rate for pair in found} == {RATE, 48000}
    (m4a,) = [pair for pair in found if pair.rate == 48000]
    assert min(np.abs(side).max() for side in pairs.read_excerpt(m4a, 4800, 9600)) > 0.15
    (stereo,) = [pair for pair in found if "6.wav" in str(pair.noisy)]
    assert min(np.abs(side).max() for side in pairs.read_excerpt(stereo, 0, RATE)) > 0.2


def test_antiphase_speech_in_noise_that_is_not_stays_a_pair(folder):
    left, noise = ramp(6), 0.02 * np.random.default_rng(0).standard_normal((2, RATE))
    for side, audio in (("clean", np.stack([left, -left])), ("noisy", np.stack([left, -left]) + noise)):
        soundfile.write(folder / side / "sub" / "6.wav", audio.T, RATE)
    (stereo,) = [pair for pair in pairs.from_folder(folder) if "6.wav" in str(pair.noisy)]
    noisy, clean = pairs.read_excerpt(stereo, 0, RATE)
    assert np.corrcoef(noisy, clean)[0, 1] > 0.99


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes of POSIX")
def test_pairs_whose_headers_lie_are_read_whole_and_pipes_are_not_waited_for(folder):
    for side in ("clean", "noisy"):
        raw = bytearray((folder / side / "sub" / "0.wav").read_bytes())
        at = raw.index(b"data") + 4
        raw[at : at + 4] = (4 * RATE // 4).to_bytes(4, "little")  # a quarter of a second
        (folder / side / "sub" / "0.wav").write_bytes(raw)
        os.mkfifo(folder / side / "sub" / "pipe.wav")
        (folder / side / "gone.wav").symlink_to("nowhere.wav")
    said = []
    found = pairs.from_folder(folder, said.append)
    assert [pair.frames for pair in found] == 4 * [RATE] and "gone.wav" in said[0]
    excerpt = pairs.read_excerpt(found[0], RATE // 2, RATE // 4)
    assert np.allclose(excerpt[1], ramp(0)[RATE // 2 : RATE * 3 // 4], atol=1e-6)


def test_of_two_files_that_differ_in_their_suffix_alone_the_one_left_out_is_named(folder):
    for side in ("noisy", "clean"):
        soundfile.write(folder / side / "sub" / "0.flac", ramp(7), RATE)
    told = []
    assert len(pairs.from_folder(folder, told.append)) == 4
    assert told == [
        f"left out: {folder}/{side}/sub/0.wav: {folder}/{side}/sub/0.flac has the same name"
        for side in ("noisy", "clean")
    ]


def test_keys_with_dots_are_pairs_and_what_a_shard_cannot_use_is_named(folder, tmp_path):
    wave = (folder / "noisy" / "sub" / "0.wav").read_bytes()
    members = {
        "a.b.noisy.wav": wave, "a.b.clean.wav": wave, "C.Noisy.WAV": wave, "C.Clean.WAV": wave, "C.clean.wave": wave,
        "._C.clean.wav": b"Mac", "d.noisy.m4a": b"text", "d.clean.m4a": b"text",
    }  # fmt: skip
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    told = []
    found = pairs.from_shards("x.tar", tmp_path, told.append)
    assert [pair.clean.member for pair in found] == ["a.b.clean.wav", "C.Clean.WAV"]
    same, damaged = told
    assert same == f"left out: {tmp_path}/x.tar:C.clean.wave: C.Clean.WAV has the same name"
    assert damaged.startswith(
        f"left out: x.tar: 1 of 3 recordings cannot be read ({tmp_path}/x.tar:d.noisy.m4a: cannot be"
    )


def test_m4a_in_a_shard_is_read_as_in_a_folder(tmp_path):
    sides = {side: zoo.m4a(tmp_path, 48000, f"{side}.m4a") for side in ("noisy", "clean")}
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for side, path in sides.items():
            tar.add(path, arcname=f"a.{side}.m4a")
    (pair,) = pairs.from_shards("x.tar", tmp_path)
    assert (pair.rate, pair.frames) == (48000, 48000)
    with open_audio(sides["noisy"]) as file:
        whole = np.concatenate(list(file.blocks()), axis=1).mean(axis=0)
    for side in pairs.read_excerpt(pair, 12345, 9600):
        assert np.array_equal(side, whole[12345 : 12345 + 9600])
