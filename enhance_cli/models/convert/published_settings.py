"""Read the settings of a separator from the YAML file that lies beside its checkpoint, as NAME.yaml for NAME.ckpt.

Music-Source-Separation-Training and the programs that share its configuration format publish one with every checkpoint.
Only plain values are read from it.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enhance_cli.errors import ModelError, one_line

SUFFIXES = (".yaml", ".yml")
TUPLE = "tag:yaml.org,2002:python/tuple"
STEM_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
REST = "rest"


class Settings:
    """Hold the settings by section ("audio", "model", "training", "inference"). `path` is None if there are none."""

    def __init__(self, path: Path | None, sections: dict[str, Any]):
        self.path, self._sections = path, sections

    def get(self, section: str, name: str, default: Any) -> Any:
        """Return a setting of the type of `default`, or `default` if it is not set. Raises ModelError for another type."""
        values = self._sections.get(section)
        value = values.get(name) if isinstance(values, dict) else None
        if value is None:
            return default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            raise ModelError(f"{self.path}: {section}.{name} is {value!r}", f"it should be like {default!r}")
        return value

    def require(self, section: str, name: str, only: Any) -> None:
        """Raise ModelError if a setting is there and is not `only`, the one value that can be run."""
        if (value := self.get(section, name, only)) != only:
            raise ModelError(f"{self.path}: {section}.{name} is {value!r}", f"only {only!r} can be run here")

    def overlap(self, section: str, chunk: int, windows: int) -> tuple[int, dict[str, Any]]:
        """Return the length of a window in samples, and the `overlap` for the header of its model.

        Both are as Music-Source-Separation-Training cuts. `chunk`, `windows`: where nothing is set.
        """
        chunk = self.get("inference", "chunk_size", self.get(section, "chunk_size", chunk))
        windows = self.get("inference", "num_overlap", windows)
        if not 0 < windows <= chunk:
            raise ModelError(
                f"{self.path}: {windows} windows of {chunk} samples over each other", "it cannot be run here"
            )
        return chunk, {"windows": windows, "fade": 0.1, "mirrored": True}

    def stems(self) -> list[str]:
        """Return the names of the stems that the network makes, which may be none. Raises ModelError for unfit names."""
        names = self.get("training", "instruments", [])
        if target := self.get("training", "target_instrument", ""):
            names = [target]
        found = [str(name).lower().replace(" ", "_") for name in names]
        if len(set(found)) < len(found) or not all(STEM_NAME.fullmatch(name) for name in found):
            raise ModelError(f"{self.path}: its stems {names} cannot be names of files", "rename them there")
        return found

    def stems_of(self, source: Path, masks: int, usual: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the stems of a network with `masks`, and the rest last where there is one mask.

        `usual`: the names where nothing is set. Raises ModelError if they are unknown.
        """
        names = self.stems() or list(usual)
        if len(names) != masks:
            where = f"{self.path} names {len(names)}" if self.path else "their names are not in the file"
            raise ModelError(
                f"{source}: masks for {masks} stems, and {where}", f"put its settings beside it as {source.stem}.yaml"
            )
        return (*names, REST) if masks == 1 else tuple(names)


def read_settings(source: Path) -> Settings:
    """Return the settings beside the checkpoint `source`. Raises ModelError if the file cannot be read."""
    path = next((p for suffix in SUFFIXES if (p := source.with_suffix(suffix)).is_file()), None)
    if path is None:
        return Settings(None, {})
    import yaml

    class Plain(yaml.SafeLoader):
        """Read plain values, and tuples as lists."""

    Plain.add_constructor(TUPLE, lambda loader, node: loader.construct_sequence(node))
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Plain)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = one_line(error)
        raise ModelError(f"{path}: cannot be read as YAML ({reason})", "fetch it again, or move it away") from error
    return Settings(path, found if isinstance(found, dict) else {})
