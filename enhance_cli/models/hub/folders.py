"""Locate pulled models and their pins: $ENHANCE_HOME, or `enhance` in the user's cache folder.

models/NAME.safetensors is a converted model, pins/NAME.json its pin (origin and checksums), downloads/ holds originals.
Everything is written atomically.
"""

import json
import os
import sys
from pathlib import Path

from enhance_cli.atomic import replace_file
from enhance_cli.errors import ModelError


def home() -> Path:
    """Return $ENHANCE_HOME, or `enhance` in the platform's cache folder."""
    if os.environ.get("ENHANCE_HOME"):
        return Path(os.environ["ENHANCE_HOME"]).expanduser()
    if sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "enhance"


def model_path(name: str) -> Path:
    return home() / "models" / f"{name}.safetensors"


def downloads() -> Path:
    return home() / "downloads"


def read_pin(name: str) -> dict:
    """Return the pin of a model, or {} if there is none. Raises ModelError if it cannot be read.

    It has location, revision, sha256, size and date of the original, the sha256 of files `beside` it, and `model_sha256` of
    the converted file.
    """
    path = _pin_path(name)
    try:
        pin = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(pin, dict):
            raise ValueError("not an object")
        return pin
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: the pin of {name} cannot be read ({error})", "run `enhance models remove --forget`, then pull"
        ) from error


def write_pin(name: str, pin: dict) -> Path:
    path = _pin_path(name)
    with replace_file(path) as file:
        file.write((json.dumps(pin, indent=2) + "\n").encode())
    return path


def forget_pin(name: str) -> bool:
    """Delete the pin of a model. Returns whether there was one."""
    try:
        _pin_path(name).unlink()
    except FileNotFoundError:
        return False
    return True


def _pin_path(name: str) -> Path:
    return home() / "pins" / f"{name}.json"
