"""Split MIDI files into one for every stem, by the instruments of General MIDI."""

from collections.abc import Sequence
from pathlib import Path

import mido
import numpy as np

from enhance_cli.data import STEMS
from enhance_cli.data.music.random_songs import PROGRAMS

Event = tuple[int, mido.Message]  # its tick
DRUM_CHANNEL = 9
MIN_NOTES = 8  # fewer do not make a stem


def read(path: Path) -> mido.MidiFile:
    return mido.MidiFile(path, clip=True)


def stem_of(channel: int, program: int) -> str:
    """Return the stem of an instrument of General MIDI. `program` counts from 0."""
    if channel == DRUM_CHANNEL:
        return "drums"
    ranges = {"piano": range(8), "guitar": range(24, 32), "bass": range(32, 40)}
    return next((stem for stem, programs in ranges.items() if program in programs), "other")


def split(midi: mido.MidiFile, rng: np.random.Generator, seconds: float) -> dict[str, mido.MidiFile]:
    """Return one MIDI file for every stem that plays, `seconds` long at most.

    A third of the instruments are exchanged for others of their family.
    """
    splitter, now, tempo, tick = _Splitter(rng), 0.0, 500000, 0
    for message in mido.merge_tracks(midi.tracks):
        tick += message.time
        now += mido.tick2second(message.time, midi.ticks_per_beat, tempo)
        if now > seconds:
            break
        if message.type == "set_tempo":
            tempo = message.tempo
        splitter.add(tick, message)
    splitter.end(tick)
    playing = [stem for stem in STEMS if splitter.notes[stem] >= MIN_NOTES]
    return {stem: _file(splitter.events[stem], midi.ticks_per_beat) for stem in playing}


class _Splitter:
    """Distribute the messages of a song over its stems. `notes`: their number in each stem."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.events: dict[str, list[Event]] = {stem: [] for stem in STEMS}
        self.notes = dict.fromkeys(STEMS, 0)
        self.programs = [0] * 16  # by channel
        self.exchanged: dict[tuple[int, int], int] = {}  # the program to play, by (channel, program)
        self.sounding: dict[tuple[int, int], str] = {}  # stem by (channel, pitch)

    def add(self, tick: int, message: mido.Message) -> None:
        """Add a message to the stems that it is for."""
        targets: Sequence[str]
        if message.is_meta:
            targets = STEMS if message.type == "set_tempo" else ()
        elif not hasattr(message, "channel"):
            return
        elif message.type == "program_change":
            message, targets = self._exchanged(message), (stem_of(message.channel, message.program),)
        elif message.type in ("note_on", "note_off"):
            targets = (self._stem_of_note(message),)
        elif message.type == "control_change" and message.control in (91, 93):  # sends to reverb and chorus
            return
        else:
            targets = STEMS
        for stem in targets:
            self.events[stem].append((tick, message))

    def end(self, tick: int) -> None:
        """Let go the notes that still sound."""
        for (channel, note), stem in self.sounding.items():
            self.events[stem].append((tick, mido.Message("note_off", channel=channel, note=note)))

    def _exchanged(self, message: mido.Message) -> mido.Message:
        """Return the change of program, perhaps to another of the same stem."""
        self.programs[message.channel] = message.program
        stem = stem_of(message.channel, message.program)
        key = (message.channel, message.program)
        if key not in self.exchanged:
            other = int(self.rng.choice(PROGRAMS[stem])) if stem in PROGRAMS else message.program
            self.exchanged[key] = other if self.rng.random() < 1 / 3 else message.program
        return message.copy(program=self.exchanged[key])

    def _stem_of_note(self, message: mido.Message) -> str:
        """Return the stem of a note. It ends in the one that it began in."""
        key = (message.channel, message.note)
        begins = message.type == "note_on" and message.velocity > 0
        stem = stem_of(message.channel, self.programs[message.channel])
        if not begins:
            return self.sounding.pop(key, stem)
        self.sounding[key] = stem
        self.notes[stem] += 1
        return stem


def _file(events: list[Event], ticks_per_beat: int) -> mido.MidiFile:
    track, now = mido.MidiTrack(), 0
    for tick, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    return mido.MidiFile(ticks_per_beat=ticks_per_beat, tracks=[track])


def on_channel(midi: mido.MidiFile, channel: int) -> mido.MidiFile:
    """Return the same notes on another channel, with its first instrument."""
    track, waiting = mido.MidiTrack(), 0
    for message in midi.tracks[0]:
        waiting += message.time
        if message.type == "program_change" or getattr(message, "control", None) in (0, 32):
            continue
        changes = {"channel": channel} if hasattr(message, "channel") else {}
        track.append(message.copy(time=waiting, **changes))
        waiting = 0
    return mido.MidiFile(ticks_per_beat=midi.ticks_per_beat, tracks=[track])
