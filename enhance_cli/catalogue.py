"""Look up the members of a folder by name, and import them on first use.

Everything that is selected by name goes through such a catalogue. A model file can therefore name only known networks,
processes and samplers, and cannot import other code.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from enhance_cli.errors import UsageError


class Catalogue:
    """Map names to "module:attribute": `Catalogue("sampler", __name__, {"heun": "heun:sample"})["heun"]`.

    `in` and iteration work on the names and import nothing. This is not a Mapping, since an unknown name raises UsageError
    instead of KeyError.
    """

    def __init__(self, kind: str, package: str, members: dict[str, str]):
        self.kind, self.package, self.members = kind, package, members

    def __getitem__(self, name: str) -> Any:
        """Return the member. Raises UsageError listing the known names."""
        self.check(name)
        module, attribute = self.members[name].split(":")
        return getattr(import_module(f"{self.package}.{module}"), attribute)

    def check(self, name: str) -> None:
        """Raise UsageError listing the known names if `name` is none of them. Imports nothing."""
        if name not in self.members:
            raise UsageError(f"unknown {self.kind} {name!r}", f"choose from {', '.join(self.members)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __contains__(self, name: object) -> bool:
        return name in self.members
