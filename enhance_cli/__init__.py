"""Clean recordings, extract stems and repair speaker embeddings with few-step diffusion models.

import enhance_cli
clean = enhance_cli.denoise(audio, rate)             # (C, N) float array in, same shape and rate out
stems = enhance_cli.extract_stem(audio, rate)        # a dictionary of such arrays, one array with stem="drums"
wide, rate = enhance_cli.extend_bandwidth(audio, rate)  # the treble that is missing, at 48 kHz
whole = enhance_cli.inpaint(audio, rate)             # gaps filled: dropouts, clicks and lost packets
vectors = enhance_cli.enhance_embedding(vectors)     # speaker embeddings (K, D), or a recording and its rate
denoiser = enhance_cli.Denoiser("denoise-s", steps=1)  # loaded once, used often: denoiser(audio, rate)
"""

import os

# Stops ONNX Runtime from sending usage data to its maker. This must be set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from enhance_cli.api.bandwidth import extend_bandwidth  # noqa: E402
from enhance_cli.api.denoiser import Denoiser, denoise  # noqa: E402
from enhance_cli.api.inpainter import Inpainter, inpaint  # noqa: E402
from enhance_cli.api.models import load_model  # noqa: E402
from enhance_cli.api.speakers import SpeakerRepairer, enhance_embedding  # noqa: E402
from enhance_cli.api.stems import StemExtractor, extract_stem  # noqa: E402
from enhance_cli.errors import EnhanceError  # noqa: E402

__all__ = [
    "Denoiser",
    "EnhanceError",
    "Inpainter",
    "SpeakerRepairer",
    "StemExtractor",
    "__version__",
    "denoise",
    "enhance_embedding",
    "extend_bandwidth",
    "extract_stem",
    "inpaint",
    "load_model",
]

__version__ = "0.2.0"
