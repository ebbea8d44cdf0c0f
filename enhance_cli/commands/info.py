"""Run `enhance info`: versions, devices and decoders, the first thing to check if something is slow or missing."""

from enhance_cli import __version__
from enhance_cli.console import result

PACKAGES = ("torch", "onnxruntime", "numpy", "soundfile", "soxr", "safetensors", "huggingface-hub", "typer", "av")


def info() -> None:
    """Print versions, devices and decoders."""
    import platform
    import shutil
    from importlib import metadata

    result(f"enhance {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in PACKAGES:
        try:
            result(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            result(f"{package} not installed")
    result(f"ffmpeg on the PATH: {shutil.which('ffmpeg') or 'no'}")
    try:
        import torch
    except (ImportError, OSError) as error:
        result(f"torch cannot be imported ({' '.join(str(error).split())})")
        return
    result(f"CPU threads: {torch.get_num_threads()}")
    result(f"CUDA: built for {torch.version.cuda or 'none'}, {torch.cuda.device_count()} device(s)")
    for index in range(torch.cuda.device_count()):
        result(f"  cuda:{index} {torch.cuda.get_device_name(index)}")
    result(f"MPS: {'yes' if torch.backends.mps.is_available() else 'no'}")
