"""Songs for training stem extraction: random scores, splitting MIDI into stems, rendering, folders of stems, and mixing."""

import shutil

import mido
import numpy as np
import pytest
import soundfile

from enhance_cli.data.music import instruments, midi, random_songs, rendering, stem_folders
from enhance_cli.data.music.stem_mixing import StemMix, StemMixer
from enhance_cli.errors import UsageError

RATE = 8000
SINES = {"bass": 80, "drums": 300, "guitar": 700, "piano": 1500}


def sine(frequency, seconds=12):
    return (0.2 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Three songs as a studio exports them; one has a voice and no piano."""
    for number, song in enumerate(("a", "b", "c")):
        place = tmp_path / "stems" / song
        place.mkdir(parents=True)
        parts = {name: sine(f * (1 + number / 10)) for name, f in SINES.items()}
        if song == "c":
            parts["vocals"] = parts.pop("piano")
        for name, audio in (parts | {"mixture": sum(parts.values())}).items():
            soundfile.write(place / f"{name}.wav", audio, RATE)
    return tmp_path


def test_random_songs_are_a_function_of_the_seed_and_hold_the_four_instruments():
    one, again, other = (random_songs.compose(np.random.default_rng(seed), 30) for seed in (1, 1, 2))
    assert [str(m) for m in one.tracks[0]] == [str(m) for m in again.tracks[0]] != [str(m) for m in other.tracks[0]]
    parts = [
        midi.split(random_songs.compose(np.random.default_rng(s), 30), np.random.default_rng(0), 30) for s in range(8)
    ]
    for stem in ("bass", "drums", "guitar", "piano"):
        assert sum(stem in part for part in parts) >= 5
    assert 20 < one.length < 45


def test_notes_go_to_the_stem_of_the_instrument_that_plays_when_they_begin():
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=400000)])
    track.append(mido.Message("program_change", channel=0, program=33))
    for n in range(10):
        track.append(mido.Message("note_on", channel=0, note=40 + n, velocity=90, time=10))
        if n == 9:
            track.append(mido.Message("program_change", channel=0, program=0))  # while the last bass note sounds
        track.append(mido.Message("note_off", channel=0, note=40 + n, time=10))
    for _ in range(9):
        track.append(mido.Message("note_on", channel=0, note=70, velocity=90, time=10))
        track.append(mido.Message("note_on", channel=9, note=36, velocity=90))
        track.append(mido.Message("note_on", channel=0, note=70, velocity=0, time=10))
    parts = midi.split(mido.MidiFile(tracks=[track]), np.random.default_rng(0), 60)
    assert set(parts) == {"bass", "drums", "piano"}
    kinds = lambda stem: [m.type for m in parts[stem].tracks[0] if m.type.startswith("note")]
    assert kinds("bass") == ["note_on", "note_off"] * 10
    assert kinds("piano").count("note_on") == 18 and kinds("drums") == ["note_on"] * 9 + ["note_off"]
    start = lambda stem: sum(
        m.time for m in parts[stem].tracks[0][: [m.type for m in parts[stem].tracks[0]].index("note_on") + 1]
    )
    assert (start("bass"), start("piano")) == (10, 210)
    assert all(any(m.type == "set_tempo" for m in part.tracks[0]) for part in parts.values())


FONT = "/usr/share/sounds/sf2/TimGM6mb.sf2"


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="needs fluidsynth")
def test_rendering_a_small_corpus_and_finding_it_again(tmp_path):
    recipe = rendering.Rendering(soundfonts=[FONT], held_out_soundfonts=[FONT], songs=3, seconds=12, held_out=0.3)
    if not __import__("os").path.exists(FONT):
        pytest.skip("needs timgm6mb-soundfont")
    said = []
    held = [s.held_out for s in rendering.list_scores(recipe, tmp_path)]
    assert any(held) and not all(held)
    found = rendering.load(recipe, tmp_path, RATE, tmp_path / "cache", said.append)
    assert said and len(found["train"]) + len(found["valid"]) == 3
    song = np.load(found["train"][0])
    assert song.dtype == np.int16 and song.shape[0] == len(rendering.STEMS) and 10 * RATE < song.shape[1] < 17 * RATE
    assert sum(row.any() for row in song) >= 2
    said.clear()
    assert rendering.load(recipe, tmp_path, RATE, tmp_path / "cache", said.append) == found and not said


def test_missing_soundfonts_and_folders_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no .mid files"):
        rendering.list_scores(rendering.Rendering(midi=["nowhere"]), tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/true")
    with pytest.raises(UsageError, match="too few soundfonts"):
        instruments.Instruments(["/nowhere.sf2"], ["/nowhere.sf2"])
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="fluidsynth"):
        instruments.Instruments([], [])


def test_folders_of_stems_become_songs_with_every_stem_at_one_level(folder):
    found = stem_folders.load(["stems"], 0.3, folder, RATE, folder / "cache", lambda _: None)
    assert len(found["train"]) == 2 and len(found["valid"]) == 1
    rows = [np.load(path) for path in found["train"] + found["valid"]]
    for song in rows:
        playing = song[[row.any() for row in song]].astype(float) / 32767
        assert np.sqrt(np.mean(playing**2, axis=1)) == pytest.approx(rendering.LEVEL, rel=0.02)
    assert sum(song[rendering.STEMS.index("other")].any() for song in rows) == 1  # the voice
    with pytest.raises(UsageError, match="no stems in it"):
        stem_folders.load(["cache"], 0.1, folder, RATE, folder / "cache", lambda _: None)


@pytest.fixture
def mixer(folder):
    files = stem_folders.load(["stems"], 0.3, folder, RATE, folder / "cache", lambda _: None)["train"]
    return lambda **mix: StemMixer(files, tuple(SINES), mix=StemMix(seconds=1.0, **mix), rate=RATE, level=0.1, seed=3)


def test_stems_sum_to_the_mix_and_batches_depend_on_their_number_alone(mixer):
    source = mixer(other=0.0)
    mixes, stems = source.batch(7, 6)
    assert mixes.shape == (6, 1, RATE) and stems.shape == (6, 4, RATE)
    assert np.allclose(stems.sum(axis=1), mixes[:, 0], atol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(mixer(other=0.0).batch(7, 6), (mixes, stems)))
    assert not np.array_equal(source.batch(8, 6)[0], mixes)


def test_other_instruments_are_in_the_mix_and_in_no_stem(mixer):
    mixes, stems = mixer(other=1.0, drop=0.0, coherent=1.0).batch(0, 12)
    rest = np.abs(mixes[:, 0] - stems.sum(axis=1)).max(axis=1)
    with_voice = np.array([not stem[3].any() for stem in stems])  # the song with a voice has no piano
    assert with_voice.any()
    assert (rest[with_voice] > 1e-3).all()


def test_mixes_have_the_level_the_model_is_made_for(mixer):
    mixes, _ = mixer(drop=0.0, level=(-3.0, 3.0)).batch(0, 12)
    levels = 20 * np.log10(np.sqrt(np.mean(mixes[:, 0] ** 2, axis=1)) / 0.1)
    assert np.abs(levels).max() < 4 and levels.std() > 0.5
