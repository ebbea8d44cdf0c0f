"""Provide the data of a recipe: speech, noise and rooms that are mixed, or recordings in pairs.

Both have `train` and `valid`, which return batches by number: `batch(number, size)` -> (noisy, clean), float32 (size,
N).
"""

from pathlib import Path

from enhance_cli.contracts import Log
from enhance_cli.data import corpus, pairs, rooms, statistics
from enhance_cli.data.mixing import Mixer
from enhance_cli.data.pairs import Pairs
from enhance_cli.training.denoise.first_stage import FirstStage
from enhance_cli.training.denoise.recipe import Recipe


def load(recipe: Recipe, root: Path, cache: Path, log: Log) -> "Mixed | Paired":
    """Return the data of a recipe. Raises UsageError for folders that are missing, empty or do not match."""
    paired = recipe.data.pairs or recipe.data.shards
    return Paired(recipe, root, log) if paired else Mixed(recipe, root, cache, log)


class Mixed:
    """Hold speech and noise, packed in `cache`, and simulated rooms."""

    def __init__(self, recipe: Recipe, root: Path, cache: Path, log: Log):
        model, data = recipe.model, recipe.data
        rate = FirstStage.RATE if model.first_stage else model.sample_rate
        self.rate, self.root = rate, root
        self.speech = corpus.load(data.speech, root, rate, cache, log)
        self.noise = corpus.load(data.noise, root, rate, cache, log)
        responses = rooms.load(data.rooms, rate, cache, tails=data.room_tails, log=log) if data.rooms else None

        def make(seed: int, held_out: bool) -> "Mixer | FirstStage":
            mixer = Mixer(
                self.speech, self.noise, rooms=responses, mix=recipe.mix, rate=rate, seed=seed, held_out=held_out
            )
            return FirstStage(mixer, model) if model.first_stage else mixer

        self.train, self.valid = make(recipe.train.seed, False), make(recipe.train.seed + 1, True)

    def describe(self) -> dict:
        hours = lambda side, clips: round(side.hours(clips, self.rate), 4)
        return {
            "speech_hours": hours(self.speech, self.speech.train),
            "speech_hours_held_out": hours(self.speech, self.speech.valid),
            "noise_hours": hours(self.noise, self.noise.train),
            "noise_hours_held_out": hours(self.noise, self.noise.valid),
        }

    def statistics(self) -> dict:
        """Return every source's clips, hours, rates and levels (data.statistics)."""
        sides = (("speech", self.speech), ("noise", self.noise))
        return {name: statistics.of_corpus(side, self.root, self.rate) for name, side in sides}


class Paired:
    """Read pairs in `train` and `valid` below the folder that `data.pairs` names, or in the shards of `data.shards`."""

    def __init__(self, recipe: Recipe, root: Path, log: Log):
        rate, data = recipe.model.sample_rate, recipe.data
        if data.shards:
            patterns = {"train": data.shards.train, "valid": data.shards.valid}
            found = {part: pairs.from_shards(pattern, root, log) for part, pattern in patterns.items()}
        else:
            found = {part: pairs.from_folder(root / data.pairs / part, log) for part in ("train", "valid")}
        for part, some in found.items():
            if line := corpus.rates_line(part, pairs.rates(some), rate):
                log(line)
        self.train = Pairs(found["train"], mix=recipe.mix, rate=rate, seed=recipe.train.seed)
        self.valid = Pairs(found["valid"], mix=recipe.mix, rate=rate, seed=recipe.train.seed + 1)

    def describe(self) -> dict:
        hours = lambda side: round(sum(pair.frames / pair.rate for pair in side.pairs) / 3600, 4)
        return {
            "pairs": len(self.train.pairs),
            "pairs_held_out": len(self.valid.pairs),
            "pair_hours": hours(self.train),
            "pair_hours_held_out": hours(self.valid),
        }

    def statistics(self) -> dict:
        return {"train": statistics.of_pairs(self.train.pairs), "valid": statistics.of_pairs(self.valid.pairs)}
