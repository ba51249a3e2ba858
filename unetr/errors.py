"""What goes wrong with a model."""

from collections.abc import Iterable
from itertools import islice

_SHOWN = 6


class ModelError(Exception):
    """A model that cannot be used; the message is one plain sentence for the person who set MODEL_PATH."""


def told(error: BaseException) -> str:
    """The one line of an error that says what is wrong, without its full stop: libraries add pages of their own.

    That is the first, but for those that only announce it: TorchScript's and OpenVINO's say it last.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    announces = lines[0].endswith(":") or "TorchScript interpreter" in lines[0]
    return lines[-1 if announces else 0].rstrip(".")[:200]


def some_of(values: Iterable[object]) -> str:
    """The first of these, for a sentence that is to stay one."""
    rest = iter(values)
    shown = ", ".join(map(str, islice(rest, _SHOWN)))
    return f"{shown}, ..." if next(rest, None) is not None else shown
