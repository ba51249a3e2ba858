"""For type checks: what may be missing elsewhere, and in a test must be there."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return a value, which fails the test when there is none."""
    assert value is not None
    return value
