"""Write validation mixtures as files to listen to, with spectrogram pictures, in RUN/samples.

Each number is one mixture: `1-noisy.wav`, `1-clean.wav`, and for every validation `1-step000500.wav` with the picture
`1-step000500.png`, noisy above enhanced.
"""

from pathlib import Path

import numpy as np

from enhance_cli.audio.drawing.plot import spectrograms
from enhance_cli.audio.formats import OutputFormat
from enhance_cli.audio.write import AudioWriter


def write(folder: Path, step: int, rate: int, noisy: np.ndarray, clean: np.ndarray, enhanced: np.ndarray) -> None:
    """Write the samples. All arrays are (K, N) at `rate` Hz. A mixture and its result keep their relative level."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(zip(noisy, clean, enhanced), start=1):
        peak = max(1.0, *(float(np.abs(audio).max()) for audio in item[:2]))
        paths = [folder / f"{number}-{name}.wav" for name in ("noisy", "clean", f"step{step:06d}")]
        for path, audio in zip(paths, item):
            with AudioWriter(path, OutputFormat("WAV", "PCM_16", rate, ".wav"), 1) as file:
                file.write(np.clip(audio[None] / peak, -1, 1))
        spectrograms(paths[0], paths[2], paths[2].with_suffix(".png"))
