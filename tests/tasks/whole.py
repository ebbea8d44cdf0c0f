"""Run a task on a whole recording by an object that is made anew."""

from enhance_cli.tasks.denoise import Denoiser
from enhance_cli.tasks.extend_bandwidth import BandwidthExtender
from enhance_cli.tasks.extract_stem import StemExtractor
from enhance_cli.tasks.inpaint import Inpainter
from enhance_cli.tasks.options import DenoiseOptions, ExtendOptions, StemOptions


def denoise(audio, rate, model, options=DenoiseOptions()):
    return Denoiser(model, options).run(audio, rate)


def extract_stems(audio, rate, model, options=StemOptions()):
    return StemExtractor(model, options).run(audio, rate)


def extend_bandwidth(audio, rate, model, options=ExtendOptions()):
    return BandwidthExtender(model, options).run(audio, rate)


def inpaint(audio, rate, gaps, inpainter=None):
    return (inpainter or Inpainter()).run(audio, rate, gaps)
