"""Take one channel of a file, or the mean of all, as a file of one channel."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from enhance_cli.audio.channels import cancelled, mean_energies
from enhance_cli.audio.info import AudioInfo
from enhance_cli.audio.read import AudioFile
from enhance_cli.errors import AudioError

CALL_RATE = 8000  # Hz: stereo at this rate or below comes from telephone systems
CANCELED = "the channels cancel each other in their mean: --channel 1 takes the first"


def notes_on_calls(info: AudioInfo) -> tuple[str, ...]:
    """Return a note on stereo at a telephone rate, whose channels may be the two sides of a call."""
    if info.channels != 2 or info.rate > CALL_RATE:
        return ()
    return ("two channels, perhaps the two sides of a call: --channel N takes one of them, --channel mix their mean",)


def only_channels(audio: AudioFile, wanted: str) -> AudioFile:
    """Return one channel of a file (`wanted` is its number, from 1) or their mean ("mix") as a file of one channel.

    Raises AudioError for a channel that the file does not have.
    """
    count = audio.info.channels
    if wanted != "mix" and not (wanted.isdigit() and 1 <= int(wanted) <= count):
        raise AudioError(f"{audio.info.path} has {count} channels, not a channel {wanted}", "choose another --channel")

    def decode(first: int, size: int) -> Iterator[np.ndarray]:
        if wanted != "mix":
            yield from (block[int(wanted) - 1 :][:1] for block in audio.decode(first, size))
            return
        energies = np.zeros(2)
        for block in audio.decode(first, size):
            energies += mean_energies(block)
            yield block.mean(axis=0, keepdims=True)
        if cancelled(energies) and CANCELED not in audio.findings.notes:
            audio.findings.notes.append(CANCELED)

    info = replace(audio.info, channels=1, layout=None, mask=None, ambisonic=False)
    return AudioFile(info, decode, audio.findings)
