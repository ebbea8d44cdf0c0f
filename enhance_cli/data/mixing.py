"""Mix noisy and clean training pairs on the fly: speech, rooms, noises, babble, levels, and damage.

Every batch is a function of (seed, batch number), so a resumed run gets the batches that an undisturbed one would have got.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import oaconvolve

from enhance_cli.data import damage
from enhance_cli.data.corpus import Clip, Corpus
from enhance_cli.data.sustain import sustain
from enhance_cli.ranges import in_range

WIDE_BAND = 7900.0  # Hz, where a recording at 16 kHz ends
SUSTAINED = (1.5, 6.0)  # times that sustained vowels are longer
SUSTAINED_SPEED = (0.9, 1.5)  # of sustained speech, which is mostly higher as well


@dataclass(frozen=True)
class Mix:
    """Set how items are mixed. Probabilities are 0 to 1, ranges are (lowest, highest).

    Args:
        seconds: length of an item.
        lead_in: seconds before every item that are mixed as well, for a first stage to settle, and not trained on.
        snr: signal-to-noise ratio in dB.
        level: active level of the mixture, in dB relative to 0.1.
        speed: factor on the speed, and so on the pitch, of speech.
        room: probability of a room. Noise gets one with half of that.
        babble, coloured: probabilities that the noise is babble of other voices, or synthetic noise. Else it is recorded.
        second_noise: probability that a second recording is added to recorded noise.
        equaliser: probability of a random frequency response, for speech and for noise each.
        clean, noise_only: probabilities of an item without noise, and of one without speech.
        band_limit: probability that the item ends at 3.3 to 7.6 kHz.
        sustained: probability that the vowels of an item's speech are sustained, as in calling and singing.
        clipping, codec: probabilities that the mixture is clipped, and that it passes a lossy codec.
        wide_band: probability that an item ends at 8 kHz, as recordings at 16 kHz do. For rates above 16 kHz.
        gaps: probability that an item is not to be cleaned, but has gaps to be filled.
    """

    seconds: float = 2.0
    lead_in: float = 0.0
    snr: tuple[float, float] = (-5.0, 20.0)
    level: tuple[float, float] = (-6.0, 6.0)
    speed: tuple[float, float] = (0.88, 1.14)
    room: float = 0.35
    babble: float = 0.10
    coloured: float = 0.10
    second_noise: float = 0.35
    equaliser: float = 0.5
    clean: float = 0.04
    noise_only: float = 0.03
    sustained: float = 0.0
    band_limit: float = 0.08
    clipping: float = 0.05
    codec: float = 0.06
    wide_band: float = 0.0
    gaps: float = 0.0

    def __post_init__(self) -> None:
        chances = ("room", "babble", "coloured", "second_noise", "equaliser", "clean", "noise_only", "band_limit")
        in_range(self, **dict.fromkeys((*chances, "clipping", "codec", "wide_band", "gaps", "sustained"), (0, 1)))
        in_range(self, seconds=(0.1, 600), lead_in=(0, 60), snr=(-100, 100), level=(-100, 100), speed=(0.5, 2))


class Mixer:
    """Draw pairs from a speech and a noise corpus, of the clips that are held out with `held_out`.

    `rooms`: impulse responses (full (K, n), early (K, n)), or None for dry speech.
    """

    def __init__(
        self,
        speech: Corpus,
        noise: Corpus,
        *,
        rooms: tuple[np.ndarray, np.ndarray] | None,
        mix: Mix,
        rate: int,
        seed: int,
        held_out: bool = False,
    ):
        self.mix, self.rate, self.seed, self.rooms = mix, rate, seed, rooms
        self.samples = int((mix.seconds + mix.lead_in) * rate)
        self.speech = Drawer(speech, speech.valid if held_out else speech.train)
        self.noise = Drawer(noise, noise.valid if held_out else noise.train)

    def batch(self, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (noisy, clean), each float32 (size, samples), with an active speech level of about 0.1 RMS."""
        rng = np.random.default_rng((self.seed, number))
        pairs = [self.pair(rng) for _ in range(size)]
        noisy, clean = (np.stack(side).astype(np.float32) for side in zip(*pairs))
        return noisy, clean

    def pair(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        mix = self.mix
        heard, clean = self.voice(rng)
        draw = rng.random()
        if draw < mix.clean:
            noisy = heard
        else:
            noise = self.background(rng)
            gain = rms(heard) / max(rms(noise), 1e-6) * 10 ** (-rng.uniform(*mix.snr) / 20)
            if draw < mix.clean + mix.noise_only:
                heard, clean = np.zeros_like(heard), np.zeros_like(clean)
            noisy = heard + gain * noise
        if rng.random() < mix.band_limit:
            cutoff = rng.uniform(3300, 7600)
            noisy, clean = (low_pass(x, cutoff, self.rate) for x in (noisy, clean))
        elif mix.wide_band and rng.random() < mix.wide_band:
            noisy, clean = (low_pass(x, WIDE_BAND, self.rate) for x in (noisy, clean))
        if rng.random() < mix.clipping:
            noisy = damage.clip(noisy, rng)
        if rng.random() < mix.codec:
            noisy = damage.codec(noisy, self.rate, rng)
        scale = 0.1 * 10 ** (rng.uniform(*mix.level) / 20) / max(self.level(noisy), 1e-4)
        noisy, clean = noisy * scale, clean * scale
        if mix.gaps and rng.random() < mix.gaps:
            return damage.cut(noisy, self.rate, rng), noisy
        return noisy, clean

    def voice(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return speech as the microphone records it, and the target with only direct sound and early reflections."""
        dry = self.utterance(rng)
        dry *= 0.1 / max(self.level(dry), 1e-4)
        if self.rooms is None or rng.random() >= self.mix.room:
            return dry, dry
        number = rng.integers(len(self.rooms[0]))
        return tuple(oaconvolve(dry, side[number])[: dry.size] for side in self.rooms)

    def utterance(self, rng: np.random.Generator) -> np.ndarray:
        """Return speech of the length of an item, from as many clips as needed, of any voices, with short pauses between."""
        draw = self.sustained if self.mix.sustained and rng.random() < self.mix.sustained else self.spoken
        speech = draw(rng)
        while speech.size < self.samples:
            pause = np.zeros(int(rng.uniform(0.05, 0.5) * self.rate))
            speech = np.concatenate([speech, pause, draw(rng)])
        return (
            equalize(speech[: self.samples], rng, 3.0) if rng.random() < self.mix.equaliser else speech[: self.samples]
        )

    def spoken(self, rng: np.random.Generator) -> np.ndarray:
        return self.speech.draw(self.samples, rng, self.mix.speed)

    def sustained(self, rng: np.random.Generator) -> np.ndarray:
        speech = self.speech.draw(self.samples, rng, SUSTAINED_SPEED)
        return sustain(speech, self.rate, factor=rng.uniform(*SUSTAINED), samples=self.samples)

    def level(self, audio: np.ndarray) -> float:
        return active_level(audio, self.rate // 50)

    def background(self, rng: np.random.Generator) -> np.ndarray:
        draw = rng.random()
        if draw < self.mix.babble:
            voices = [self.utterance(rng) for _ in range(rng.integers(4, 9))]
            leveled = (v / max(self.level(v), 1e-4) * 10 ** (rng.uniform(-6, 0) / 20) for v in voices)
            noise = sum(leveled, np.zeros(self.samples))
        elif draw < self.mix.babble + self.mix.coloured:
            noise = colored_noise(self.samples, rng)
        else:
            noise = self.recorded(rng)
            if rng.random() < self.mix.second_noise:
                other = self.recorded(rng)
                noise = noise / max(rms(noise), 1e-6) + other / max(rms(other), 1e-6) * 10 ** (rng.uniform(-10, 5) / 20)
        if self.rooms is not None and rng.random() < self.mix.room / 2:
            noise = oaconvolve(noise, self.rooms[0][rng.integers(len(self.rooms[0]))])[: noise.size]
        return equalize(noise, rng, 6.0) if rng.random() < self.mix.equaliser else noise

    def recorded(self, rng: np.random.Generator) -> np.ndarray:
        noise = self.noise.draw(self.samples, rng, (0.7, 1.4))
        return np.tile(noise, -(-self.samples // noise.size))[: self.samples]


class Drawer:
    """Draw random excerpts: a source by its weight, then a clip of it by its length."""

    def __init__(self, corpus: Corpus, clips: list[Clip]):
        self.audio = corpus.audio
        self.by_source = [[c for c in clips if c.source == i] for i in range(len(corpus.sources))]
        weights = np.array([s.weight if clips else 0 for s, clips in zip(corpus.sources, self.by_source)])
        self.weights = weights / weights.sum()
        lengths = [np.array([c.length for c in clips], dtype=float) for clips in self.by_source]
        self.chances = [n / n.sum() for n in lengths]

    def draw(self, samples: int, rng: np.random.Generator, speed: tuple[float, float]) -> np.ndarray:
        """Return at most `samples` float64 samples, played faster or slower (and higher or lower) by a factor in `speed`."""
        clip = self.pick(rng)
        return self.excerpt(clip, samples, rng, speed)

    def pick(self, rng: np.random.Generator) -> Clip:
        source = rng.choice(len(self.weights), p=self.weights)
        return self.by_source[source][rng.choice(len(self.chances[source]), p=self.chances[source])]

    def excerpt(self, clip: Clip, samples: int, rng: np.random.Generator, speed: tuple[float, float]) -> np.ndarray:
        taken = min(clip.length, fast_length(samples * rng.uniform(*speed)))
        start = clip.start + rng.integers(clip.length - taken + 1)
        excerpt = self.audio[start : start + taken] / 32768.0
        return stretch(excerpt, samples) if taken < clip.length else excerpt


def fast_length(samples: float) -> int:
    """Return a near number of samples whose FFT is fast."""
    return max(1, round(samples / 400)) * 400


def stretch(audio: np.ndarray, samples: int) -> np.ndarray:
    """Change the speed of band-limited audio: (n,) -> (samples,)."""
    return np.fft.irfft(np.fft.rfft(audio), samples) * (samples / audio.size)


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def active_level(audio: np.ndarray, frame: int = 320) -> float:
    """Return the RMS of the loud parts: the energy-weighted mean energy of frames of 20 ms, as in audio.levels.level.Meter."""
    energy = np.square(audio[: audio.size // frame * frame]).reshape(-1, frame).mean(axis=1)
    return float(np.sqrt(np.square(energy).sum() / max(energy.sum(), 1e-20)))


def low_pass(audio: np.ndarray, cutoff: float, rate: int) -> np.ndarray:
    spectrum = np.fft.rfft(audio)
    frequency = np.fft.rfftfreq(audio.size, 1 / rate)
    return np.fft.irfft(spectrum * np.clip((cutoff - frequency) / 200 + 1, 0, 1), audio.size)


def equalize(audio: np.ndarray, rng: np.random.Generator, decibels: float) -> np.ndarray:
    """Apply a smooth random frequency response, within about +-2 `decibels` (one standard deviation each at six points)."""
    spectrum = np.fft.rfft(audio)
    points = np.linspace(0, 1, 6)
    gain = np.interp(np.linspace(0, 1, spectrum.size) ** 0.5, points, rng.normal(0, decibels, 6))
    return np.fft.irfft(spectrum * 10 ** (gain / 20), audio.size)


def colored_noise(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return stationary noise with a spectrum between white and red, slowly modulated half of the time."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] *= np.arange(1, spectrum.size) ** (-rng.uniform(0, 1.2))
    noise = np.fft.irfft(spectrum, samples)
    if rng.random() < 0.5:
        noise *= np.interp(np.arange(samples), np.linspace(0, samples, 8), rng.uniform(0.2, 1, 8))
    return noise
