"""This project's models through its Python interface: `enhance.py MODEL STEPS`. No delay."""

import sys

from worker import RATE, serve

from enhance_cli import denoise

model, steps = sys.argv[1], int(sys.argv[2])

serve(lambda: lambda audio: denoise(audio[None], RATE, model=model, steps=steps)[0])
