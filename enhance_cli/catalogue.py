"""Dictionaries from a name to "module:attribute", loaded on use: the only way anything is picked by name.

A model file can name networks, processes and samplers that stand in such a dictionary, and nothing else.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from enhance_cli.errors import UsageError


class Catalogue:
    """The members of one folder: `Catalogue("sampler", __name__, {"bridge_ode": "bridge_ode:sample"})["bridge_ode"]`.

    It holds names: `in` and loops ask for these and import nothing. No Mapping, whose `get` counts on a KeyError.
    """

    def __init__(self, kind: str, package: str, members: dict[str, str]):
        self.kind, self.package, self.members = kind, package, members

    def __getitem__(self, name: str) -> Any:
        """The member itself; raises UsageError listing what there is."""
        if name not in self.members:
            raise UsageError(f"unknown {self.kind} {name!r}", f"choose from {', '.join(self.members)}")
        module, attribute = self.members[name].split(":")
        return getattr(import_module(f"{self.package}.{module}"), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __contains__(self, name: object) -> bool:
        return name in self.members
