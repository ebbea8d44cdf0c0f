"""Instruments out of recorded notes: the right pitch at the right time, as long as the key or the pedal is down."""

import mido
import numpy as np
import pytest
import soundfile

from enhance_cli.data.music import recorded_notes
from enhance_cli.errors import UsageError

RATE = 8000


@pytest.fixture
def folder(tmp_path):
    """Two notes, as sines of other strengths, and a file that is none."""
    time = np.arange(4 * RATE) / RATE
    for name, frequency, strength in (("A3", 220.0, 0.1), ("Cs4v8", 277.18, 0.4)):
        soundfile.write(tmp_path / f"{name}.wav", strength * np.sin(2 * np.pi * frequency * time), RATE)
    (tmp_path / "README.md").write_text("two notes")
    return str(tmp_path)


def score(*events):
    """(seconds since the last, type, note or pedal value) at 120 beats a minute -> MidiFile."""
    messages = []
    for seconds, kind, value in events:
        ticks = round(seconds * 960)
        if kind == "pedal":
            messages.append(mido.Message("control_change", control=64, value=value, time=ticks))
        else:
            messages.append(mido.Message(kind, note=value, velocity=127, time=ticks))
    return mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack(messages)])


def frequency(audio):
    return np.abs(np.fft.rfft(audio * np.hanning(audio.size))).argmax() * RATE / audio.size


@pytest.mark.parametrize("pitch", [57, 55, 60, 61, 66])
def test_every_pitch_comes_from_the_nearest_note(folder, pitch):
    audio = recorded_notes.play(
        score((0.5, "note_on", pitch), (1, "note_off", pitch)), recorded_notes.notes(folder, RATE), RATE, 3
    )
    heard = audio[RATE // 2 : RATE * 3 // 2]
    assert frequency(heard) == pytest.approx(440 * 2 ** ((pitch - 69) / 12), rel=0.01)
    assert heard.std() == pytest.approx(0.1, rel=0.05)
    assert not audio[: RATE // 2].any() and not audio[round(1.63 * RATE) :].any()


def test_the_pedal_holds_what_the_hand_lets_go(folder):
    events = (0, "note_on", 57), (0.1, "pedal", 127), (0.4, "note_off", 57), (1.5, "pedal", 0), (0.5, "note_on", 61)
    audio = recorded_notes.play(
        score(*events, (0.5, "note_on", 61), (0.5, "note_off", 61)), recorded_notes.notes(folder, RATE), RATE, 4
    )
    loud = lambda start, end: audio[round(start * RATE) : round(end * RATE)].std()
    assert loud(1.5, 2) == pytest.approx(0.1, rel=0.05) and loud(2.15, 2.5) == 0
    assert frequency(audio[round(2.5 * RATE) : round(3 * RATE)]) == pytest.approx(277, abs=3)
    assert loud(3.0, 3.5) > 0.05 and loud(3.65, 4) == 0


def test_a_folder_without_notes_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no recorded notes"):
        recorded_notes.notes(str(tmp_path), RATE)
