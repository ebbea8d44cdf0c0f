"""Describe training data before training: clips, hours, sample rates of the files, levels."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from enhance_cli.audio.read import open_audio
from enhance_cli.data.corpus import Clip, Corpus, Source, list_files
from enhance_cli.data.mixing import active_level, rms
from enhance_cli.data.pairs import Pair, read_excerpt
from enhance_cli.errors import AudioError

MAX_CLIPS = 200  # clips per source whose level is measured
MAX_SECONDS = 10  # of each of them


def of_corpus(corpus: Corpus, root: Path, rate: int) -> list[dict]:
    """Return one table per source of a packed corpus."""
    return [_of_source(corpus, number, source, root, rate) for number, source in enumerate(corpus.sources)]


def _of_source(corpus: Corpus, number: int, source: Source, root: Path, rate: int) -> dict:
    train, valid = ([c for c in clips if c.source == number] for clips in (corpus.train, corpus.valid))
    excerpt = lambda clip: corpus.audio[clip.start : clip.start + min(clip.length, MAX_SECONDS * rate)] / 32768.0
    return {
        "folder": source.folder,
        "weight": source.weight,
        "clips": len(train),
        "clips_held_out": len(valid),
        "hours": _hours(train, rate),
        "hours_held_out": _hours(valid, rate),
        "rates": _rates(list_files(source, root)),
        "level_db": levels([excerpt(clip) for clip in _some(train + valid)]),
    }


def of_pairs(pairs: list[Pair]) -> dict:
    """Return one table for noisy and clean pairs. The signal-to-noise ratio counts their difference as noise."""
    noisy, clean = zip(*(read_excerpt(pair, 0, min(pair.frames, MAX_SECONDS * pair.rate)) for pair in _some(pairs)))
    ratios = [20 * np.log10(max(rms(c), 1e-6) / max(rms(n - c), 1e-6)) for n, c in zip(noisy, clean)]
    return {
        "clips": len(pairs),
        "hours": round(sum(pair.frames / pair.rate for pair in pairs) / 3600, 4),
        "rates": _counted(pair.rate for pair in pairs),
        "noisy_level_db": levels(noisy),
        "clean_level_db": levels(clean),
        "snr_db": _spread(ratios),
    }


def levels(excerpts: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the active level in dB relative to full scale: the lowest tenth, the median, the highest tenth."""
    return _spread([20 * np.log10(max(active_level(audio), 1e-6)) for audio in excerpts if audio.size])


def _rates(files: list[Path]) -> dict[str, int]:
    return _counted(_rate(path) for path in files)


def _rate(path: Path) -> str:
    try:
        with open_audio(path) as file:
            return str(file.info.rate)
    except AudioError:
        return "unreadable"


def _counted(rates: Iterable[object]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, rates)).items()))


def _hours(clips: list[Clip], rate: int) -> float:
    return round(sum(c.length for c in clips) / rate / 3600, 4)


def _some(items: list) -> list:
    """Return at most MAX_CLIPS of `items`, spread evenly."""
    return items[:: max(1, -(-len(items) // MAX_CLIPS))]


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {name: round(float(np.quantile(values, q)), 1) for name, q in (("low", 0.1), ("median", 0.5), ("high", 0.9))}
