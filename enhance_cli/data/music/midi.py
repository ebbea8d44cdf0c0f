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
    events: dict[str, list[Event]] = {stem: [] for stem in STEMS}
    now, tempo, counts, tick = 0.0, 500000, dict.fromkeys(STEMS, 0), 0
    programs, exchanged = [0] * 16, {}
    sounding: dict[tuple[int, int], str] = {}  # stem by (channel, pitch)
    targets: Sequence[str]
    for message in mido.merge_tracks(midi.tracks):
        tick += message.time
        now += mido.tick2second(message.time, midi.ticks_per_beat, tempo)
        if now > seconds:
            break
        if message.type == "set_tempo":
            tempo = message.tempo
        if message.is_meta:
            targets = STEMS if message.type == "set_tempo" else ()
        elif not hasattr(message, "channel"):
            continue
        elif message.type == "program_change":
            programs[message.channel] = message.program
            stem = stem_of(message.channel, message.program)
            key = (message.channel, message.program)
            if key not in exchanged:
                other = int(rng.choice(PROGRAMS[stem])) if stem in PROGRAMS else message.program
                exchanged[key] = other if rng.random() < 1 / 3 else message.program
            message, targets = message.copy(program=exchanged[key]), (stem,)
        elif message.type in ("note_on", "note_off"):
            key = (message.channel, message.note)
            begins = message.type == "note_on" and message.velocity > 0
            stem = stem_of(message.channel, programs[message.channel])
            targets = (stem if begins else sounding.pop(key, stem),)
            if begins:
                sounding[key] = stem
                counts[stem] += 1
        elif message.type == "control_change" and message.control in (91, 93):  # sends to reverb and chorus
            continue
        else:
            targets = STEMS
        for stem in targets:
            events[stem].append((tick, message))
    for channel, note in sounding:
        events[sounding[channel, note]].append((tick, mido.Message("note_off", channel=channel, note=note)))
    return {stem: _file(events[stem], midi.ticks_per_beat) for stem in STEMS if counts[stem] >= MIN_NOTES}


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
