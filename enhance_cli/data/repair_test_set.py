"""Make the test set for a repair of speaker embeddings: recordings of known speakers, each in every condition.

The same folders give the same set.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from enhance_cli.atomic import replace_file
from enhance_cli.contracts import Log
from enhance_cli.data import corpus, rooms
from enhance_cli.data.corpus import Clip, Source
from enhance_cli.data.degraded import CONDITIONS, Degrader, Views
from enhance_cli.errors import UsageError

Track = Callable[[Sequence[tuple[int, Clip]]], Iterable[tuple[int, Clip]]]  # may show progress
RATE = 16000
SEED = 2  # of rooms and draws: training has 0, its validation 1


class RepairTestSet:
    """Hold recordings by speaker.

    `speech`: folders with a folder of recordings for every speaker, whose relative path is the speaker's name.
    """

    conditions = CONDITIONS

    def __init__(
        self, speech: list[Path], noise: list[Path], music: list[Path], room_count: int, cache: Path, log: Log
    ):
        load = lambda folders, groups: corpus.load(
            [Source(str(folder.resolve()), groups=groups) for folder in folders],
            Path("/"),
            RATE,
            cache,
            log,
            whole=True,
        )
        self.speech = load(speech, "folder")
        self.speakers = [clip.group for clip in self.speech.train]
        if len(set(self.speakers)) < 2 or len(set(self.speakers)) == len(self.speakers):
            raise UsageError(
                f"{', '.join(map(str, speech))}: trials need two speakers, with two recordings of one",
                "give folders that hold a folder of recordings for every speaker",
            )
        responses = rooms.load(room_count, RATE, cache, seed=SEED, log=log)[0]
        self.noise, self.music = load(noise, "file"), load(music, "file") if music else None
        self.degrader = Degrader(
            self.speech, self.noise, self.music, responses=responses, views=Views(), rate=RATE, seed=SEED
        )
        self.rooms, self.cache = room_count, cache

    def vectors(self, embedder_key: str, embed: Callable[[np.ndarray], np.ndarray], track: Track = iter) -> np.ndarray:
        """Return (recordings, conditions, D) of `embed(wave (N,) at RATE)`, cached.

        `embedder_key`: text that identifies everything on which `embed` depends. `track` may wrap the loop to show
        progress.
        """
        path = self.cache / f"test-{self._key(embedder_key)}.npy"
        if not path.exists():
            found = []
            for number, clip in track(list(enumerate(self.speech.train))):
                speech = self.speech.audio[clip.start : clip.start + clip.length] / 32768.0
                found.append([embed(wave) for wave in self.degrader.file(speech, number)])
            with replace_file(path) as file:
                np.save(file, np.array(found, dtype=np.float32))
        return np.load(path)

    def _key(self, embedder_key: str) -> str:
        sides = (self.speech, self.noise, *([self.music] if self.music else []))
        described = [
            embedder_key,
            self.rooms,
            asdict(self.degrader.views),
            [[asdict(c) for c in side.train] for side in sides],
        ]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
