"""Find the parts of a recording that are loud enough to be speech, for `enhance-embedding --vad`.

This gate by the energy of frames drops the pauses of a recording and cannot tell loud noise from speech. The
probability of a voice in noise, for `denoise --guide vad`, is measured by audio.levels.voice_activity.
"""

import numpy as np

from enhance_cli.audio.levels.level import Meter

FRAME = 0.03  # seconds
AROUND = 3  # frames kept before and after speech
BELOW_RMS, ABOVE_FLOOR = 25.0, 6.0  # dB: speech is at most so far below the RMS, and at least so far above the floor
RMS_DB = -3.0  # RMS of speech with its pauses, relative to its level


def loud(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return which samples of (n,) may be speech: frames near the RMS and above the floor, and 90 ms around.

    The RMS is that of the recording, or, where levels differ by far, as beside a clap, of the passage.
    """
    frame = round(FRAME * rate)
    padded = np.pad(wave, (0, -wave.size % frame)).reshape(-1, frame)
    level = 10 * np.log10(np.square(padded, dtype=np.float64).mean(axis=1) + 1e-12)
    rms = 10 * np.log10(np.square(wave, dtype=np.float64).mean() + 1e-12)
    meter = Meter(rate, 1, loudness=False)
    meter.push(wave[None])
    track = meter.track
    if track.slots is not None:
        rms = 20 * np.log10(track.at(frame // 2, len(padded), rate, step=frame)[0]) + RMS_DB
    voiced = level > np.maximum(rms - BELOW_RMS, np.minimum(np.percentile(level, 5) + ABOVE_FLOOR, rms - ABOVE_FLOOR))
    near = np.convolve(voiced, np.ones(2 * AROUND + 1), mode="same") > 0
    return np.repeat(near, frame)[: wave.size]
