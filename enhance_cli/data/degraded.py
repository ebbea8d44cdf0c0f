"""Make crops of clean speech, and the same crops as bad recordings would have them, to train a repair of speaker embeddings.

Every crop is made in all CONDITIONS, so the loss can pair any of them with the clean one without knowing speakers. A crop is a
function of (seed, number).
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import oaconvolve

from enhance_cli.data import damage
from enhance_cli.data.corpus import Clip, Corpus
from enhance_cli.data.mixing import Drawer, active_level, colored_noise, equalize, rms
from enhance_cli.ranges import in_range

CONDITIONS = ("clean", "noise", "music", "reverb", "codec", "mixed")


@dataclass(frozen=True)
class Views:
    """Set the length of a crop and the strength of its degradations.

    `noise`, `music`, `babble`: ranges of signal-to-noise ratios in dB. `level`: range of RMS levels of the degraded
    crops in dBFS. `target_level`: RMS level of the training target in dBFS. It is fixed because speaker networks are
    sensitive to level. `voiced`: minimum share of a crop that is speech, if such a crop is found. "music" is music, or
    babble of other voices in a share `as_babble` of its crops. "codec" is a lossy codec, a narrow band, clipping or an
    uneven response. "mixed" is a room, a noise and in half of its crops a codec, one after the other.
    """

    seconds: float = 3.2
    speed: tuple[float, float] = (0.88, 1.14)
    level: tuple[float, float] = (-30.0, -15.0)
    target_level: float = -20.0
    noise: tuple[float, float] = (0.0, 18.0)
    music: tuple[float, float] = (3.0, 18.0)
    babble: tuple[float, float] = (6.0, 20.0)
    as_babble: float = 0.5
    voiced: float = 0.5

    def __post_init__(self) -> None:
        in_range(self, **dict.fromkeys(("noise", "music", "babble"), (-100, 100)), as_babble=(0, 1), voiced=(0, 1))
        in_range(self, seconds=(0.1, 600), speed=(0.5, 2), level=(-100, 0), target_level=(-100, 0))


class Degrader:
    """Draw crops from `speech` and degrade speech of any length.

    `responses` (K, n): room responses. `music` may be None.
    """

    def __init__(
        self,
        speech: Corpus,
        noise: Corpus,
        music: Corpus | None,
        *,
        responses: np.ndarray,
        views: Views,
        rate: int,
        seed: int,
        held_out: bool = False,
    ):
        side = lambda corpus: Drawer(corpus, corpus.valid if held_out else corpus.train)
        self.speech, self.noise, self.music = side(speech), side(noise), side(music) if music else None
        self.responses, self.views, self.rate, self.seed = responses, views, rate, seed

    def item(self, number: int) -> np.ndarray:
        """Return crop `number` as the target, at `target_level`, then in every condition: float32 (1 + conditions, N)."""
        rng = np.random.default_rng((self.seed, number))
        speech = self.crop(rng)
        treated = [at_level(self.treat(c, speech, rng), rng.uniform(*self.views.level)) for c in CONDITIONS]
        return np.stack([at_level(speech, self.views.target_level), *treated]).astype(np.float32)

    def file(self, speech: np.ndarray, number: int) -> np.ndarray:
        """Return a whole recording (N,) in every condition, at its own level: float32 (conditions, N).

        `number` is the seed of its draws.
        """
        rng, level = np.random.default_rng((self.seed, number)), decibels(speech)
        return np.stack([at_level(self.treat(c, speech, rng), level) for c in CONDITIONS]).astype(np.float32)

    def crop(self, rng: np.random.Generator) -> np.ndarray:
        """Return (samples,) of one voice: a stretch that is mostly speech, if one is found in eight tries."""
        samples = int(self.views.seconds * self.rate)
        for _ in range(8):
            speech = self.voice(self.speech.pick(rng), samples, rng)
            if voiced_share(speech) >= self.views.voiced:
                break
        return speech

    def voice(self, clip: Clip, samples: int, rng: np.random.Generator) -> np.ndarray:
        """Return (samples,) of the clip, repeated where it is too short."""
        return fill(self.speech.excerpt(clip, samples, rng, self.views.speed), samples)

    def treat(self, condition: str, speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return clean `speech` (N,) as in `condition` (one of CONDITIONS), at about the same level."""
        views = self.views
        speech = speech * (0.1 / max(active_level(speech), 1e-4))
        if condition == "noise":
            return add(speech, self.background(speech.size, rng), rng.uniform(*views.noise))
        if condition == "music":
            if self.music is None or rng.random() < views.as_babble:
                return add(speech, self.babble(speech.size, rng), rng.uniform(*views.babble))
            music = fill(self.music.draw(speech.size, rng, (0.8, 1.25)), speech.size)
            return add(speech, music, rng.uniform(*views.music))
        if condition == "reverb":
            return self.in_room(speech, rng)
        if condition == "codec":
            return self.through_channel(speech, rng)
        if condition == "mixed":
            heard = self.in_room(speech, rng)
            heard = add(heard, self.background(speech.size, rng), rng.uniform(*views.noise))
            return self.through_channel(heard, rng) if rng.random() < 0.5 else heard
        return speech

    def in_room(self, speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return oaconvolve(speech, self.responses[rng.integers(len(self.responses))])[: speech.size]

    def through_channel(self, speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        draw = rng.random()
        if draw < 0.35:
            return damage.codec(speech.astype(np.float32), self.rate, rng)
        if draw < 0.75:
            narrow = band(speech, rng.uniform(100, 350), rng.uniform(3000, 5000), self.rate)
            return damage.codec(narrow.astype(np.float32), self.rate, rng) if rng.random() < 0.5 else narrow
        if draw < 0.85:
            return damage.clip(speech, rng)
        return equalize(speech, rng, 5.0)

    def background(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.15:
            return colored_noise(samples, rng)
        return fill(self.noise.draw(samples, rng, (0.7, 1.4)), samples)

    def babble(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        voices = (self.voice(self.speech.pick(rng), samples, rng) for _ in range(rng.integers(3, 8)))
        leveled = (v / max(active_level(v), 1e-4) * 10 ** (rng.uniform(-6, 0) / 20) for v in voices)
        return sum(leveled, np.zeros(samples))


def decibels(audio: np.ndarray) -> float:
    return 20 * np.log10(max(rms(audio), 1e-6))


def at_level(audio: np.ndarray, level: float) -> np.ndarray:
    """Return `audio` with an RMS of `level` dBFS, unless it is silent."""
    return audio * 10 ** ((level - decibels(audio)) / 20)


def add(speech: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    return speech + noise * (active_level(speech) / max(rms(noise), 1e-6) * 10 ** (-snr / 20))


def fill(audio: np.ndarray, samples: int) -> np.ndarray:
    """Return `audio` (n,) repeated or cut to (samples,)."""
    return np.tile(audio, -(-samples // audio.size))[:samples]


def band(audio: np.ndarray, low: float, high: float, rate: int) -> np.ndarray:
    """Return `audio` between `low` and `high` Hz, with soft edges, as a telephone or a bad link does."""
    frequency = np.fft.rfftfreq(audio.size, 1 / rate)
    gain = np.clip(frequency / low, 0, 1) ** 2 * np.clip((high - frequency) / 300 + 1, 0, 1)
    return np.fft.irfft(np.fft.rfft(audio) * gain, audio.size)


def voiced_share(audio: np.ndarray, frame: int = 320) -> float:
    """Return the share of 20 ms frames (at 16 kHz) within 30 dB of the loudest."""
    energy = np.square(audio[: audio.size // frame * frame]).reshape(-1, frame).mean(axis=1)
    return float((energy > 1e-3 * max(energy.max(), 1e-9)).mean())
