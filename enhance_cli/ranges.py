"""Check values of recipes and options that have the right type but no meaning, such as a share of two."""

from math import inf


class OutOfRange(ValueError):
    """Report a value outside of its range. `key`: name of the field."""

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
