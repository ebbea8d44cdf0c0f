"""Compose random songs as MIDI: a key, a tempo, chord progressions in sections, and instruments that play on them.

They are made to train separation, not to be listened to: basses, drums, guitars and pianos of many types must sound
together in time and in harmony. Every song is a function of its random generator alone.
"""

from dataclasses import dataclass

import mido
import numpy as np

BEAT = 480  # ticks
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
PROGRESSIONS = (  # degrees of the scale, one a bar
    (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 4), (1, 4, 0, 0), (0, 6, 5, 4), (0, 0, 3, 0, 4, 3, 0, 4),
    (0, 2, 3, 4), (0, 3),
)  # fmt: skip
CHANNELS = {"bass": 0, "guitar": 1, "guitar2": 2, "piano": 3, "piano2": 4, "pad": 5, "lead": 6, "drums": 9}
PROGRAMS = {
    "bass": (32, 33, 33, 33, 34, 34, 35, 36, 37, 38, 39),
    "guitar": (24, 25, 25, 26, 27, 27, 28, 29, 29, 30, 30),
    "piano": (0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 7),
    "pad": (16, 18, 19, 48, 49, 50, 52, 61, 89, 90, 92),
    "lead": (11, 22, 40, 42, 56, 57, 60, 65, 66, 71, 73, 75, 80, 81, 84),
}
CHANCES = {  # probability that an instrument plays
    "drums": 0.95, "bass": 0.95, "guitar": 0.93, "guitar2": 0.35, "piano": 0.93, "piano2": 0.15, "pad": 0.5, "lead": 0.4,
}  # fmt: skip
KITS = (0, 0, 0, 8, 16, 24, 25, 32, 40)
KICK, RIM, SNARE, CLAP = 36, 37, 38, 39  # notes of the drums of General MIDI
CLOSED, PEDAL, OPEN, CRASH, RIDE, TAMBOURINE, COWBELL = 42, 44, 46, 49, 51, 54, 56
TOMS = (41, 43, 45, 47, 48, 50)


@dataclass(frozen=True)
class Bar:
    """Describe a bar: its start, chord and energy. Sixteenths are numbered from 0."""

    start: int
    degree: int
    energy: float
    last: bool


class Song:
    """Collect the notes of one song: (channel, start tick, ticks, pitch, velocity)."""

    def __init__(self, rng: np.random.Generator, seconds: float):
        self.rng = rng
        self.notes: list[tuple[int, int, int, int, int]] = []
        self.tempo = float(rng.uniform(70, 175))
        self.root = int(rng.integers(0, 12))
        self.scale = SCALES[rng.choice(list(SCALES))]
        self.sixteenths = int(rng.choice([16, 16, 16, 16, 12]))
        self.swing = float(rng.choice([0, 0, 0, 0.33]))
        self.bars = self._bars(max(4, int(seconds * self.tempo / 60 / (self.sixteenths / 4))))

    def _bars(self, count: int) -> list[Bar]:
        """Return sections of four or eight bars with a progression and an energy each."""
        bars: list[Bar] = []
        rng = self.rng
        length = self.sixteenths * BEAT // 4
        while len(bars) < count:
            progression, energy = PROGRESSIONS[rng.integers(len(PROGRESSIONS))], float(rng.uniform(0.3, 1.0))
            size = int(rng.choice([4, 8]))
            for n in range(size):
                bars.append(Bar(len(bars) * length, progression[n % len(progression)], energy, n == size - 1))
        return bars[:count]

    def pitch(self, degree: int, low: int) -> int:
        """Return the note of the scale on this degree (any whole number) at or above `low`."""
        octave, step = divmod(degree, 7)
        note = self.root + self.scale[step] + 12 * octave
        return note + 12 * -((note - low) // 12)

    def chord(self, degree: int, low: int, size: int = 3) -> list[int]:
        """Return the chord's notes in an inversion at or above `low`."""
        return sorted(self.pitch(degree + 2 * n, low) for n in range(size))

    def play(self, part: str, bar: Bar, sixteenth: float, length: float, pitch: int, velocity: float) -> None:
        """Add one note with small random deviations in time and velocity. Positions and lengths are in sixteenths."""
        whole = int(sixteenth)
        late = self.swing * (whole % 2)
        start = bar.start + (sixteenth + late) * BEAT / 4 + self.rng.normal(0, 4)
        strength = velocity * (0.6 + 0.4 * bar.energy) + self.rng.normal(0, 6)
        note = (max(0, int(start)), max(20, int(length * BEAT / 4)), pitch, int(np.clip(strength, 15, 127)))
        self.notes.append((CHANNELS[part], *note))


def drums(song: Song) -> None:
    rng, size = song.rng, song.sixteenths
    steps = np.arange(size)
    cymbal, every = int(rng.choice([CLOSED, CLOSED, CLOSED, RIDE, OPEN, PEDAL])), int(rng.choice([1, 2, 2, 2, 4]))
    back = int(rng.choice([SNARE, SNARE, SNARE, 40, RIM, CLAP]))
    kicks = {0} | {int(s) for s in steps[1:] if rng.random() < (0.45 if s % 4 == 0 else 0.16)}
    four_on_the_floor, half_time = rng.random() < 0.2, rng.random() < 0.15
    snares = {size // 2} if half_time or size == 12 else {4, 12}
    ghosts = {int(s) for s in steps if rng.random() < 0.06}
    extra = int(rng.choice([0, 0, 0, TAMBOURINE, COWBELL, 70, 62]))
    for bar in song.bars:
        fill = bar.last and rng.random() < 0.7
        if bar.energy < 0.4 and not bar.last and rng.random() < 0.3:
            continue
        for s in range(size):
            if fill and s >= size // 2:
                if rng.random() < 0.75:
                    song.play("drums", bar, s, 1, int(rng.choice([*TOMS, SNARE])), 100)
                continue
            if s in kicks or (four_on_the_floor and s % 4 == 0):
                song.play("drums", bar, s, 1, int(KICK), 110)
            if s in snares:
                song.play("drums", bar, s, 1, back, 110)
            elif s in ghosts:
                song.play("drums", bar, s, 1, back, 45)
            if s % every == 0:
                song.play("drums", bar, s, 1, cymbal, 95 if s % 4 == 0 else 70)
            if extra and s % 2 == 0 and bar.energy > 0.6:
                song.play("drums", bar, s, 1, extra, 70)
        if bar.start == 0 or (bar.energy > 0.6 and bar.degree == 0 and rng.random() < 0.3):
            song.play("drums", bar, 0, 4, CRASH, 110)


def bass(song: Song) -> None:
    rng, size = song.rng, song.sixteenths
    style, low = rng.choice(["root", "eighths", "walking", "pattern", "long", "octaves"]), int(rng.integers(26, 32))
    pattern = [s for s in range(size) if s == 0 or rng.random() < (0.35 if s % 2 == 0 else 0.12)]
    shorter = float(rng.uniform(0.45, 1.0))
    for bar in song.bars:
        if bar.energy < 0.45 and rng.random() < 0.15:
            continue
        note = song.pitch(bar.degree, low)
        if style == "long":
            song.play("bass", bar, 0, size, note, 100)
        elif style == "walking":
            for n in range(size // 4):
                step = bar.degree + int(rng.choice([0, 2, 4, 1, 6])) if n else bar.degree
                song.play("bass", bar, 4 * n, 4 * shorter, song.pitch(step, low), 100)
        else:
            regular = {"root": range(0, size, 4), "eighths": range(0, size, 2), "octaves": range(0, size, 2)}
            times = list(regular.get(style, pattern))
            for n, s in enumerate(times):
                gap = (times[n + 1] if n + 1 < len(times) else size) - s
                up = 12 if style == "octaves" and n % 2 else 0
                other = song.pitch(bar.degree + 4, low) if style == "pattern" and rng.random() < 0.2 else note
                song.play("bass", bar, s, gap * shorter, other + up, 105 if s % 4 == 0 else 90)


def strummed(song: Song, part: str, low: int, size: int = 3) -> None:
    """Add chords in a rhythm of their own, with the notes of a chord one after the other as by a plectrum or a hand."""
    rng = song.rng
    times = [s for s in range(song.sixteenths) if s == 0 or rng.random() < (0.5 if s % 2 == 0 else 0.18)]
    power = part.startswith("guitar") and rng.random() < 0.4  # chords of root and fifth
    shorter, spread = rng.uniform(0.3, 1.0), rng.uniform(0, 0.15)
    for bar in song.bars:
        notes = song.chord(bar.degree, low, size)
        if power:
            root = song.pitch(bar.degree, low)
            notes = [root, root + 7, root + 12]
        for n, s in enumerate(times):
            if s and rng.random() < 0.12:
                continue
            gap = (times[n + 1] if n + 1 < len(times) else song.sixteenths) - s
            order = notes if s % 4 == 0 else notes[::-1]
            for late, note in enumerate(order):
                song.play(part, bar, s + late * spread, gap * shorter, note, 92 if s % 4 == 0 else 78)


def arpeggio(song: Song, part: str, low: int) -> None:
    rng = song.rng
    every, size = int(rng.choice([1, 2, 2])), int(rng.choice([3, 4]))
    order, length = rng.permutation(size + 1), float(rng.uniform(1, 4))
    for bar in song.bars:
        notes = song.chord(bar.degree, low, size)
        notes.append(notes[0] + 12)
        for n, s in enumerate(range(0, song.sixteenths, every)):
            song.play(part, bar, s, every * length, notes[order[n % len(order)]], 85)


def melody(song: Song, part: str, low: int) -> None:
    """Add a walk along the scale, with rests and long notes. The same phrase comes back with changes."""
    rng = song.rng
    phrase = [(s, int(rng.integers(-2, 3)), int(rng.choice([1, 2, 2, 4, 6]))) for s in range(0, song.sixteenths, 2)]
    phrase = [p for p in phrase if rng.random() < 0.55]
    for bar in song.bars:
        degree = bar.degree + int(rng.choice([0, 2, 4, 7]))
        for s, step, length in phrase:
            if rng.random() < 0.15:
                continue
            degree += step if rng.random() < 0.8 else int(rng.integers(-3, 4))
            degree = int(np.clip(degree, -3, 14))
            song.play(part, bar, s, length, song.pitch(degree % 7, low) + 12 * (degree // 7), 100)


def held(song: Song, part: str, low: int, size: int = 3) -> None:
    for bar in song.bars:
        for note in song.chord(bar.degree, low, size):
            song.play(part, bar, 0, song.sixteenths, note, 75)


def accompany(song: Song, part: str) -> None:
    """Add guitar or piano in one of several styles."""
    rng = song.rng
    low = int(rng.integers(40, 52)) if part.startswith("guitar") else int(rng.integers(45, 65))
    way = rng.choice(["strummed", "strummed", "arpeggio", "melody", "held", "riff"])
    if way == "strummed":
        strummed(song, part, low, int(rng.choice([3, 4, 5])))
    elif way == "arpeggio":
        arpeggio(song, part, low)
    elif way == "melody":
        melody(song, part, low + 12)
    elif way == "held":
        held(song, part, low, 4)
    else:
        melody(song, part, low)
    if part.startswith("piano") and way in ("melody", "arpeggio"):  # the left hand
        held(song, part, int(rng.integers(33, 45)), 2)


def compose(rng: np.random.Generator, seconds: float = 60.0) -> mido.MidiFile:
    """Return a song of about `seconds`. Bass, drums, guitar and piano play in most, other instruments in many."""
    song, programs = Song(rng, seconds), {}
    for part, chance in CHANCES.items():
        if rng.random() >= chance:
            continue
        if part == "drums":
            drums(song)
            programs[part] = int(rng.choice(KITS))
            continue
        programs[part] = int(rng.choice(PROGRAMS[part.rstrip("2")]))
        if part == "bass":
            bass(song)
        elif part == "pad":
            held(song, part, int(rng.integers(48, 64)), int(rng.choice([2, 3])))
        elif part == "lead":
            melody(song, part, int(rng.integers(60, 74)))
        else:
            accompany(song, part)
    return _to_midi(song, programs)


def _to_midi(song: Song, programs: dict[str, int]) -> mido.MidiFile:
    events = []
    for channel, start, length, pitch, velocity in song.notes:
        pitch = min(max(pitch, 0), 127)
        events.append((start, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        events.append((start + length, mido.Message("note_off", channel=channel, note=pitch)))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(song.tempo))])
    track.extend(mido.Message("program_change", channel=CHANNELS[p], program=n) for p, n in programs.items())
    now = 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=tick - now))
        now = tick
    return mido.MidiFile(ticks_per_beat=BEAT, tracks=[track])
