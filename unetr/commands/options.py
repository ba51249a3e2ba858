"""Options that several commands share, and what is wrong with a value told before anything is computed."""

import argparse
import math
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path


def above_zero(text: str) -> float:
    """Read a finite number above 0: the ``type`` of an option."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return number


def not_below_zero(text: str) -> float:
    """Read a finite number of 0 or more: the ``type`` of an option."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of 0 or more")
    return number


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """The ``type`` of an option that is a whole number of at least, and at most, so much."""

    def read(text: str) -> int:
        number = int(text) if text.strip().lstrip("+-").isdecimal() else None
        if number is None or not least <= number <= most:
            upto = "or more" if most == math.inf else f"to {most}"
            raise argparse.ArgumentTypeError(f"{text} is no whole number, {least} {upto}")
        return number

    return read


def share(text: str) -> float:
    """Read a share from 0 to 1: the ``type`` of an option."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share from 0 to 1")
    return number


def _number(text: str) -> float:
    """Read a number; nan, which no limits hold, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


LABELS = {"labels": "--labels"}
"""What :func:`need` is to know of :func:`add_labels`."""


def add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels",
        type=int,
        nargs="+",
        metavar="N",
        help="values of the mask that are lesion; one with others alone has no lesion (default: all but 0)",
    )


def need(options: argparse.Namespace, other: str, needing: Mapping[str, str]) -> None:
    """Refuse options that say nothing without another one: passed over in silence, they would be thought to count.

    Parameters
    ----------
    other
        The option that they need, with its dashes.
    needing
        By their attribute in ``options``, which is None where they are not given: how they are written.

    Raises
    ------
    SystemExit
        When one of them is given, and the other one is not.
    """
    if getattr(options, other.lstrip("-")):
        return
    alone = [written for name, written in needing.items() if getattr(options, name) is not None]
    if alone:
        raise SystemExit(f"{alone[0]} says nothing without {other}: give both, or neither")


def check_folder(folder: Path) -> None:
    """Look whether results can be written into a folder, which need not be there yet, before hours are spent on them.

    Raises
    ------
    SystemExit
        When it cannot be made, or not be written into.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise SystemExit(f"{folder} cannot be a folder: {there} is none")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SystemExit(f"{folder} cannot be written: this user may not write into {there}")


def make_room(path: Path | None, endings: Collection[str] = ()) -> None:
    """Make the folder that a result is to be written into, before hours are spent on it.

    Parameters
    ----------
    path
        Of the file; none where it is not wanted.
    endings
        Without their dots, lower case; empty: any.

    Raises
    ------
    SystemExit
        When the file has another ending, or cannot be written.
    """
    if path is None:
        return
    if endings and path.suffix[1:].lower() not in endings:
        raise SystemExit(f"{path} does not end in one of these: {', '.join(sorted(endings))}")
    if path.is_dir():
        raise SystemExit(f"{path} is a folder: name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"{path} cannot be written: {error}") from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SystemExit(f"{path} cannot be written: this user may not")
