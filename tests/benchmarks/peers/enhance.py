"""This project's models through its Python interface, at any rate: `enhance.py MODEL STEPS`. No delay."""

import os
import sys

from worker import serve

from enhance_cli import denoise

model, steps, threads = sys.argv[1], int(sys.argv[2]), int(os.environ["OMP_NUM_THREADS"])

serve(lambda: lambda audio, rate: denoise(audio[None], rate, model=model, steps=steps, threads=threads)[0])
