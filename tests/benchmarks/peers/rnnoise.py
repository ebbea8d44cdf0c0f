"""RNNoise through pyrnnoise 0.4.5 (weights in its library): 10 ms frames at 48 kHz."""

from pyrnnoise.rnnoise import FRAME_SIZE, SAMPLE_RATE, create, destroy, process_mono_frame
from worker import by_frames, serve

DELAY = 2 * FRAME_SIZE  # measured: 20 ms of window and look-ahead


class State:
    """One stream; the library's memory is freed with it."""

    def __init__(self):
        self.handle = create()

    def __call__(self, frame):
        cleaned, _ = process_mono_frame(self.handle, frame)
        return cleaned.astype("float32") / 32768

    def __del__(self):
        destroy(self.handle)


serve(lambda: by_frames(State(), FRAME_SIZE, DELAY, SAMPLE_RATE))
