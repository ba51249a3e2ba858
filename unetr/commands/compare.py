"""``python -m unetr compare``: is one model better than another, on the same volumes, by more than chance."""

import argparse
from pathlib import Path

from unetr.comparison import compare, table
from unetr.evaluation import Evaluation, read_evaluation
from unetr.volume_error import VolumeError

_EXAMPLES = """examples:
  python -m unetr evaluate --model models/segresnet --synthetic 40 --json shipped.json
  python -m unetr evaluate --model models/mine --synthetic 40 --json mine.json
  python -m unetr compare shipped.json mine.json
"""


def describe(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Compare two results of evaluate --json volume by volume: sensitivity by lesion size, Dice and false lesions "
        "of both, their differences, and 95 % intervals of these. An interval that leaves out 0 is more than chance. "
        "Results of different volumes are refused, and the volumes named."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("first", type=Path, metavar="A", help="what evaluate --json wrote of one model")
    parser.add_argument("second", type=Path, metavar="B", help="and of the other, on the same volumes")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    first, second = read_evaluation(options.first), read_evaluation(options.second)
    _check_slices(first, second)
    differences = compare(first.scores, second.scores)
    lines = [f"{letter}  {_described(one)}" for letter, one in (("A", first), ("B", second))]
    print("\n".join([*lines, f"   on {len(first.scores)} volumes", "", table(differences)]))  # noqa: T201 - the answer
    return 0


def _check_slices(first: Evaluation, second: Evaluation) -> None:
    """Tell thick slices from thin ones: healthy heads have no lesions to tell them by, and the same mean.

    Raises
    ------
    VolumeError
        When both were not measured in the same.
    """
    one, other = (evaluation.evaluated.get("slices_mm") for evaluation in (first, second))
    if one != other:
        told = " and ".join(f"{mm:g} mm" if mm else "as they are" for mm in (one, other))
        raise VolumeError(
            f"these are not of the same volumes: slices {told}: evaluate both models with the same options"
        )


def _described(evaluation: Evaluation) -> str:
    model, software = evaluation.model, evaluation.software
    read = model["postprocessing"]
    return (
        f"{model['name']} {model['version']}, weights {model['sha256'][:12]}, threshold {read['threshold']}, "
        f"peak {read['peak']}, from {read['minimum_volume_mm3']:g} mm3; software {software['commit'] or 'unknown'}, "
        f"{software['engine']}"
    )
