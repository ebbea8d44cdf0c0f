"""Make the mixtures that compare_refiners trains and scores on, with estimates and features of the first stage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from enhance_cli.audio.spectra import deep_filter, erb
from enhance_cli.data import corpus, rooms
from enhance_cli.data.corpus import Corpus, Source
from enhance_cli.data.mixing import Mix, Mixer, active_level
from enhance_cli.models.spec import Spec
from enhance_cli.training.denoise.first_stage import FirstStage
from enhance_cli.training.denoise.recipe import Recipe

ITEMS = 96  # of each held-out set
DRY = dict.fromkeys(("room", "clean", "noise_only", "band_limit", "clipping", "codec", "wide_band", "sustained"), 0.0)
VOICES: Any = {"seconds": 3.0, "snr": (0.0, 15.0), "level": (0.0, 0.0), "speed": (1.0, 1.0), "equaliser": 0.0} | DRY


class DescribedFirstStage(FirstStage):
    """Make batches of mixtures with the features that the encoder of the first stage has of them."""

    def __init__(self, mixer: Mixer, model: Spec):
        super().__init__(mixer, model)
        self._hop = (model.frontend or {})["hop"]

    def described(self, number: int, size: int) -> list[np.ndarray]:
        """Return noisy, clean, first (size, N), and features (size, T, 512) for each of the refiner's frames."""
        found: list[torch.Tensor] = []
        hook = self._network.encoder_out.register_forward_hook(lambda layer, given, out: found.append(out.relu()))
        noisy, clean, first = self._make(range(number, number + 1), size)[0][1]
        hook.remove()
        features = torch.cat(found, dim=1)
        seconds = np.arange(-(-noisy.shape[1] // self._hop) + 1) * self._hop / self._rate
        # The first stage's frames have other centers, and come late
        places = torch.from_numpy((seconds * erb.RATE + self._lead_in) / erb.HOP + deep_filter.AHEAD).float()
        below = places.long().clamp_max(features.shape[1] - 2)
        between = torch.lerp(features[:, below], features[:, below + 1], (places - below).clamp_max(1)[:, None])
        return [noisy, clean, first, between.half().numpy()]


class Sounds:
    """Load speech, noise and rooms of the recipe, packed in `cache`."""

    def __init__(self, recipe: Recipe, root: Path, cache: Path, log: Callable[[str], None]):
        data, self.recipe, self.cache, self.log = recipe.data, recipe, cache, log
        self.speech = corpus.load(data.speech, root, erb.RATE, cache, log)
        self.noise = corpus.load(data.noise, root, erb.RATE, cache, log)
        self.rooms = rooms.load(data.rooms, erb.RATE, cache, tails=data.room_tails, log=log)

    def training(self, mix: Mix) -> DescribedFirstStage:
        """Return the mixtures to train on, with the settings `mix`."""
        seed = self.recipe.train.seed
        mixer = Mixer(self.speech, self.noise, rooms=self.rooms, mix=mix, rate=erb.RATE, seed=seed)
        return DescribedFirstStage(mixer, self.recipe.model)

    def held_out(self, voices: list[Path], work: Path) -> dict[str, list[np.ndarray]]:
        """Return the mixtures of the recipe's held-out recordings, and dry ones of the voices in other folders.

        They are kept in the folder `work`.
        """
        seed, mix = self.recipe.train.seed + 1, self.recipe.mix
        given: Any = {"rate": erb.RATE, "seed": seed, "held_out": True}
        mixers = {"recipe": Mixer(self.speech, self.noise, rooms=self.rooms, mix=mix, **given)}
        if voices:
            mix = Mix(**VOICES, lead_in=mix.lead_in)
            mixers["voices"] = Mixer(self._clean(voices), self.noise, rooms=None, mix=mix, **given)
        make = lambda mixer: DescribedFirstStage(mixer, self.recipe.model).described(0, ITEMS)
        return {name: stored(work / f"{name}.npz", lambda m=mixer: make(m)) for name, mixer in mixers.items()}

    def _clean(self, folders: list[Path]) -> Corpus:
        """Return the recordings below `folders` that have quiet pauses."""
        sources = [Source(str(folder.absolute())) for folder in folders]
        speech = corpus.load(sources, Path("/"), erb.RATE, self.cache, self.log, whole=True)
        clips = [clip for clip in speech.train if quiet_pauses(speech.audio[clip.start :][: clip.length])]
        return Corpus(speech.audio, clips, sources, whole=True)


def quiet_pauses(audio: np.ndarray) -> bool:
    """Return whether the quietest twentieth of a recording is 40 dB below its voice. Other noise would count as voice."""
    size = erb.RATE // 50
    frames = audio[: audio.size // size * size].reshape(-1, size) / 32768.0
    floor = np.quantile(np.sqrt(np.square(frames).mean(axis=1)), 0.05) if len(frames) else 1.0
    return bool(floor < 0.01 * active_level(audio / 32768.0, size))


def stored(path: Path, make: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """Return the arrays in a file, which is made if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, *make())
        unfinished.replace(path)
    with np.load(path) as file:
        return [file[name] for name in file.files]
