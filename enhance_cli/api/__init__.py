"""Offer the Python interface: objects that are loaded once and used often, and functions for a single call.

The commands with the same options give the same samples. Nothing heavy is imported before it is needed.
"""

from enhance_cli.api.bandwidth import extend_bandwidth
from enhance_cli.api.denoiser import Denoiser, denoise
from enhance_cli.api.inpainter import Inpainter, inpaint
from enhance_cli.api.models import load_model
from enhance_cli.api.speakers import SpeakerRepairer, enhance_embedding
from enhance_cli.api.stems import StemExtractor, extract_stem

__all__ = [
    "Denoiser",
    "Inpainter",
    "SpeakerRepairer",
    "StemExtractor",
    "denoise",
    "enhance_embedding",
    "extend_bandwidth",
    "extract_stem",
    "inpaint",
    "load_model",
]
