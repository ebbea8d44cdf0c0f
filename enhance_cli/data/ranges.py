"""Values of a recipe that their types allow and their meaning does not, such as a share of two."""

from math import inf


class OutOfRange(ValueError):
    """What a dataclass raises for a value that its type allows and it does not: `key` of it, and why."""

    def __init__(self, key: str, reason: str):
        super().__init__(reason)
        self.key = key


def in_range(values, **limits: tuple[float, float]) -> None:
    """Each field of the dataclass `values` must lie in its (low, high), both included; of a tuple, all its numbers, which
    may not fall. Raises OutOfRange."""
    for name, (low, high) in limits.items():
        value = getattr(values, name)
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if not low <= number <= high:  # neither does one that is not a number
                allowed = f"{low:g} or more" if high == inf else f"{low:g} to {high:g}"
                raise OutOfRange(name, f"{number} is not {allowed}")
        if list(numbers) != sorted(numbers):
            raise OutOfRange(name, f"{list(value)} is not from the lower to the higher")
