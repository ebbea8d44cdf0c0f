"""Check values of recipes and options that cannot be meant, such as a share of two, or a number given as text."""

from dataclasses import fields
from math import inf
from numbers import Integral, Real
from types import UnionType
from typing import Any, get_args

KINDS: dict[type, tuple[type, str]] = {
    int: (Integral, "a whole number"), float: (Real, "a number"), str: (str, "a text"), dict: (dict, "a dictionary"),
}  # fmt: skip


class OutOfRange(ValueError):
    """Report a value outside of its range, or of another type. `key`: name of the field."""

    def __init__(self, key: str, reason: str):
        super().__init__(reason)
        self.key = key


def in_range(values: object, **limits: tuple[float, float]) -> None:
    """Check that each field of the dataclass `values` is None or lies in its (low, high), both included.

    All numbers of a tuple must, in ascending order. Raises OutOfRange.
    """
    for name, (low, high) in limits.items():
        value = getattr(values, name)
        if value is None:
            continue
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if not low <= number <= high:  # neither does one that is not a number
                allowed = f"{low:g} or more" if high == inf else f"{low:g} to {high:g}"
                raise OutOfRange(name, f"{number} is not {allowed}")
        if list(numbers) != sorted(numbers):
            raise OutOfRange(name, f"{list(value)} is not from the lower to the higher")


def of_declared_types(values: Any) -> None:
    """Check that the numbers, texts and dictionaries of the dataclass `values` are that. Raises OutOfRange."""
    for field in fields(values):
        of_type(field.name, getattr(values, field.name), field.type)


def of_type(name: str, value: Any, declared: Any) -> None:
    """Check that a value `declared` as T or T | None is one, if T is a number, text or dictionary. Raises OutOfRange."""
    types = get_args(declared) if isinstance(declared, UnionType) else (declared,)
    if types[0] in KINDS:
        kind, called = KINDS[types[0]]
        if not isinstance(value, (kind, *types[1:])) or isinstance(value, bool):
            raise OutOfRange(name, f"{value!r} is not {called}")
