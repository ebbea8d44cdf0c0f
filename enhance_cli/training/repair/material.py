"""Embed the corpora: crops of training voices in every condition, and trials of held-out voices.

Embeddings are cached in files of a few crops each, so an interrupted run continues, and the next run starts at once.
"""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from enhance_cli.atomic import replace_file
from enhance_cli.contracts import Log
from enhance_cli.data import corpus, rooms
from enhance_cli.data.degraded import Degrader, fill
from enhance_cli.errors import UsageError
from enhance_cli.models.device import autocast
from enhance_cli.models.extractor import Extractor
from enhance_cli.training.repair.recipe import RepairRecipe

CROPS_PER_FILE = 128  # of the cache
MAX_UTTERANCES = 12  # of a held-out speaker
CROPS_AT_ONCE = 8  # through the extractor, which bounds its memory


class Material:
    """Provide embeddings for training and validation.

    `vectors()` -> training (crops, 1 + conditions, segments, D), the target first. `trials()` -> held-out (utterances,
    conditions, D) and their speakers.
    """

    def __init__(self, recipe: RepairRecipe, extractor: Extractor, root: Path, cache: Path, log: Log):
        self.recipe, self.extractor, self.cache, self.log = recipe, extractor, cache, log
        data, self.rate = recipe.data, recipe.model.sample_rate
        self.speech, self.noise = (corpus.load(part, root, self.rate, cache, log) for part in (data.speech, data.noise))
        music = [s for s in data.music if corpus.list_files(s, root)]
        self.music = corpus.load(music, root, self.rate, cache, log) if music else None
        responses = rooms.load(data.rooms, self.rate, cache, log=log)[0]
        kept = max(1, data.rooms // 10)
        seed = recipe.train.seed
        make = partial(Degrader, self.speech, self.noise, self.music, views=recipe.views, rate=self.rate)
        self.train = make(responses=responses[:-kept], seed=seed)
        self.valid = make(responses=responses[-kept:], seed=seed + 1, held_out=True)

    def describe(self) -> dict:
        hours = lambda side, clips: round(side.hours(clips, self.rate), 4)
        voices, utterances = self._held_out()
        return {
            "speech_hours": hours(self.speech, self.speech.train),
            "speech_hours_held_out": hours(self.speech, self.speech.valid),
            "noise_hours": hours(self.noise, self.noise.train),
            "noise_hours_held_out": hours(self.noise, self.noise.valid),
            "music_hours": hours(self.music, self.music.train) if self.music else 0.0,
            "trial_speakers": len(set(voices)),
            "trial_utterances": len(utterances),
        }

    def vectors(self) -> np.ndarray:
        """Return the training embeddings, float16 (crops, 1 + conditions, segments, D)."""
        folder, parts = self.cache / f"embeddings-{self._key()}", []
        folder.mkdir(parents=True, exist_ok=True)
        crops = self.recipe.embedding.crops
        for first in range(0, crops, CROPS_PER_FILE):
            last = min(first + CROPS_PER_FILE, crops)
            path = folder / f"{first}-{last}.npy"
            if not path.exists():
                self.log(f"embedding crops {first} to {last} of {crops}")
                _store(path, self._embed([self.train.item(number) for number in range(first, last)]))
            parts.append(np.load(path))
        return np.concatenate(parts)

    def trials(self) -> tuple[np.ndarray, list[str]]:
        """Return unit vectors float32 (utterances, conditions, D) and their speakers.

        A vector is the mean of those of an utterance's segments.
        """
        path = self.cache / f"embeddings-{self._key()}" / "trials.npy"
        speakers, utterances = self._held_out()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.log(f"embedding {len(utterances)} utterances of {len(set(speakers))} voices held out")
            _store(path, self._embed([self.valid.file(speech, number) for number, speech in enumerate(utterances)]))
        vectors = np.load(path).astype(np.float32).mean(axis=2)
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), speakers

    def _held_out(self) -> tuple[list[str], list[np.ndarray]]:
        """Return the speakers and utterances of held-out voices: one utterance per file, or pieces of a single file."""
        samples = int(self.recipe.views.seconds * self.rate)
        voices: dict[str, list] = {}
        for clip in self.speech.valid:
            if self.speech.sources[clip.source].groups == "folder":
                voices.setdefault(clip.group, []).append(clip)
        speakers, utterances = [], []
        for voice, clips in sorted(voices.items()):
            pieces = [(c, c.start + n * samples) for c in clips for n in range(max(1, c.length // samples))]
            first_of_each = [(c, start) for c, start in pieces if start == c.start]
            for clip, start in (first_of_each if len(first_of_each) > 1 else pieces)[:MAX_UTTERANCES]:
                piece = self.speech.audio[start : min(start + samples, clip.start + clip.length)] / 32768.0
                speakers.append(voice)
                utterances.append(fill(piece, samples))
        if len(set(speakers)) < 2 or len(set(speakers)) == len(speakers):
            raise UsageError(
                "the trials need two held-out speakers, with two utterances of one",
                'raise held_out of a source with groups = "folder"',
            )
        return speakers, utterances

    def _embed(self, waves: list[np.ndarray]) -> np.ndarray:
        """Return the embeddings of K arrays (conditions, samples): float16 (K, conditions, segments, D)."""
        spec, device = self.extractor.spec, self.extractor.device
        length = int(self.recipe.embedding.segment * self.rate)
        found = []
        for first in range(0, len(waves), CROPS_AT_ONCE):
            batch = torch.from_numpy(np.stack(waves[first : first + CROPS_AT_ONCE]))
            if spec.normalise == "raise":  # as its authors do it
                batch = batch * (spec.level / batch.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)).clamp_min(1)
            segments = batch.unfold(-1, length, length)
            rows = segments.reshape(-1, length)
            with autocast(device, self.recipe.embedding.precision):
                vectors = self.extractor.embed(rows)
            found.append(vectors.numpy().reshape(*segments.shape[:3], -1).astype(np.float16))
        return np.concatenate(found)

    def _key(self) -> str:
        """Return a hash of everything on which the vectors depend."""
        data, embedding = self.recipe.data, self.recipe.embedding
        sides = (self.speech, self.noise, *([self.music] if self.music else []))
        clips = [[asdict(c) for c in (*side.train, *side.valid)] for side in sides]
        sources = [[asdict(s) for s in part] for part in (data.speech, data.noise, data.music)]
        settings = [
            asdict(self.recipe.views),
            data.rooms,
            embedding.segment,
            embedding.precision,
            self.recipe.train.seed,
        ]
        described = json.dumps([self.extractor.id, sources, settings, clips], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:16]


def _store(path: Path, vectors: np.ndarray) -> None:
    with replace_file(path) as file:
        np.save(file, vectors)
